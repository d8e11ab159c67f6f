internal import Crypto
package import Domain
package import struct Domain.Digest

/// Signs requests with AWS Signature Version 4, as AWS's own clients do for Lambda.
package struct Signer: Sendable {
    package let keyID: String
    private let secret: String
    private let sessionToken: String?
    private let region: String
    private let service: String

    package init(
        keyID: String, secret: String, sessionToken: String? = nil, region: String = ARN.region,
        service: String = "lambda"
    ) {
        self.keyID = keyID
        self.secret = secret
        self.sessionToken = sessionToken
        self.region = region
        self.service = service
    }

    /// The fields to add to a request: X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-SHA256 and Authorization.
    ///
    /// - Parameters:
    ///   - target: path and query as they will be sent.
    ///   - fields: all that are to be signed, Host among them. What a proxy may change has no place here.
    ///   - bodyDigest: of the body; of no bytes when there is none.
    ///   - declaresBody: adds X-Amz-Content-SHA256, so that the host can judge the head before it has read the body.
    ///   - now: the civil time.
    package func sign(
        _ method: String, target: String, fields: [(name: String, value: String)], bodyDigest: Digest,
        declaresBody: Bool = false, at now: Timestamp
    ) -> [(name: String, value: String)] {
        let time = now.basicText
        var added = [(name: "X-Amz-Date", value: time)]
        if let sessionToken { added.append((name: "X-Amz-Security-Token", value: sessionToken)) }
        if declaresBody { added.append((name: "X-Amz-Content-SHA256", value: bodyDigest.hex)) }
        let head = SignedRequestHead(method: method, target: target, fields: fields + added)
        precondition(head.fields.contains { $0.name == "host" }, "a signature covers Host")
        let names = Set(head.fields.map(\.name)).sorted()

        let scope = SigningScope(date: String(time.prefix(8)), region: region, service: service)
        var canonical = SHA256()
        canonical.update(data: CanonicalRequest(head, signedHeaders: names).bytes)
        canonical.update(data: Array(bodyDigest.hex.utf8))
        let signed = stringToSign(time: time, scope: scope.text, canonicalHash: canonical.finalize())
        var signature: [UInt8] = []
        appendHexadecimal(
            HMAC<SHA256>.authenticationCode(for: signed, using: scope.key(secret: secret)), to: &signature)
        let authorization =
            "\(signingAlgorithm) Credential=\(keyID)/\(scope.text), SignedHeaders=\(names.joined(separator: ";")), "
            + "Signature=\(String(decoding: signature, as: UTF8.self))"
        return added + [(name: "Authorization", value: authorization)]
    }
}
