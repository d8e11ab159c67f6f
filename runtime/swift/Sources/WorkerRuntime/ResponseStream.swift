/// A function that writes its answer piece by piece, each of which is on its way to the client when ``stream(_:_:to:)``
/// makes the next: words of a language model, rows of a table.
///
/// ```swift
/// @main struct Counting: StreamingFunction {
///     init(_ context: InitContext) throws {}
///     mutating func stream(_ event: Event, _ context: InvocationContext, to output: ResponseStream) throws {
///         output.contentType = "text/event-stream"
///         for number in 1...10 { try output.write("data: \(number)\n\n") }
///     }
/// }
/// ```
///
/// There is nothing to configure: the handler `infer`, the default, streams when the type is a `StreamingFunction`. A
/// client that does not read a stream gets the same bytes in one piece.
public protocol StreamingFunction: Function {
    /// Answers one invocation through `output`, which is of no use afterwards.
    ///
    /// What it throws before the first write becomes the invocation's function error, as with ``Function/infer(_:_:)``.
    /// Later the client has a part of the answer and finds the error at its end. The worker lives on in both cases.
    /// ``StreamClosed`` is to be let pass.
    mutating func stream(_ event: Event, _ context: InvocationContext, to output: ResponseStream) throws
}

extension StreamingFunction {
    /// The whole answer at once, for a function's own tests: the runtime calls ``stream(_:_:to:)``.
    public mutating func infer(_ event: Event, _ context: InvocationContext) throws -> Response {
        var bytes: [UInt8] = []
        let output = ResponseStream { bytes += $0 }
        try stream(event, context, to: output)
        return Response(bytes: bytes, contentType: output.contentType)
    }
}

/// Nobody reads the answer any more: the client has gone, the invocation is over, or the answer is over the host's limit.
///
/// ``ResponseStream/write(_:)-([UInt8])`` throws it; a function lets it pass, after releasing what it holds. The host
/// kills the worker when that takes more than 10 s.
public struct StreamClosed: Error, Sendable, Hashable {
    public init() {}
}

/// Where a ``StreamingFunction`` writes its answer.
///
/// Used on the thread that calls ``StreamingFunction/stream(_:_:to:)`` only.
public final class ResponseStream {
    /// The media type that the host is told. Default `application/octet-stream`. Set it before the first write: it
    /// leaves with that, and later it is a programmer's mistake.
    public var contentType = "application/octet-stream" {
        willSet { precondition(!isBegun, "contentType is set after the first write") }
    }

    /// Whether something was written, so that an error comes too late to replace the answer.
    private(set) var isBegun = false
    /// Whether nothing can be written any more.
    private(set) var isClosed = false
    private let onChunk: (ResponseStream, [UInt8]) throws(StreamClosed) -> Void

    /// A stream without a host, for a function's own tests.
    public init(onChunk: @escaping ([UInt8]) throws(StreamClosed) -> Void) {
        self.onChunk = { (_, bytes) throws(StreamClosed) in try onChunk(bytes) }
    }

    /// A stream that leaves over `connection`.
    init(to connection: HostConnection, answering invocation: HostConnection.Invocation) {
        onChunk = { (stream, bytes) throws(StreamClosed) in
            let isWanted: Bool
            do {
                let type = stream.isBegun ? nil : stream.contentType
                isWanted = try connection.writeChunk(bytes, of: invocation, beginning: type)
            } catch {
                isWanted = false  // the host is gone: whoever uses the connection next finds out
            }
            if !isWanted { throw StreamClosed() }
        }
    }

    /// Sends a piece of the answer, and returns when it is on its way: the next piece is made while this one travels,
    /// and a client that reads slowly holds the function back. An empty piece is nothing.
    public func write(_ bytes: [UInt8]) throws(StreamClosed) {
        if isClosed { throw StreamClosed() }
        if bytes.isEmpty { return }
        do {
            try onChunk(self, bytes)
            isBegun = true
        } catch {
            isClosed = true
            throw error
        }
    }

    /// Sends text as UTF-8.
    public func write(_ text: String) throws(StreamClosed) {
        try write(Array(text.utf8))
    }

    /// The function has returned: what it left behind of this stream can do no harm.
    func close() { isClosed = true }
}
