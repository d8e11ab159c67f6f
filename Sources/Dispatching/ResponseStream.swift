/// Who takes a streamed answer. Called on the loop.
package protocol StreamConsumer: AnyObject {
    /// The function has begun to yield. Comes at most once, before any bytes; not for an answer that is no stream.
    func streamBegan()
    /// The next bytes, valid during the call.
    ///
    /// - Returns: false when there is no room for more: none come until `ResponseStream.resume`.
    func streamReceived(_ bytes: UnsafeRawBufferPointer) -> Bool
}

/// An answer that is passed on while the function yields it. Made by who waits for it, for one invocation; what the
/// function does not stream comes with the outcome, as always. Lives on the loop.
///
/// Nothing is held here: a consumer without room makes the worker wait, in its own socket.
package final class ResponseStream {
    unowned let consumer: any StreamConsumer
    weak var invocation: Invocation?
    weak var dispatcher: Dispatcher?

    /// - Parameter consumer: outlives the invocation.
    package init(consumer: any StreamConsumer) { self.consumer = consumer }

    /// The consumer has room again.
    package func resume() {
        if let invocation { dispatcher?.resume(invocation) }
    }

    /// Nobody waits for the answer any more. A queued invocation is forgotten, without an outcome; one that runs is told
    /// at its next piece, and its worker is free once it has ended.
    package func abandon() {
        if let invocation { dispatcher?.abandon(invocation) }
    }
}
