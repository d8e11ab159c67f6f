internal import Domain
internal import Glibc
internal import Loop

/// HTTP and HTTPS requests to elsewhere, on a libuv loop in a thread of its own, so that neither TLS nor the parsing of
/// certificates nor a large answer holds the host's.
///
/// Redirects are not followed, nothing is taken from the environment, no cookie is kept, and who answers over TLS has
/// to be who the URL names. Connections are kept for the next request to the same place. The thread is made for the first
/// request, and sleeps while there is none.
package final class TransferLoop: Sendable {
    /// Requests under way at a time, each with a connection. Default 64.
    package let connectionsMax: Int
    /// Requests that wait for one of these, in their order. Default 256.
    package let waitingMax: Int
    private let inbox: TransferInbox

    /// - Precondition: there is at least one connection.
    package init(connectionsMax: Int = 64, waitingMax: Int = 256) {
        precondition(connectionsMax > 0 && waitingMax >= 0, "transfers without a connection")
        self.connectionsMax = connectionsMax
        self.waitingMax = waitingMax
        inbox = TransferInbox(unfinishedMax: connectionsMax + waitingMax)
    }

    /// Sends a request and waits for the whole answer, of any status. From any isolation; cancelling the task does not
    /// end it earlier, its `timeout` does.
    ///
    /// The same request may arrive twice when a kept connection breaks.
    package func send(_ request: TransferRequest) async throws(TransferError) -> TransferAnswer {
        if let reason = request.violation { throw .badRequest(reason: reason) }
        let result: Result<TransferAnswer, TransferError> = await withCheckedContinuation { continuation in
            let refusal = inbox.add(request, continuation) { () throws(UVError) in
                try TransferThread(inbox: inbox, connectionsMax: connectionsMax)
            }
            if let refusal { continuation.resume(returning: .failure(refusal)) }
        }
        return try result.get()
    }

    /// Ends what is under way with `.closed`, and the thread with it. From any thread but that one, which it waits for;
    /// that takes milliseconds. A second call does nothing. Whoever has sent anything has to call it.
    package func close() { inbox.close()?.join() }
}

/// The thread of a `TransferLoop`, and the ways into it.
struct TransferThread: Sendable {
    let loop: EventLoop
    /// Sent under the inbox's lock only.
    let wakeup: LoopWakeup
    private let thread: pthread_t

    /// What the new thread gets.
    private final class Start {
        let loop: EventLoop
        let wakeup: LoopWakeup
        let inbox: TransferInbox
        let connectionsMax: Int

        init(_ loop: EventLoop, _ wakeup: LoopWakeup, _ inbox: TransferInbox, _ connectionsMax: Int) {
            self.loop = loop
            self.wakeup = wakeup
            self.inbox = inbox
            self.connectionsMax = connectionsMax
        }

        func run() {
            let engine = TransferEngine(loop: loop, inbox: inbox, wakeup: wakeup, connectionsMax: connectionsMax)
            loop.run { engine.close() }
        }
    }

    init(inbox: TransferInbox, connectionsMax: Int) throws(UVError) {
        loop = try EventLoop()
        do throws(UVError) {
            wakeup = try LoopWakeup(loop: loop)
        } catch {
            Self.end(loop)
            throw error
        }
        // +1, taken back by the thread, or below.
        let start = Unmanaged.passRetained(Start(loop, wakeup, inbox, connectionsMax))
        // Signals are the main thread's. A new thread begins with the mask of the one that makes it.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                EventLoop.nameThread("transfers")
                Unmanaged<Start>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, start.toOpaque())
        guard status == 0 else {
            start.release()
            Self.end(loop, wakeup)
            throw UVError(code: -status, call: "pthread_create")
        }
        self.thread = thread
    }

    /// Ends a loop that no thread has run; it is still the caller's.
    private static func end(_ loop: EventLoop, _ wakeup: LoopWakeup? = nil) {
        loop.stop()
        loop.run { wakeup?.close() }
    }

    func join() { pthread_join(thread, nil) }
}
