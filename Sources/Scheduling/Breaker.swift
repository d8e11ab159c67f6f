import Domain

/// Stops the starts of a pool whose workers fail, and tries one from time to time.
///
///     closed -> open       by a failed init; by `HostLimits.crashesMax` workers in a row that were lost without an answer
///     open -> half-open    when the pause has passed: one worker is started
///     half-open -> closed  when that is ready (after a failed init) or has answered (after crashes)
///     half-open -> open    when it fails as well, for twice as long, at most `HostLimits.initBackoffMax`
///
/// (Nygard, *Release It!*, 2007.)
struct Breaker: Sendable {
    /// No start before this.
    private(set) var openUntil = Instant(nanoseconds: .min)
    /// The last pause; `nil` when closed.
    private(set) var pause: Interval?
    private var openedAt = Instant(nanoseconds: .min)
    private var closesWithAnswer = false
    /// Workers lost since the last answer.
    private var crashes = 0

    /// Closed no more, so that starts are tried one at a time once `openUntil` has come.
    var isClosed: Bool { pause == nil }

    /// Workers that were started before it opened count with the failure that opened it.
    mutating func initFailed(startedAt: Instant, at now: Instant, _ limits: HostLimits) {
        if startedAt >= openedAt { open(at: now, limits) }
        closesWithAnswer = false
    }

    /// Returns whether it has opened.
    mutating func crashed(startedAt: Instant, at now: Instant, _ limits: HostLimits) -> Bool {
        crashes += 1
        guard crashes >= limits.crashesMax, startedAt >= openedAt else { return false }
        open(at: now, limits)
        closesWithAnswer = true
        return true
    }

    mutating func ready() { if !closesWithAnswer { close() } }

    mutating func answered() {
        crashes = 0
        if closesWithAnswer { close() }
    }

    private mutating func open(at now: Instant, _ limits: HostLimits) {
        let next = pause.map { min($0 + $0, limits.initBackoffMax) } ?? limits.initBackoff
        pause = next
        openUntil = now + next
        openedAt = now
    }

    private mutating func close() {
        pause = nil
        openUntil = Instant(nanoseconds: .min)
        closesWithAnswer = false
    }
}
