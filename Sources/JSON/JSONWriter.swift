/// Appends JSON text to bytes that it owns: compact, in the order of the calls.
///
/// It puts the commas; that keys and values alternate in objects is the caller's duty (checked in debug builds only by
/// reading the result). For answers whose shape is known; trees come from `JSONValue.encoded()`.
package struct JSONWriter: ~Copyable {
    package private(set) var bytes: [UInt8]
    private var needsComma = false

    package init(capacity: Int = 256) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// Gives the bytes away without a copy.
    package consuming func finish() -> [UInt8] { bytes }

    package mutating func beginObject() { open(UInt8(ascii: "{")) }
    package mutating func endObject() { close(UInt8(ascii: "}")) }
    package mutating func beginArray() { open(UInt8(ascii: "[")) }
    package mutating func endArray() { close(UInt8(ascii: "]")) }

    /// The key of the next value.
    package mutating func key(_ key: String) {
        comma()
        Self.appendString(key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    package mutating func null() { raw("null") }
    package mutating func bool(_ value: Bool) { raw(value ? "true" : "false") }
    package mutating func integer(_ value: some BinaryInteger) {
        comma()
        Self.appendInteger(Int64(value), to: &bytes)
    }
    /// A number that reads back as the same double; `null` for infinities and NaN, which JSON cannot say.
    package mutating func real(_ value: Double) {
        comma()
        Self.appendReal(value, to: &bytes)
    }
    package mutating func string(_ value: String) {
        comma()
        Self.appendString(value, to: &bytes)
    }
    package mutating func value(_ value: JSONValue, sortedKeys: Bool = false) {
        comma()
        value.append(to: &bytes, sortedKeys: sortedKeys)
    }
    /// One value that is JSON text already.
    package mutating func text(_ json: some Sequence<UInt8>) {
        comma()
        bytes.append(contentsOf: json)
    }

    package mutating func member(_ key: String, _ value: String) {
        self.key(key)
        string(value)
    }
    package mutating func member(_ key: String, _ value: some BinaryInteger) {
        self.key(key)
        integer(value)
    }
    package mutating func member(_ key: String, _ value: Double) {
        self.key(key)
        real(value)
    }
    package mutating func member(_ key: String, _ value: Bool) {
        self.key(key)
        bool(value)
    }

    private mutating func raw(_ text: StaticString) {
        comma()
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }
    private mutating func comma() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }
    private mutating func open(_ bracket: UInt8) {
        comma()
        bytes.append(bracket)
        needsComma = false
    }
    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    // MARK: Scalars

    static func appendReal(_ value: Double, to bytes: inout [UInt8]) {
        // Swift's description is the shortest decimal that reads back equal, and JSON's grammar allows all its forms.
        bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
    }

    static func appendInteger(_ value: Int64, to bytes: inout [UInt8]) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        var rest = value.magnitude
        let start = bytes.count
        repeat {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        bytes[start...].reverse()
    }

    static func appendString(_ string: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        var string = string
        string.withUTF8 { utf8 in
            var plainStart = 0
            for i in utf8.indices {
                let byte = utf8[i]
                if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte != 0x7F { continue }
                bytes.append(contentsOf: utf8[plainStart..<i])
                plainStart = i + 1
                bytes.append(UInt8(ascii: "\\"))
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
                case 0x08: bytes.append(UInt8(ascii: "b"))
                case 0x09: bytes.append(UInt8(ascii: "t"))
                case 0x0A: bytes.append(UInt8(ascii: "n"))
                case 0x0C: bytes.append(UInt8(ascii: "f"))
                case 0x0D: bytes.append(UInt8(ascii: "r"))
                default:  // other control characters, and DEL, which terminals act on
                    bytes.append(contentsOf: "u00".utf8)
                    bytes.append(hexDigit(byte >> 4))
                    bytes.append(hexDigit(byte & 15))
                }
            }
            bytes.append(contentsOf: utf8[plainStart...])
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
