internal import Crypto

/// What a signature is good for: one day, one region, one service.
struct SigningScope: Sendable {
    /// `20261123`
    let date: String
    let region: String
    let service: String

    static let terminator = "aws4_request"

    var text: String { "\(date)/\(region)/\(service)/\(Self.terminator)" }

    /// The key that signs within this scope. Four HMACs; the same for a whole day.
    func key(secret: String) -> SymmetricKey {
        var key = SymmetricKey(data: Array("AWS4\(secret)".utf8))
        for part in [date, region, service, Self.terminator] {
            key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Array(part.utf8), using: key))
        }
        return key
    }
}

/// What is signed.
///
/// - Parameters:
///   - time: the basic form, `20261123T120000Z`.
///   - canonicalHash: of the whole canonical request.
func stringToSign(time: String, scope: String, canonicalHash: SHA256.Digest) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(192)
    for line in [signingAlgorithm, time, scope] {
        bytes += line.utf8
        bytes.append(0x0A)
    }
    appendHexadecimal(canonicalHash, to: &bytes)
    return bytes
}

let signingAlgorithm = "AWS4-HMAC-SHA256"

func appendHexadecimal(_ source: some Sequence<UInt8>, to bytes: inout [UInt8]) {
    for byte in source {
        for digit in [byte >> 4, byte & 15] { bytes.append(digit < 10 ? 0x30 + digit : 0x61 + digit - 10) }
    }
}

/// The bytes of lower-case hexadecimal digits; nil for anything else.
func decodedHexadecimal(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    guard text.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 2)
    var high: UInt8?
    for digit in text {
        let value: UInt8
        switch digit {
        case 0x30...0x39: value = digit - 0x30
        case 0x61...0x66: value = digit - 0x61 + 10
        default: return nil
        }
        if let first = high {
            bytes.append(first << 4 | value)
            high = nil
        } else {
            high = value
        }
    }
    return bytes
}
