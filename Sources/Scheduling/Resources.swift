import Domain

/// What workers take of the host.
struct Resources: Equatable, Sendable {
    var workers = 0
    var memoryMegabytes = 0

    static func + (left: Resources, right: Resources) -> Resources {
        Resources(workers: left.workers + right.workers, memoryMegabytes: left.memoryMegabytes + right.memoryMegabytes)
    }

    static func - (left: Resources, right: Resources) -> Resources {
        Resources(workers: left.workers - right.workers, memoryMegabytes: left.memoryMegabytes - right.memoryMegabytes)
    }

    static func += (left: inout Resources, right: Resources) { left = left + right }
    static func -= (left: inout Resources, right: Resources) { left = left - right }

    func fits(_ budget: Resources) -> Bool {
        workers <= budget.workers && memoryMegabytes <= budget.memoryMegabytes
    }
}

/// Token bucket over starts, kept as the time at which it would be full (the generic cell rate algorithm).
struct StartRate: Sendable {
    private let interval: Interval
    private let tolerance: Interval
    private var fullAt = Instant(nanoseconds: .min)

    init(perSecond: Double, burst: Int) {
        interval = .seconds(1 / perSecond)
        tolerance = .seconds(Double(burst - 1) / perSecond)
    }

    /// When the next start may happen; in the past when at once.
    var nextStart: Instant {
        let (next, overflow) = fullAt.nanoseconds.subtractingReportingOverflow(tolerance.nanoseconds)
        return Instant(nanoseconds: overflow ? .min : next)
    }

    mutating func take(at now: Instant) { fullAt = max(fullAt, now) + interval }
}
