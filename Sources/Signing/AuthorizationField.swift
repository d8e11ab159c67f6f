/// `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX`, taken apart.
struct AuthorizationField {
    let keyID: String
    let scope: SigningScope
    /// In lower case, each once, in the order in which they were signed.
    let signedHeaders: [String]
    /// 32 bytes.
    let signature: [UInt8]

    private typealias Bytes = ArraySlice<UInt8>

    init(_ value: [UInt8]) throws(AuthenticationError) {
        let algorithm = value.prefix { !isBlank($0) }
        guard algorithm.elementsEqual(signingAlgorithm.utf8) else {
            throw .malformed(.algorithm, reason: "Unsupported AWS 'algorithm': '\(text(algorithm))'.")
        }
        var credential: Bytes?
        var signedHeaders: Bytes?
        var signature: Bytes?
        func set(_ parameter: inout Bytes?, _ name: Bytes, _ value: Bytes) throws(AuthenticationError) {
            guard parameter == nil else {
                throw .malformed(
                    .algorithm, reason: "Authorization header has more than one '\(text(name))' parameter.")
            }
            parameter = value
        }
        for part in value[algorithm.endIndex...].split(separator: UInt8(ascii: ",")) {
            let part = trimmed(part)
            guard let equals = part.firstIndex(of: UInt8(ascii: "=")) else {
                throw .malformed(
                    .algorithm,
                    reason: "'\(text(part))' not a valid key=value pair (missing equal-sign) in Authorization header.")
            }
            let name = part[..<equals]
            let value = part[(equals + 1)...]
            if name.elementsEqual("Credential".utf8) {
                try set(&credential, name, value)
            } else if name.elementsEqual("SignedHeaders".utf8) {
                try set(&signedHeaders, name, value)
            } else if name.elementsEqual("Signature".utf8) {
                try set(&signature, name, value)
            } else {
                throw .malformed(.algorithm, reason: "Authorization header has an unknown parameter '\(text(name))'.")
            }
        }
        (keyID, scope) = try Self.credential(credential ?? [])
        self.signedHeaders = try Self.names(signedHeaders ?? [])
        self.signature = try Self.signature(signature ?? [])
    }

    private static func credential(_ value: Bytes) throws(AuthenticationError) -> (String, SigningScope) {
        guard !value.isEmpty else {
            throw .malformed(.credential, reason: "Authorization header requires 'Credential' parameter.")
        }
        let parts = value.split(separator: UInt8(ascii: "/"))
        // Empty parts are left out above, so there are as many as slashes only when none is empty.
        guard parts.count == 5, value.count(where: { $0 == UInt8(ascii: "/") }) == 4 else {
            throw .malformed(
                .credential,
                reason: "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                    + "got '\(text(value))'.")
        }
        guard parts[4].elementsEqual(SigningScope.terminator.utf8) else {
            throw .malformed(
                .credential,
                reason: "Credential should be scoped with a valid terminator: '\(SigningScope.terminator)', not "
                    + "'\(text(parts[4]))'.")
        }
        return (text(parts[0]), SigningScope(date: text(parts[1]), region: text(parts[2]), service: text(parts[3])))
    }

    /// More than a request may have fields.
    private static let namesMax = 128

    private static func names(_ value: Bytes) throws(AuthenticationError) -> [String] {
        guard !value.isEmpty else {
            throw .malformed(.signedHeaders, reason: "Authorization header requires 'SignedHeaders' parameter.")
        }
        var names: [String] = []
        for bytes in value.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false) {
            let name = text(bytes)
            guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !(0x41...0x5A).contains($0) }) else {
                throw .malformed(.signedHeaders, reason: "SignedHeaders has '\(name)', which is no name in lower case.")
            }
            guard names.count < namesMax else {
                throw .malformed(.signedHeaders, reason: "SignedHeaders has more than \(namesMax) names.")
            }
            guard !names.contains(name) else {
                throw .malformed(.signedHeaders, reason: "SignedHeaders has '\(name)' twice.")
            }
            names.append(name)
        }
        return names
    }

    private static func signature(_ value: Bytes) throws(AuthenticationError) -> [UInt8] {
        guard !value.isEmpty else {
            throw .malformed(.signature, reason: "Authorization header requires 'Signature' parameter.")
        }
        guard let bytes = decodedHexadecimal(value), bytes.count == 32 else {
            throw .malformed(.signature, reason: "Signature must be 64 lower-case hexadecimal digits.")
        }
        return bytes
    }
}

private func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes.drop(while: isBlank)
    while let last = bytes.last, isBlank(last) { bytes.removeLast() }
    return bytes
}
