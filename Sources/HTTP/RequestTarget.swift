/// The segments of a request's path, split before decoding, so that `%2F` is part of a segment. Valid as long as the
/// request. Comparing and counting allocate nothing.
package struct PathSegments: RandomAccessCollection {
    let request: HTTPRequest

    package var startIndex: Int { 0 }
    package var endIndex: Int { request.segmentCount }
    package subscript(index: Int) -> PathSegment { PathSegment(raw: request.segment(index)) }

    /// The decoded segments as strings.
    package var texts: [String] { map(\.text) }
}

/// One segment of a path. Its percent-encoding was checked when the head arrived.
package struct PathSegment {
    /// As it came.
    package let raw: UnsafeRawBufferPointer

    package init(raw: UnsafeRawBufferPointer) { self.raw = raw }

    /// Decoded; bytes that are not UTF-8 are replaced.
    package var text: String { PercentEncoding.decode(raw) }

    /// True if it is `text` as it came. A client that encodes what needs no encoding does not match.
    package static func == (segment: PathSegment, text: StaticString) -> Bool {
        guard segment.raw.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<segment.raw.count where segment.raw[index] != text.utf8Start[index] { return false }
        return true
    }
    package static func ~= (text: StaticString, segment: PathSegment) -> Bool { segment == text }
}

/// The items of a query, `a=1&b`, in their order; repeated keys are kept, empty items skipped. Valid as long as the request.
/// `+` stands for itself, as AWS clients mean it.
package struct QueryItems: Sequence {
    let raw: UnsafeRawBufferPointer

    package init(raw: UnsafeRawBufferPointer) { self.raw = raw }

    /// The decoded value of the first item of that key; an item without `=` has an empty one.
    package subscript(key: String) -> String? {
        for (name, value) in self where name == key { return value }
        return nil
    }

    /// The values of all items of that key.
    package func all(_ key: String) -> [String] { compactMap { $0.key == key ? $0.value : nil } }

    package func makeIterator() -> AnyIterator<(key: String, value: String)> {
        var rest = raw[...]
        return AnyIterator {
            while !rest.isEmpty {
                let end = rest.firstIndex(of: UInt8(ascii: "&")) ?? rest.endIndex
                let item = rest[rest.startIndex..<end]
                rest = rest[(end == rest.endIndex ? end : end + 1)...]
                if item.isEmpty { continue }
                let equals = item.firstIndex(of: UInt8(ascii: "=")) ?? item.endIndex
                let key = UnsafeRawBufferPointer(rebasing: item[item.startIndex..<equals])
                let value = UnsafeRawBufferPointer(rebasing: item[(equals == item.endIndex ? equals : equals + 1)...])
                return (PercentEncoding.decode(key), PercentEncoding.decode(value))
            }
            return nil
        }
    }
}

package enum PercentEncoding {
    /// The value of a hexadecimal digit, or nil.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// What is not a percent sign with two digits stands for itself.
    package static func decode(_ raw: UnsafeRawBufferPointer) -> String {
        guard raw.contains(UInt8(ascii: "%")) else { return String(decoding: raw, as: UTF8.self) }
        return String(decoding: decodedBytes(raw), as: UTF8.self)
    }

    private static func decodedBytes(_ raw: UnsafeRawBufferPointer) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(raw.count)
        var index = 0
        while index < raw.count {
            if raw[index] == UInt8(ascii: "%"), index + 2 < raw.count, let high = hexValue(raw[index + 1]),
                let low = hexValue(raw[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(raw[index])
                index += 1
            }
        }
        return result
    }
}
