package import Domain

/// When the host looks at memory: in rounds, which measure workers and read the machine's memory pressure.
///
/// While something runs or has run since the last round, and while the budget is lowered, they come every 5 s, the first
/// one a moment after the first change; while workers are only kept, every 30 s; else not at all. They are further apart
/// where they take long, so that they cost one thread 5 % of its time at the most.
package struct MemoryRounds {
    /// What a next round is needed for.
    package enum Need: Sendable {
        case nothing
        /// Workers take memory, and may have to give it up.
        case watch
        /// Workers may have changed, or the budget is to be raised again.
        case measure
    }

    /// What a worker does at first is over then, most of the time.
    package static let delay = Interval.seconds(1)
    package static let period = Interval.seconds(5)
    package static let watchPeriod = Interval.seconds(30)
    /// Workers measured in one round; those that were not for longest come first.
    package static let workersMax = 64

    /// A round runs, or one that measures is pending: a change needs nothing more.
    package private(set) var isExpected = false
    private var beganAt = Instant.zero
    private var earliest = Instant(nanoseconds: .min)

    package init() {}

    /// A worker may have changed.
    ///
    /// - Returns: when the round is to begin, whatever was asked for before; `nil` when one is expected already.
    package mutating func changed(at now: Instant) -> Instant? {
        guard !isExpected else { return nil }
        isExpected = true
        return max(now + Self.delay, earliest)
    }

    package mutating func began(at now: Instant) {
        isExpected = true
        beganAt = now
    }

    /// - Parameter need: what has changed since it began counts.
    /// - Returns: when the next round is to begin; `nil` when none is needed.
    package mutating func ended(need: Need, at now: Instant) -> Instant? {
        let pause = Interval(nanoseconds: max(0, (now - beganAt).nanoseconds) * 19)
        earliest = max(beganAt + Self.period, now + pause)
        isExpected = need == .measure
        return switch need {
        case .nothing: nil
        case .watch: max(beganAt + Self.watchPeriod, earliest)
        case .measure: earliest
        }
    }
}
