/// A SHA-256 digest: the name of an artifact.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// 64 lower-case hexadecimal digits.
    package let hex: String

    /// Accepts 64 lower-case hexadecimal digits, with or without the prefix `sha256:`.
    package init?(_ text: some StringProtocol) {
        let hex = text.hasPrefix("sha256:") ? String(text.dropFirst(7)) : String(text)
        guard hex.utf8.count == 64,
            hex.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { return nil }
        self.hex = hex
    }

    /// - Precondition: `bytes` are the 32 bytes of a digest.
    package init(bytes: some Collection<UInt8>) {
        precondition(bytes.count == 32, "a SHA-256 digest has 32 bytes")
        let digits = Array("0123456789abcdef".utf8)
        var hex: [UInt8] = []
        hex.reserveCapacity(64)
        for byte in bytes {
            hex.append(digits[Int(byte >> 4)])
            hex.append(digits[Int(byte & 15)])
        }
        self.hex = String(decoding: hex, as: UTF8.self)
    }

    package var bytes: [UInt8] {
        let digits = Array(hex.utf8)
        return (0..<32).map { nibble(digits[2 * $0]) << 4 | nibble(digits[2 * $0 + 1]) }
    }

    package var description: String { "sha256:" + hex }
}

private func nibble(_ digit: UInt8) -> UInt8 { digit <= 0x39 ? digit - 0x30 : digit - 0x61 + 10 }
