package import Domain

/// What the tries of one client call have in common: who calls, the id that the client's library gives a call, method and
/// target, and the body. Anybody can send the id of another call, so it never stands alone.
package struct RetryKey: Hashable, Sendable {
    package let digest: Digest

    /// - Parameter digest: over all of the above.
    package init(digest: Digest) { self.digest = digest }

    /// What is stored with an execution.
    package var text: String { digest.hex }
}

/// The calls whose clients may try again: a try that comes while the first is running waits for its answer, and one that
/// comes later gets a copy. A value without clock or I/O.
///
/// A call is forgotten five minutes after its answer, or earlier when there are too many: first those whose answer had
/// somebody to go to, since most of these have arrived. A call that is running is never forgotten; when there are too
/// many of these, further ones are not entered, and a second try of one is a call of its own.
package struct RetryTable<Waiter> {
    package struct Limits: Sendable {
        /// Calls that are running or remembered.
        package var callsMax = 50_000
        /// Of all the answers that are remembered, with what they cost beside their bytes.
        package var bytesMax = 64 << 20
        /// How long an answer is remembered.
        package var replayTime = Interval.seconds(300)
        /// Tries that wait for one call; more are refused.
        package var waitersMax = 16
        package init() {}
    }

    package struct Answer: Sendable {
        package let response: WireResponse
        package let requestID: String

        package init(response: WireResponse, requestID: String) {
            self.response = response
            self.requestID = requestID
        }

        fileprivate var cost: Int {
            response.headers.reduce(512 + response.body.count) { $0 + $1.0.utf8.count + $1.1.utf8.count }
        }
    }

    package enum Arrival {
        /// The first try: run it, and `finish` when it has its answer.
        case first
        /// As `first`, but there is no room to remember it: there is nothing to finish.
        case untracked
        /// The waiter is returned by the first try's `finish`.
        case waits
        case replay(Answer)
        case tooManyTries
    }

    private enum Call {
        case running([Waiter])
        case answered(Answer, at: Instant)
    }

    private let limits: Limits
    private var calls: [RetryKey: Call] = [:]
    private var delivered = Line()
    private var undelivered = Line()
    private var bytes = 0

    package init(limits: Limits = .init()) { self.limits = limits }

    package var count: Int { calls.count }

    /// - Parameter isOpen: whether a waiter still waits; asked when there are too many.
    package mutating func arrive(
        _ key: RetryKey, _ waiter: @autoclosure () -> Waiter, at now: Instant, isOpen: (Waiter) -> Bool = { _ in true }
    ) -> Arrival {
        expire(at: now)
        switch calls[key] {
        case .running(var waiters):
            if waiters.count >= limits.waitersMax { waiters.removeAll { !isOpen($0) } }
            guard waiters.count < limits.waitersMax else { return .tooManyTries }
            waiters.append(waiter())
            calls[key] = .running(waiters)
            return .waits
        case .answered(let answer, _):
            return .replay(answer)
        case nil:
            while calls.count >= limits.callsMax { if !forgetOldest() { return .untracked } }
            calls[key] = .running([])
            return .first
        }
    }

    /// - Parameter isDelivered: the answer had somebody to go to.
    /// - Returns: who else waits for it.
    package mutating func finish(
        _ key: RetryKey, _ answer: Answer, isDelivered: Bool, at now: Instant
    ) -> [Waiter] {
        guard case .running(let waiters) = calls[key] else { return [] }
        // What did not happen may be tried again, and what is too large to keep is not kept.
        let status = answer.response.status
        guard status < 500, status != 429, answer.cost <= limits.bytesMax / 4 else {
            calls[key] = nil
            return waiters
        }
        calls[key] = .answered(answer, at: now)
        bytes += answer.cost
        if isDelivered { delivered.append(key) } else { undelivered.append(key) }
        while bytes > limits.bytesMax, forgetOldest() {}
        return waiters
    }

    /// When the oldest answer may be forgotten; `nil` when there is none.
    package var nextExpiry: Instant? {
        let times = [delivered.first, undelivered.first].compactMap { $0.flatMap(answeredAt) }
        return times.min().map { $0 + limits.replayTime }
    }

    package mutating func expire(at now: Instant) {
        while let key = delivered.first, let at = answeredAt(key), at + limits.replayTime <= now {
            forget(delivered.removeFirst())
        }
        while let key = undelivered.first, let at = answeredAt(key), at + limits.replayTime <= now {
            forget(undelivered.removeFirst())
        }
    }

    private func answeredAt(_ key: RetryKey) -> Instant? {
        if case .answered(_, let at) = calls[key] { at } else { nil }
    }

    private mutating func forgetOldest() -> Bool {
        if delivered.first != nil {
            forget(delivered.removeFirst())
        } else if undelivered.first != nil {
            forget(undelivered.removeFirst())
        } else {
            return false
        }
        return true
    }

    private mutating func forget(_ key: RetryKey) {
        if case .answered(let answer, _) = calls.removeValue(forKey: key) { bytes -= answer.cost }
    }

    /// Keys in the order of their answers.
    private struct Line {
        private var keys: [RetryKey] = []
        private var start = 0

        var first: RetryKey? { start < keys.count ? keys[start] : nil }

        mutating func append(_ key: RetryKey) { keys.append(key) }

        mutating func removeFirst() -> RetryKey {
            let key = keys[start]
            start += 1
            if start >= 1024, start * 2 >= keys.count {
                keys.removeFirst(start)
                start = 0
            }
            return key
        }
    }
}
