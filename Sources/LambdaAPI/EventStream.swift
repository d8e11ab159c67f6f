internal import Domain
internal import JSON

/// The frames of `application/vnd.amazon.eventstream`, as `InvokeWithResponseStream` answers them.
///
/// A frame is, in network byte order: its length (32 bits), its headers' length (32 bits), the CRC-32 of these eight bytes,
/// the headers, the payload, and the CRC-32 of all that. A header is the length of its name (8 bits), the name, the type
/// 7 (text), the value's length (16 bits) and the value.
package enum EventStream {
    /// A piece of the function's answer.
    package static func appendPayloadChunk(_ payload: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        unsafe append(headers: payloadChunk, payload: payload, to: &bytes)
    }

    /// The last frame of a stream.
    ///
    /// - Parameter error: the function's error object, when it failed.
    /// - Parameter logTail: `nil` when the client did not ask for it.
    package static func appendInvokeComplete(error: [UInt8]?, logTail: [UInt8]?, to bytes: inout [UInt8]) {
        var writer = JSONWriter()
        writer.beginObject()
        if let error {
            writer.member("ErrorCode", "Unhandled")
            writer.member("ErrorDetails", String(decoding: error, as: UTF8.self))
        }
        if let logTail { writer.member("LogResult", Base64.encode(logTail)) }
        writer.endObject()
        let payload = writer.finish()
        unsafe payload.withUnsafeBytes { unsafe append(headers: invokeComplete, payload: $0, to: &bytes) }
    }

    private static let payloadChunk = headers("PayloadChunk", "application/octet-stream")
    private static let invokeComplete = headers("InvokeComplete", "application/json")

    private static func headers(_ event: String, _ contentType: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in [(":event-type", event), (":content-type", contentType), (":message-type", "event")] {
            bytes.append(UInt8(name.utf8.count))
            bytes += Array(name.utf8)
            bytes += [7, UInt8(value.utf8.count >> 8), UInt8(value.utf8.count & 255)]
            bytes += Array(value.utf8)
        }
        return bytes
    }

    private static func append(headers: [UInt8], payload: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.reserveCapacity(start + 16 + headers.count + payload.count)
        append(UInt32(16 + headers.count + payload.count), to: &bytes)
        append(UInt32(headers.count), to: &bytes)
        var checksum = CRC32()
        checksum.add(bytes[start...])
        append(checksum.value, to: &bytes)
        bytes += headers
        unsafe bytes.append(contentsOf: payload)
        checksum.add(bytes[(start + 8)...])
        append(checksum.value, to: &bytes)
    }

    private static func append(_ number: UInt32, to bytes: inout [UInt8]) {
        for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
}
