package import Domain

/// When the memory of workers is measured: in rounds, while something runs or has run since the last one.
///
/// The first round comes a moment after the first change, the others `period` apart, and further apart where they take
/// long, so that they cost one thread 5 % of its time at the most. Without a change none is pending.
package struct MemoryRounds {
    /// What a worker does at first is over then, most of the time.
    package static let delay = Interval.seconds(1)
    package static let period = Interval.seconds(5)
    /// Workers measured in one round; those that were not for longest come first.
    package static let workersMax = 64

    /// A round was asked for and has not ended.
    package private(set) var isPending = false
    private var earliest = Instant(nanoseconds: .min)

    package init() {}

    /// A worker may have changed.
    ///
    /// - Returns: when the round is to begin; `nil` when one is pending already.
    package mutating func changed(at now: Instant) -> Instant? {
        guard !isPending else { return nil }
        isPending = true
        return max(now + Self.delay, earliest)
    }

    /// - Parameter isMore: something has changed meanwhile, or was left for the next round.
    /// - Returns: when the next round is to begin; `nil` when none is needed.
    package mutating func ended(beganAt begin: Instant, isMore: Bool, at now: Instant) -> Instant? {
        let pause = Interval(nanoseconds: max(0, (now - begin).nanoseconds) * 19)
        earliest = max(begin + Self.period, now + pause)
        isPending = isMore
        return isMore ? earliest : nil
    }
}
