package import Domain
package import Loop

/// A listener and its connections. Every member runs on the loop's thread.
package final class HTTPServer {
    package let group: HTTPConnectionGroup
    /// The port it is bound to.
    package let port: Int
    /// More connections than this are answered 503 and closed.
    package let connectionsMax: Int
    /// A connection that could not be accepted, as when descriptors have run out. The server goes on.
    package var onAcceptError: ((UVError) -> Void)?

    private let listener: Listener
    private let delegate: any HTTPConnectionDelegate

    /// Starts to accept. `host` is a numeric address; port 0 picks a free one.
    package init(
        loop: EventLoop, host: String, port: Int, limits: HTTPLimits = HTTPLimits(), connectionsMax: Int = 10_000,
        delegate: any HTTPConnectionDelegate
    ) throws(UVError) {
        group = HTTPConnectionGroup(loop: loop, limits: limits)
        listener = try Listener(loop: loop, host: host, port: port)
        self.port = listener.port
        self.connectionsMax = connectionsMax
        self.delegate = delegate
        // unowned: `drain` and `close` close the listener, which drops these.
        listener.onError = { [unowned self] in onAcceptError?($0) }
        listener.start { [unowned self] in accepted($0) }
    }

    deinit { precondition(listener.isClosed, "HTTPServer dropped while it listens") }

    /// Stops accepting, closes idle connections, lets the others finish their exchange; `completion` runs when all are
    /// closed, which is after `limit` at the latest. Callable once.
    package func drain(within limit: Interval, completion: @escaping () -> Void) {
        listener.close()
        group.drain(within: limit, completion: completion)
    }

    /// Stops at once.
    package func close() {
        listener.close()
        group.closeAll()
    }

    private func accepted(_ stream: Stream) {
        guard group.connectionCount < connectionsMax else {
            let answer = ByteBuffer()
            answer.append("HTTP/1.1 503 Service Unavailable\r\n")
            answer.append(group.dateField)
            answer.append("Content-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n")
            delegate.addFields(to: HTTPHeaderWriter(buffer: answer), ofRefusal: 503)
            answer.append("\r\n")
            // A client that cannot be told is closed all the same.
            _ = try? stream.tryWrite(answer.bytes)
            stream.close()
            return
        }
        _ = HTTPConnection(stream: stream, group: group, delegate: delegate)
    }
}
