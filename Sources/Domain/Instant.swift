/// A point on the host's monotonic clock, in nanoseconds since an unspecified start.
///
/// Policies receive instants as arguments and never read a clock. Instants of different processes do not compare.
package struct Instant: Hashable, Comparable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static let zero = Instant(nanoseconds: 0)
    package static let distantFuture = Instant(nanoseconds: .max)

    package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Since the clock's start.
    package var seconds: Double { Double(nanoseconds) / 1e9 }

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

extension Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-23T12:00:00.000Z`.
    package var text: String {
        let inDay = (millisecondsSince1970 % 86_400_000 + 86_400_000) % 86_400_000
        let days = (millisecondsSince1970 - inDay) / 86_400_000
        let date = Self.date(daysSince1970: days)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let milliseconds = inDay % 1000
        let padding = milliseconds < 10 ? "00" : milliseconds < 100 ? "0" : ""
        return "\(date.year)-\(two(date.month))-\(two(date.day))T\(two(inDay / 3_600_000))"
            + ":\(two(inDay / 60_000 % 60)):\(two(inDay / 1000 % 60)).\(padding)\(milliseconds)Z"
    }

    /// Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is a year's last.
    private static func date(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = daysSince1970 + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
