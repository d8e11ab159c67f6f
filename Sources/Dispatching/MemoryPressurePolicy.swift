package import Domain
package import Workers

/// What the memory budget is while the machine is short of memory.
///
/// Under high pressure it is lowered to nine tenths of what workers take, again every 10 s while that lasts, down to a
/// tenth of its limit, so that no host stops altogether for the sake of others. When there has been next to no pressure
/// for 30 s it is raised by a tenth of the limit, and so on every 30 s.
package struct MemoryPressurePolicy: Sendable {
    package let limitMegabytes: Int
    package private(set) var budgetMegabytes: Int
    private var loweredAt = Instant(nanoseconds: .min)
    private var quietSince: Instant?

    /// Above either of these it is high.
    private static let high = MemoryPressure(some: 20, full: 5)
    /// Below both of these there is next to none.
    private static let low = MemoryPressure(some: 5, full: 1)
    /// The averages are of 10 s: what was done sooner does not show yet.
    private static let loweredFor = Interval.seconds(10)
    private static let quietFor = Interval.seconds(30)

    package init(limitMegabytes: Int) {
        self.limitMegabytes = limitMegabytes
        budgetMegabytes = limitMegabytes
    }

    package var isLowered: Bool { budgetMegabytes < limitMegabytes }

    /// - Parameter usedMegabytes: what workers take now.
    /// - Returns: the new budget; `nil` when it stays.
    package mutating func sampled(_ pressure: MemoryPressure, usedMegabytes: Int, at now: Instant) -> Int? {
        let before = budgetMegabytes
        let step = max(1, limitMegabytes / 10)
        if pressure.some >= Self.high.some || pressure.full >= Self.high.full {
            quietSince = nil
            guard now >= loweredAt + Self.loweredFor else { return nil }
            let used = min(usedMegabytes, budgetMegabytes)
            budgetMegabytes = min(budgetMegabytes, max(step, used - used / 10))
            if budgetMegabytes < before { loweredAt = now }
        } else if pressure.some < Self.low.some, pressure.full < Self.low.full {
            guard isLowered else { return nil }
            let since = quietSince ?? now
            quietSince = since
            guard now >= since + Self.quietFor else { return nil }
            quietSince = now
            budgetMegabytes = limitMegabytes - before <= step ? limitMegabytes : before + step
        } else {
            quietSince = nil
        }
        return budgetMegabytes == before ? nil : budgetMegabytes
    }
}
