internal import Synchronization

/// Random identifiers. Unique, not secret: nobody may gain anything by guessing one.
package enum UniqueID {
    /// A version 4 UUID, such as `8f5ec6f8-0c3e-4a51-9d3f-3b0f6f1c2a77`.
    package static func random() -> String {
        let (first, second) = words()
        let high = first & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        let low = second & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        return text(high, low)
    }

    /// The UUID of these 128 bits.
    package static func text(_ high: UInt64, _ low: UInt64) -> String {
        text(capacity: 36) { bytes in
            appendHexadecimal(high >> 32, digits: 8, to: &bytes)
            bytes.append(UInt8(ascii: "-"))
            appendHexadecimal(high >> 16, digits: 4, to: &bytes)
            bytes.append(UInt8(ascii: "-"))
            appendHexadecimal(high, digits: 4, to: &bytes)
            bytes.append(UInt8(ascii: "-"))
            appendHexadecimal(low >> 48, digits: 4, to: &bytes)
            bytes.append(UInt8(ascii: "-"))
            appendHexadecimal(low, digits: 12, to: &bytes)
        }
    }

    /// A trace id in AWS X-Ray's form: `Root=1-<8 hex digits: seconds>-<24>;Parent=<16>;Sampled=0`.
    package static func trace(at now: Timestamp) -> String {
        let (first, second) = words()
        let parent = words().0
        return text(capacity: 74) { bytes in
            bytes.append(contentsOf: "Root=1-".utf8)
            let seconds = UInt64(truncatingIfNeeded: now.millisecondsSince1970 / 1000)
            appendHexadecimal(seconds, digits: 8, to: &bytes)
            bytes.append(UInt8(ascii: "-"))
            appendHexadecimal(first, digits: 16, to: &bytes)
            appendHexadecimal(second, digits: 8, to: &bytes)
            bytes.append(contentsOf: ";Parent=".utf8)
            appendHexadecimal(parent, digits: 16, to: &bytes)
            bytes.append(contentsOf: ";Sampled=0".utf8)
        }
    }

    private static func text(capacity: Int, _ fill: (inout [UInt8]) -> Void) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(capacity)
        fill(&bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The lowest digits of `word`.
    private static func appendHexadecimal(_ word: UInt64, digits: Int, to bytes: inout [UInt8]) {
        var shift = UInt64(4 * digits)
        while shift > 0 {
            shift -= 4
            let digit = UInt8(truncatingIfNeeded: word >> shift) & 15
            bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    private static func words() -> (UInt64, UInt64) { generator.withLock { ($0.next(), $0.next()) } }

    private static let generator = Mutex(Xoshiro256())
}

/// xoshiro256** of Blackman and Vigna (2018), seeded by the system: the system's own generator costs a call to the kernel
/// for each word.
private struct Xoshiro256: Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init() {
        var system = SystemRandomNumberGenerator()
        state = (system.next(), system.next(), system.next(), system.next() | 1)
    }

    mutating func next() -> UInt64 {
        let scrambled = rotated(state.1 &* 5, by: 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, by: 45)
        return scrambled
    }

    private func rotated(_ word: UInt64, by count: UInt64) -> UInt64 { word << count | word >> (64 - count) }
}
