/// Where a training's new version is to go: an alias, and what the version's metrics must be for that.
package struct Promotion: Equatable, Sendable {
    package var alias: AliasName
    /// `nil` moves the alias in any case.
    package var gate: PromotionGate?

    package init(alias: AliasName, gate: PromotionGate? = nil) {
        self.alias = alias
        self.gate = gate
    }
}

/// A condition on one metric of a new version.
package struct PromotionGate: Equatable, Sendable {
    package enum Direction: String, Sendable {
        case max, min
    }

    package enum Condition: Equatable, Sendable {
        case atLeast(Double)
        case atMost(Double)
        /// Than the metric of the version that the alias points to; as good is not better. `max` says that more is better.
        case betterThanCurrent(Direction)
    }

    /// What there is to compare with.
    package enum Current: Equatable, Sendable {
        /// The alias is not there yet.
        case none
        /// The version that it points to, the first one where it has weights, and its metric; `nil` when that has none.
        case version(VersionNumber, Double?)
    }

    package var metric: String
    package var condition: Condition

    package init(metric: String, condition: Condition) {
        self.metric = metric
        self.condition = condition
    }

    /// Whether the gate holds, and why, in words that follow the metric's name. Without a version to compare with there is
    /// nothing to be better than, and it holds; a version without the metric may be better, and it does not.
    package func verdict(value: Double, current: Current) -> (holds: Bool, reason: String) {
        switch condition {
        case .atLeast(let limit):
            value >= limit ? (true, "is at least \(limit)") : (false, "is less than \(limit)")
        case .atMost(let limit):
            value <= limit ? (true, "is at most \(limit)") : (false, "is more than \(limit)")
        case .betterThanCurrent(let direction):
            switch current {
            case .none: (true, "has nothing to be compared with: the alias is new")
            case .version(let number, nil): (false, "cannot be compared: version \(number) has no such metric")
            case .version(let number, let before?):
                if direction == .max ? value > before : value < before {
                    (true, "is better than \(before) of version \(number)")
                } else {
                    (false, "is not better than \(before) of version \(number)")
                }
            }
        }
    }
}
