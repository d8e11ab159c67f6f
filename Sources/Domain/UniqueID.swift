/// Random identifiers.
package enum UniqueID {
    /// A version 4 UUID, such as `8f5ec6f8-0c3e-4a51-9d3f-3b0f6f1c2a77`, from the system's generator.
    package static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        let high = generator.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        let low = generator.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        return unsafe String(unsafeUninitializedCapacity: 36) { text in
            let bytes = unsafe UnsafeMutableBufferPointer(rebasing: text[0..<36])
            var position = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    unsafe bytes[position] = 0x2D
                    position += 1
                }
                let word = index < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> (60 - 4 * UInt64(index % 16))) & 15
                unsafe bytes[position] = digit < 10 ? 0x30 + digit : 0x57 + digit
                position += 1
            }
            return 36
        }
    }
}
