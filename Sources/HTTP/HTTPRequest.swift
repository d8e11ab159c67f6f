/// The methods that are let through to delegates; others are answered 501.
package enum HTTPMethod: UInt8, Sendable {
    case get, head, post, put, delete, patch, options

    package var name: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .patch: "PATCH"
        case .options: "OPTIONS"
        }
    }
}

/// The head of the request that a connection is busy with. One object per connection, filled again for each request;
/// on the loop's thread only.
///
/// What it returns as bytes points into the head and is valid until the exchange ends or the current callback returns,
/// whichever comes first; strings are copies. Between exchanges it is empty.
package final class HTTPRequest {
    package internal(set) var method = HTTPMethod.get
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    package internal(set) var minorVersion = 1
    /// From Content-Length; nil without one.
    package internal(set) var contentLength: Int?
    package internal(set) var isChunked = false
    /// The client waits for `100 Continue` before it sends the body.
    package internal(set) var expectsContinue = false
    /// What the client asked for, by version and Connection field.
    package internal(set) var wantsKeepAlive = true
    /// True if a body, even an empty one of unknown length, follows.
    package var hasBody: Bool { isChunked || (contentLength ?? 0) > 0 }

    /// The request target as it came: `/a%2Fb?x=1`.
    package var target: UnsafeRawBufferPointer { slice(targetSpan) }
    /// The target before `?`.
    package var path: UnsafeRawBufferPointer { slice(Span(targetSpan.start, pathCount)) }
    /// The target after the first `?`; empty without one.
    package var rawQuery: UnsafeRawBufferPointer {
        let used = min(targetSpan.count, pathCount + 1)
        return slice(Span(targetSpan.start + used, targetSpan.count - used))
    }

    struct Span {
        var start: UInt32
        var count: UInt32
        init(_ start: UInt32, _ count: UInt32) {
            self.start = start
            self.count = count
        }
    }

    struct Field {
        var name: Span
        var value: Span
    }

    /// Start of the head; what it points to belongs to the read buffer until `own` is called.
    var base: UnsafeRawPointer?
    var byteCount = 0
    private let owned = ByteBuffer()
    var targetSpan = Span(0, 0)
    var pathCount: UInt32 = 0
    package private(set) var fieldCount = 0
    private var fieldCapacity = 16
    private var fields: UnsafeMutablePointer<Field>
    private(set) var segmentCount = 0
    private var segmentCapacity = 8
    private var segments: UnsafeMutablePointer<Span>

    package init() {
        fields = .allocate(capacity: fieldCapacity)
        segments = .allocate(capacity: segmentCapacity)
    }

    deinit {
        fields.deallocate()
        segments.deallocate()
    }

    // MARK: Header fields

    /// The value of the first field of that name, compared without case; nil if there is none. `name` is in lower case.
    package func header(_ name: StaticString) -> UnsafeRawBufferPointer? {
        for index in 0..<fieldCount where Self.equals(slice(fields[index].name), name) {
            return slice(fields[index].value)
        }
        return nil
    }

    /// As `header`, as a copy.
    package func headerText(_ name: StaticString) -> String? {
        header(name).map { String(decoding: $0, as: UTF8.self) }
    }

    /// As `headerText`, for names that are not literals. `name` is in lower case.
    package func headerText(named name: String) -> String? {
        var name = name
        return name.withUTF8 { name in
            for index in 0..<fieldCount where Self.equals(slice(fields[index].name), name) {
                return String(decoding: slice(fields[index].value), as: UTF8.self)
            }
            return nil
        }
    }

    /// As `header`, for a value that must be a plain decimal number; nil also for other values.
    package func headerInteger(_ name: StaticString) -> Int? { header(name).flatMap(HeadParser.decimal) }

    /// True if a field of that name has exactly this value, compared without case. Both are in lower case.
    package func header(_ name: StaticString, is value: StaticString) -> Bool {
        header(name).map { Self.equals($0, value) } ?? false
    }

    /// Every field in the order of arrival.
    package func forEachHeader(_ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void) {
        for index in 0..<fieldCount { body(slice(fields[index].name), slice(fields[index].value)) }
    }

    // MARK: Path and query

    /// The path's segments: split at `/` first, decoded after. `/a/b` has two, `/a/` has `a` and an empty one, `/` none.
    package var pathSegments: PathSegments { PathSegments(request: self) }

    func segment(_ index: Int) -> UnsafeRawBufferPointer {
        precondition(index < segmentCount)
        return slice(segments[index])
    }

    package var queryItems: QueryItems { QueryItems(raw: rawQuery) }

    // MARK: Filling

    func slice(_ span: Span) -> UnsafeRawBufferPointer {
        guard let base else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: base + Int(span.start), count: Int(span.count))
    }

    func appendField(_ field: Field) {
        if fieldCount == fieldCapacity {
            let larger = UnsafeMutablePointer<Field>.allocate(capacity: fieldCapacity * 2)
            larger.moveInitialize(from: fields, count: fieldCount)
            fields.deallocate()
            fields = larger
            fieldCapacity *= 2
        }
        (fields + fieldCount).initialize(to: field)
        fieldCount += 1
    }

    func appendSegment(_ span: Span) {
        if segmentCount == segmentCapacity {
            let larger = UnsafeMutablePointer<Span>.allocate(capacity: segmentCapacity * 2)
            larger.moveInitialize(from: segments, count: segmentCount)
            segments.deallocate()
            segments = larger
            segmentCapacity *= 2
        }
        (segments + segmentCount).initialize(to: span)
        segmentCount += 1
    }

    /// Copies the head out of the read buffer, so that it stays readable until the exchange ends.
    func own() {
        guard let base, base != owned.bytes.baseAddress else { return }
        owned.removeAll()
        owned.append(UnsafeRawBufferPointer(start: base, count: byteCount))
        self.base = owned.bytes.baseAddress
    }

    func clear() {
        base = nil
        byteCount = 0
        targetSpan = Span(0, 0)
        pathCount = 0
        fieldCount = 0
        segmentCount = 0
        method = .get
        minorVersion = 1
        contentLength = nil
        isChunked = false
        expectsContinue = false
        wantsKeepAlive = true
        owned.removeAll()
    }

    /// Compares without the case of ASCII letters; `lowercase` has none in upper case.
    static func equals(_ bytes: UnsafeRawBufferPointer, _ lowercase: StaticString) -> Bool {
        equals(bytes, UnsafeBufferPointer(start: lowercase.utf8Start, count: lowercase.utf8CodeUnitCount))
    }

    private static func equals(_ bytes: UnsafeRawBufferPointer, _ lowercase: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count == lowercase.count else { return false }
        for index in 0..<bytes.count {
            let byte = bytes[index]
            let lower = byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
            if lower != lowercase[index] { return false }
        }
        return true
    }
}
