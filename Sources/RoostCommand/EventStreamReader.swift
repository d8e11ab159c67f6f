import Domain

/// Reads the frames of `application/vnd.amazon.eventstream` from bytes that come in any pieces.
///
/// A frame is, in network byte order: its length (32 bits), its headers' length (32 bits), the CRC-32 of these eight bytes,
/// the headers, the payload, and the CRC-32 of all that. A header is the length of its name (8 bits), the name, its type,
/// of which text (7) is the only one here, the value's length (16 bits) and the value.
struct EventStreamReader {
    struct Frame {
        var headers: [String: String] = [:]
        var payload: [UInt8] = []
    }

    /// The bytes are no frames.
    struct Damaged: Error {}

    /// Of one frame. More than a host puts into one.
    private static let frameBytesMax = 64 << 20
    private var bytes: [UInt8] = []

    /// The frames that are complete with these bytes.
    mutating func read(_ more: UnsafeRawBufferPointer) throws(Damaged) -> [Frame] {
        bytes += more
        var frames: [Frame] = []
        var start = 0
        while bytes.count - start >= 12 {
            let length = number(at: start)
            let headersLength = number(at: start + 4)
            var checksum = CRC32()
            checksum.add(bytes[start..<(start + 8)])
            guard Int(checksum.value) == number(at: start + 8), length <= Self.frameBytesMax,
                length >= 16 + headersLength
            else { throw Damaged() }
            guard bytes.count - start >= length else { break }
            let end = start + length - 4
            checksum.add(bytes[(start + 8)..<end])
            guard Int(checksum.value) == number(at: end) else { throw Damaged() }
            var frame = Frame()
            frame.headers = try headers(in: (start + 12)..<(start + 12 + headersLength))
            frame.payload = Array(bytes[(start + 12 + headersLength)..<end])
            frames.append(frame)
            start += length
        }
        bytes.removeFirst(start)
        return frames
    }

    var isAtBoundary: Bool { bytes.isEmpty }

    private func number(at index: Int) -> Int { bytes[index..<(index + 4)].reduce(0) { $0 << 8 | Int($1) } }

    private func headers(in range: Range<Int>) throws(Damaged) -> [String: String] {
        var headers: [String: String] = [:]
        var rest = bytes[range]
        func take(_ count: Int) throws(Damaged) -> ArraySlice<UInt8> {
            guard rest.count >= count else { throw Damaged() }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        while !rest.isEmpty {
            let name = String(decoding: try take(Int(try take(1).first!)), as: UTF8.self)
            guard try take(1).first == 7 else { throw Damaged() }
            let length = try take(2).reduce(0) { $0 << 8 | Int($1) }
            headers[name] = String(decoding: try take(length), as: UTF8.self)
        }
        return headers
    }
}
