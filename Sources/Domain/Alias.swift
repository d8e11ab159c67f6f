/// A movable name for a version, optionally splitting its invocations with a second one.
package struct Alias: Equatable, Sendable {
    /// Where an alias sends its invocations.
    package struct Target: Equatable, Sendable {
        package var version: VersionNumber
        /// The second version and its share (0...1) of the invocations; `nil` sends all to `version`.
        package var additional: Weight?

        package init(version: VersionNumber, additional: Weight? = nil) {
            self.version = version
            self.additional = additional
        }
    }

    package struct Weight: Equatable, Sendable {
        package var version: Int
        package var weight: Double

        package init(version: Int, weight: Double) {
            self.version = version
            self.weight = weight
        }
    }

    package let name: AliasName
    package var target: Target
    package var description: String
    /// A UUID, new with every update.
    package var revision: String

    package init(name: AliasName, target: Target, description: String, revision: String) {
        self.name = name
        self.target = target
        self.description = description
        self.revision = revision
    }
}

/// One line of an alias's append-only history.
package struct AliasChange: Equatable, Sendable {
    package enum Cause: String, Sendable {
        case created, updated, deleted, promoted
        /// Undid the change whose sequence number is `undoes`.
        case rolledBack
    }

    /// Ascending over all aliases; 0 until stored.
    package var sequence: Int64
    package var alias: AliasName
    /// `nil` when the alias did not exist before (`created`).
    package var from: Alias.Target?
    /// `nil` when it does not exist after (`deleted`).
    package var to: Alias.Target?
    package var cause: Cause
    /// For a roll-back, the sequence number of the change that it undid.
    package var undoes: Int64?
    package var at: Timestamp
    /// Who asked: `anonymous` until keys exist, or `execution <id>`.
    package var by: String
    /// Free text, may be empty.
    package var why: String

    package init(
        sequence: Int64 = 0, alias: AliasName, from: Alias.Target?, to: Alias.Target?, cause: Cause,
        undoes: Int64? = nil, at: Timestamp, by: String, why: String
    ) {
        self.sequence = sequence
        self.alias = alias
        self.from = from
        self.to = to
        self.cause = cause
        self.undoes = undoes
        self.at = at
        self.by = by
        self.why = why
    }
}
