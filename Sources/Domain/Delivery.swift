/// A place outside of this host's functions that can be told of executions' ends, by the name that AWS clients use: the ARN
/// of a queue, topic, bucket or event bus. What it stands for, a directory or a webhook, is in the host's configuration.
package struct TargetARN: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    package static let lengthMax = 350
    package static let services = ["events", "s3", "sns", "sqs"]

    /// `nil` unless it is `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` with one of the services above, of printable
    /// ASCII without white space, quotation marks and backslashes; region and account may be empty, as in a bucket's.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard text.utf8.count <= Self.lengthMax,
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }),
            parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"), Self.services.contains(String(parts[2])),
            !parts[5].isEmpty
        else { return nil }
        self.text = text
    }

    package var description: String { text }
    package static func < (left: TargetARN, right: TargetARN) -> Bool { left.text < right.text }
}

/// What a target is to be told of an execution's end. It is stored with that end, and gone when the target has it.
package struct Delivery: Equatable, Sendable {
    package enum Content: String, Sendable {
        /// The record of how it ended, for a destination.
        case record
        /// The event that could not be processed, for a dead-letter queue.
        case deadLetter
    }

    /// Ascends; 0 until stored.
    package var sequence: Int64
    package let execution: Execution.ID
    package let content: Content
    package let target: TargetARN
    package let createdAt: Timestamp
    /// Tries that failed.
    package var failures: Int
    /// Not before this time it is tried.
    package var notBefore: Timestamp

    package init(
        sequence: Int64 = 0, execution: Execution.ID, content: Content, target: TargetARN, createdAt: Timestamp,
        failures: Int = 0, notBefore: Timestamp
    ) {
        self.sequence = sequence
        self.execution = execution
        self.content = content
        self.target = target
        self.createdAt = createdAt
        self.failures = failures
        self.notBefore = notBefore
    }

    /// The same for all tries, and no other delivery's: so whoever gets it twice can tell.
    package var name: String {
        switch content {
        case .record: execution.text
        case .deadLetter: execution.text + "-dead-letter"
        }
    }
}
