package import Domain

/// An execution without its event's bytes and its answer: what queues and lists need.
package struct ExecutionHead: Equatable, Sendable, Identifiable {
    package let id: Execution.ID
    package let name: ExecutionName
    package let function: Function.ID
    package let functionName: FunctionName
    package let qualifier: Qualifier?
    package let version: VersionNumber
    package let baseVersion: VersionNumber?
    package let channels: [Execution.Channel]
    package let promote: AliasName?
    package let acceptedAt: Timestamp
    package let chainDepth: Int
    package let priority: Int
    package var status: Execution.Status
    package var attempt: Int
    package var startedAt: Timestamp?
    package var endedAt: Timestamp?
    package var failure: Execution.Failure?
    package var notBefore: Timestamp?
    package var pausedAt: Timestamp?
    package var pausedMilliseconds: Int64
    package var publishedVersion: Int?
    package var promotion: String?
    package var progress: String?
}

extension ExecutionHead {
    /// The head of an execution that the host has just made.
    package init(_ execution: Execution) {
        self.init(
            id: execution.id, name: execution.name, function: execution.function,
            functionName: execution.functionName, qualifier: execution.qualifier, version: execution.version,
            baseVersion: execution.baseVersion, channels: execution.channels, promote: execution.promote,
            acceptedAt: execution.acceptedAt, chainDepth: execution.chainDepth,
            priority: execution.priority, status: execution.status,
            attempt: execution.attempt,
            startedAt: execution.startedAt, endedAt: execution.endedAt, failure: execution.failure,
            notBefore: execution.notBefore,
            pausedAt: execution.pausedAt, pausedMilliseconds: execution.pausedMilliseconds,
            publishedVersion: execution.publishedVersion, promotion: execution.promotion, progress: execution.progress)
    }
}

/// Which executions to list.
package struct ExecutionQuery: Sendable {
    /// `nil` lists those of all functions, deleted ones included.
    package var function: Function.ID?
    /// Only of these versions; `nil` means any.
    package var versions: [VersionNumber]?
    /// Only those invoked with this qualifier, as the client wrote it; `nil` means any.
    package var qualifier: Qualifier?
    /// Only in one of these states; `nil` means any.
    package var statuses: Set<Execution.Status>?
    package var name: ExecutionName?
    /// Both inclusive.
    package var acceptedAfter: Timestamp?
    package var acceptedBefore: Timestamp?
    /// In the order in which they were accepted.
    package var isNewestFirst: Bool
    /// `ExecutionPage.next` of the page before; `nil` starts at the first.
    package var after: Int64?
    package var limit: Int

    package init(
        function: Function.ID?, versions: [VersionNumber]? = nil, qualifier: Qualifier? = nil,
        statuses: Set<Execution.Status>? = nil, name: ExecutionName? = nil, acceptedAfter: Timestamp? = nil,
        acceptedBefore: Timestamp? = nil, isNewestFirst: Bool = true, after: Int64? = nil, limit: Int = 50
    ) {
        self.function = function
        self.versions = versions
        self.qualifier = qualifier
        self.statuses = statuses
        self.name = name
        self.acceptedAfter = acceptedAfter
        self.acceptedBefore = acceptedBefore
        self.isNewestFirst = isNewestFirst
        self.after = after
        self.limit = limit
    }
}

package struct ExecutionPage: Equatable, Sendable {
    package var executions: [ExecutionHead]
    /// Where the next page starts; `nil` when this is the last. It stays valid whatever is added or deleted meanwhile.
    package var next: Int64?
}
