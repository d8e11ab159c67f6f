internal import Domain
internal import Loop
internal import Synchronization

/// Where requests pass from any thread to the thread of the transfers.
final class TransferInbox: Sendable {
    struct Submission: Sendable {
        let request: TransferRequest
        let deadline: Instant
        let continuation: CheckedContinuation<Result<TransferAnswer, TransferError>, Never>
    }

    private enum Phase {
        case unstarted
        case running(TransferThread)
        case closed
    }

    private struct State {
        var phase = Phase.unstarted
        var submissions: [Submission] = []
        /// Submitted and not ended, here or with the engine.
        var unfinished = 0
    }

    private let state = Mutex(State())
    private let unfinishedMax: Int

    init(unfinishedMax: Int) { self.unfinishedMax = unfinishedMax }

    deinit {
        state.withLock {
            if case .running = $0.phase { preconditionFailure("TransferLoop dropped without close") }
        }
    }

    /// Takes a request, or says why not.
    ///
    /// - Parameter start: makes the thread for the first one.
    func add(
        _ request: TransferRequest, _ continuation: CheckedContinuation<Result<TransferAnswer, TransferError>, Never>,
        start: () throws(UVError) -> TransferThread
    ) -> TransferError? {
        state.withLock { state in
            let thread: TransferThread
            switch state.phase {
            case .closed: return .closed
            case .running(let running): thread = running
            case .unstarted:
                do throws(UVError) {
                    thread = try start()
                } catch {
                    return .unavailable(reason: "\(error)")
                }
                state.phase = .running(thread)
            }
            guard state.unfinished < unfinishedMax else { return .tooManyWaiting(limit: unfinishedMax) }
            state.unfinished += 1
            state.submissions.append(
                Submission(
                    request: request, deadline: thread.loop.now + request.timeout, continuation: continuation))
            // Under the lock, so that it is not closed meanwhile: the engine ends only once the phase is `closed`.
            thread.wakeup.send()
            return nil
        }
    }

    /// What has come since the last call, and whether nothing more will.
    func take() -> (submissions: [Submission], isClosed: Bool) {
        state.withLock { state in
            let submissions = state.submissions
            state.submissions = []
            if case .closed = state.phase { return (submissions, true) }
            return (submissions, false)
        }
    }

    func ended() { state.withLock { $0.unfinished -= 1 } }

    /// Refuses whatever comes from now on. The thread that runs, which is to be joined; nil when there is none, or another
    /// call has got it.
    func close() -> TransferThread? {
        state.withLock { state in
            defer { state.phase = .closed }
            guard case .running(let thread) = state.phase else { return nil }
            thread.wakeup.send()
            return thread
        }
    }
}
