/// A point on the host's monotonic clock, in nanoseconds since an unspecified start.
///
/// Policies receive instants as arguments and never read a clock. Instants of different processes do not compare.
package struct Instant: Hashable, Comparable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static let zero = Instant(nanoseconds: 0)
    package static let distantFuture = Instant(nanoseconds: .max)

    package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Saturates at `distantFuture` instead of overflowing.
    package static func + (left: Instant, right: Interval) -> Instant {
        let (sum, overflow) = left.nanoseconds.addingReportingOverflow(right.nanoseconds)
        return overflow ? .distantFuture : Instant(nanoseconds: sum)
    }

    package static func - (left: Instant, right: Instant) -> Interval {
        Interval(nanoseconds: left.nanoseconds - right.nanoseconds)
    }
}

/// A length of time in whole nanoseconds: `Duration` without its 128-bit arithmetic, for the invocation path.
package struct Interval: Hashable, Comparable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static let zero = Interval(nanoseconds: 0)
    package static let forever = Interval(nanoseconds: .max)

    /// Saturates at `forever`.
    package static func seconds(_ seconds: Int) -> Interval {
        let (product, overflow) = Int64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .forever : Interval(nanoseconds: product)
    }

    /// Rounded to whole nanoseconds; saturates at `forever`.
    package static func seconds(_ seconds: Double) -> Interval {
        let nanoseconds = seconds * 1e9
        return nanoseconds >= 9e18 ? .forever : Interval(nanoseconds: Int64(nanoseconds))
    }

    package static func milliseconds(_ milliseconds: Int) -> Interval {
        let (product, overflow) = Int64(milliseconds).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .forever : Interval(nanoseconds: product)
    }

    package static func < (left: Interval, right: Interval) -> Bool { left.nanoseconds < right.nanoseconds }
    package static func + (left: Interval, right: Interval) -> Interval {
        let (sum, overflow) = left.nanoseconds.addingReportingOverflow(right.nanoseconds)
        return overflow ? .forever : Interval(nanoseconds: sum)
    }

    package var seconds: Double { Double(nanoseconds) / 1e9 }
    package var milliseconds: Double { Double(nanoseconds) / 1e6 }
}

/// A point of civil time, in milliseconds since 1970 (UTC). What records and clients see; never used to measure.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var millisecondsSince1970: Int64

    package init(millisecondsSince1970: Int64) { self.millisecondsSince1970 = millisecondsSince1970 }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.millisecondsSince1970 < right.millisecondsSince1970
    }

    package var secondsSince1970: Double { Double(millisecondsSince1970) / 1000 }
}
