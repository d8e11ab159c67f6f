package import Domain

/// When a delivery that failed is tried again.
package struct DeliveryPolicy: Sendable {
    /// How old a delivery may be when it fails for good.
    package var ageMax = Interval.seconds(86_400)
    /// So often it has to have failed for that, whatever the clock says.
    package var failuresMin = 10

    package init() {}

    /// No pause is longer, but for the tenth by which it varies.
    package static let pauseMax = Interval.seconds(300)

    /// Doubled by every failure, from a second to five minutes.
    ///
    /// - Parameter failures: this one included.
    /// - Parameter asked: what the target asked for; the shorter of that and the longest pause is kept at least.
    package static func pause(afterFailures failures: Int, asked: Interval? = nil) -> Interval {
        let doubled = Interval.seconds(min(Int(pauseMax.seconds), 1 << min(max(0, failures - 1), 9)))
        return max(doubled, min(asked ?? .zero, pauseMax))
    }

    /// Whether a delivery that has just failed is not tried again.
    package func isOver(_ delivery: Delivery, at now: Timestamp) -> Bool {
        let age = now.millisecondsSince1970 - delivery.createdAt.millisecondsSince1970
        return delivery.failures >= failuresMin && age > ageMax.nanoseconds / 1_000_000
    }

    /// Whether the time for a try has come. One that is further ahead than any pause was set by another clock than
    /// today's, and has.
    package static func hasCome(_ notBefore: Timestamp, at now: Timestamp) -> Bool {
        let ahead = notBefore.millisecondsSince1970 - now.millisecondsSince1970
        return ahead <= 0 || Double(ahead) > pauseMax.seconds * 1.1 * 1000
    }
}
