internal import CCurl
internal import Domain
internal import Loop

/// libcurl's multi handle on an event loop: one poll handle for each socket and one timer. Lives on the transfer thread.
///
/// 1. libcurl is called from the loop's callbacks only, never from its own.
/// 2. A socket is polled from the first time libcurl asks for it until it says `REMOVE`, before it closes the socket.
/// 3. Each submission is finished exactly once, and counts in the inbox until then.
/// 4. Nothing is armed while nothing is under way: a kept connection is not watched.
final class TransferEngine {
    private let loop: EventLoop
    private let inbox: TransferInbox
    private let wakeup: LoopWakeup
    private let multi: UnsafeMutableRawPointer
    private var polls: [CInt: SocketPoll] = [:]
    /// Of what is in the line.
    private var transfers: [TransferLine.ID: Transfer] = [:]
    private var line: TransferLine
    private var lastID: TransferLine.ID = 0
    /// When `deadlineTimer` fires; nil when it does not.
    private var deadlineSet: Instant?
    // Unowned in their closures: they are closed with the engine, and dropped no later.
    private lazy var curlTimer = LoopTimer(loop: loop) { [unowned self] in act(CURL_SOCKET_BAD, []) }
    private lazy var deadlineTimer = LoopTimer(loop: loop) { [unowned self] in expire() }

    /// Once for the process, and the first call of libcurl's multi interface.
    private static let isReady: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    init(loop: EventLoop, inbox: TransferInbox, wakeup: LoopWakeup, connectionsMax: Int) {
        self.loop = loop
        self.inbox = inbox
        self.wakeup = wakeup
        line = TransferLine(placesMax: connectionsMax)
        guard Self.isReady, let multi = curl_multi_init() else { preconditionFailure("libcurl is out of memory") }
        self.multi = multi
        // As many as there are places: a request that has one never waits in libcurl, which closes an idle connection for it.
        for option in [CURLMOPT_MAX_TOTAL_CONNECTIONS, CURLMOPT_MAXCONNECTS] {
            let code = ccurl_multi_set_long(multi, option, connectionsMax)
            precondition(code == CURLM_OK, "libcurl knows no limit of connections")
        }
        ccurl_multi_set_functions(
            multi,
            { _, socket, what, context, _ in
                TransferEngine.from(context).watch(socket, what)
                return 0
            },
            { _, milliseconds, context in
                TransferEngine.from(context).setTimer(milliseconds)
                return 0
            },
            // Unretained: `close` ends the multi handle.
            Unmanaged.passUnretained(self).toOpaque())
        wakeup.onWake = { [unowned self] in takeSubmissions() }
    }

    /// Ends everything with `.closed`, and every handle on the loop.
    func close() {
        for submission in inbox.take().submissions { add(submission) }
        for transfer in transfers.values { finish(transfer, .failure(.closed)) }
        curl_multi_cleanup(multi)
        precondition(polls.isEmpty, "libcurl left a socket polled")
        curlTimer.close()
        deadlineTimer.close()
        wakeup.close()
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> TransferEngine {
        Unmanaged<TransferEngine>.fromOpaque(context!).takeUnretainedValue()
    }

    // MARK: - Beginning and end of a transfer

    private func takeSubmissions() {
        let (submissions, isClosed) = inbox.take()
        for submission in submissions { add(submission) }
        if isClosed { loop.stop() } else { startWaiting() }
    }

    private func add(_ submission: TransferInbox.Submission) {
        lastID += 1
        transfers[lastID] = Transfer(id: lastID, submission)
        line.add(lastID, deadline: submission.deadline)
    }

    private func startWaiting() {
        while let id = line.startNext() {
            let transfer = transfers[id]!
            do throws(TransferError) {
                try transfer.open()
                let code = curl_multi_add_handle(multi, transfer.easy)
                guard code == CURLM_OK else { throw .unavailable(reason: Self.text(code)) }
            } catch {
                finish(transfer, .failure(error))
            }
        }
        setDeadline()
    }

    /// What libcurl has done, as it says after each action.
    private func collect() {
        var left: CInt = 0
        while let message = curl_multi_info_read(multi, &left)?.pointee {
            guard message.msg == CURLMSG_DONE else { continue }
            let transfer = Transfer.from(ccurl_get_private(message.easy_handle))
            finish(transfer, transfer.result(message.data.result))
        }
        startWaiting()
    }

    private func finish(_ transfer: Transfer, _ result: Result<TransferAnswer, TransferError>) {
        line.end(transfer.id)
        transfers[transfer.id] = nil
        if let easy = transfer.easy {
            // One that could not be added is none of the multi handle's, which does not mind.
            curl_multi_remove_handle(multi, easy)
            transfer.close()
        }
        inbox.ended()
        transfer.finish(result)
    }

    // MARK: - Time

    private func setTimer(_ milliseconds: Int) {
        if milliseconds < 0 { curlTimer.stop() } else { curlTimer.start(after: .milliseconds(milliseconds)) }
    }

    private func setDeadline() {
        guard let wake = line.wake else {
            deadlineTimer.stop()
            deadlineSet = nil
            return
        }
        if let deadlineSet, deadlineSet <= wake { return }
        deadlineSet = wake
        deadlineTimer.start(at: wake)
    }

    private func expire() {
        deadlineSet = nil
        let (running, waiting) = line.expire(at: loop.now)
        for id in running + waiting {
            let transfer = transfers[id]!
            finish(transfer, .failure(transfer.timedOut))
        }
        startWaiting()
    }

    // MARK: - Sockets

    private func watch(_ socket: CInt, _ what: CInt) {
        guard what != CURL_POLL_REMOVE else {
            polls.removeValue(forKey: socket)?.close()
            return
        }
        do throws(UVError) {
            let poll: SocketPoll
            if let known = polls[socket] {
                poll = known
            } else {
                poll = try SocketPoll(loop: loop, socket: socket) { [unowned self] in act(socket, $0) }
                polls[socket] = poll
            }
            var events: SocketPoll.Events = []
            if what & CURL_POLL_IN != 0 { events.insert(.readable) }
            if what & CURL_POLL_OUT != 0 { events.insert(.writable) }
            try poll.start(events)
        } catch {
            // Only when the kernel has no memory for it. To tell libcurl would end all transfers; so this one ends at its
            // deadline.
        }
    }

    private func act(_ socket: CInt, _ events: SocketPoll.Events) {
        var mask: CInt = 0
        // A failure is met again by reading and writing. `CURL_CSELECT_ERR` instead would end the transfer also where a
        // kept connection was dead and another would do.
        if !events.isDisjoint(with: [.readable, .failed]) { mask |= CURL_CSELECT_IN }
        if !events.isDisjoint(with: [.writable, .failed]) { mask |= CURL_CSELECT_OUT }
        var running: CInt = 0
        let code = curl_multi_socket_action(multi, socket, mask, &running)
        if code != CURLM_OK {  // out of memory; what state the transfers are in is unknown
            for transfer in transfers.values where transfer.easy != nil {
                finish(transfer, .failure(.unavailable(reason: Self.text(code))))
            }
        }
        collect()
        // Polling has stopped, but libcurl may go on with the socket without saying so.
        if events.contains(.failed), let poll = polls[socket] { try? poll.start(poll.awaited) }
    }

    private static func text(_ code: CURLMcode) -> String {
        curl_multi_strerror(code).map { String(cString: $0) } ?? "libcurl error \(code.rawValue)"
    }
}
