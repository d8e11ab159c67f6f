/// Who asks for a change, for the records.
package struct Caller: Equatable, Sendable {
    /// The id of the access key; `anonymous` on a host without keys; `execution ID` for what a training publishes.
    package let name: String
    /// The request that asks, as its answer names it.
    package let requestID: String

    package init(name: String, requestID: String) {
        self.name = name
        self.requestID = requestID
    }

    /// The name of callers of a host without access keys.
    package static let anonymousName = "anonymous"
}

/// One line of the audit trail: a change that was made, stored in the same commit.
package struct AuditEntry: Equatable, Sendable {
    /// Ascending; 0 until stored.
    package var sequence: Int64
    package var at: Timestamp
    package var caller: Caller
    /// As the API calls it: `UpdateAlias`, `Deploy`.
    package var operation: String
    /// The function that was changed; for an execution the one that it runs; `nil` for a dataset.
    package var function: FunctionName?
    /// What of the function: a version's number, an alias's name, an execution's id; empty for the function itself. For a
    /// dataset `dataset:NAME@NUMBER`.
    package var subject: String

    package init(
        sequence: Int64 = 0, at: Timestamp, caller: Caller, operation: String, function: FunctionName?,
        subject: String = ""
    ) {
        self.sequence = sequence
        self.at = at
        self.caller = caller
        self.operation = operation
        self.function = function
        self.subject = subject
    }
}
