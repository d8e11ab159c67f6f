/// The durable record of one asynchronous invocation.
///
/// States: `queued -> running -> succeeded | failed | timedOut | stopped`; `queued -> stopped | failed`;
/// `running -> queued` for a retry or after the host was restarted; `queued -> paused`, `running -> pausing -> paused`,
/// `pausing | paused -> queued | stopped`. An ended execution never changes again.
package struct Execution: Equatable, Sendable, Identifiable {
    /// A UUID; also the request id of every attempt.
    package struct ID: Hashable, Sendable, CustomStringConvertible {
        package let text: String
        package init(_ text: String) { self.text = text }
        package var description: String { text }
    }

    package enum Status: String, Sendable, CaseIterable {
        case queued = "QUEUED"
        case running = "RUNNING"
        /// Paused, and the worker that ran it has not gone yet.
        case pausing = "PAUSING"
        case paused = "PAUSED"
        case succeeded = "SUCCEEDED"
        case failed = "FAILED"
        case timedOut = "TIMED_OUT"
        case stopped = "STOPPED"

        package var isEnded: Bool {
            switch self {
            case .queued, .running, .pausing, .paused: false
            case .succeeded, .failed, .timedOut, .stopped: true
            }
        }
    }

    /// A data channel of a training: a name and the artifact (manifest) with its files.
    package struct Channel: Equatable, Sendable {
        package var name: String
        package var artifact: Digest
        /// The dataset whose files these are, with its number; `nil` when the client named the artifact.
        package var dataset: DatasetReference?

        package init(name: String, artifact: Digest, dataset: DatasetReference? = nil) {
            self.name = name
            self.artifact = artifact
            self.dataset = dataset
        }
    }

    /// What an ended execution failed with.
    package struct Failure: Equatable, Sendable {
        package var type: String
        package var message: String
        /// The function's error body as it sent it; empty when there was none.
        package var data: String
        /// As who stopped the execution gave it; that of a function is in `data`.
        package var stackTrace: [String]

        package init(type: String, message: String, data: String = "", stackTrace: [String] = []) {
            self.type = type
            self.message = message
            self.data = data
            self.stackTrace = stackTrace
        }
    }

    package let id: ID
    package let name: ExecutionName
    package let function: Function.ID
    package let functionName: FunctionName
    /// As the client invoked it, `nil` when unqualified.
    package let qualifier: Qualifier?
    /// Resolved when accepted, and the same for all attempts. `$LATEST` runs the code current at each attempt.
    package let version: VersionNumber
    /// The event. Written once.
    package var input: Payload
    /// The version of the trained function that a training starts from; `nil` for other executions and without a model.
    package let baseVersion: VersionNumber?
    package let channels: [Channel]
    /// The alias of the trained function that moves to the new version.
    package let promote: AliasName?
    package let acceptedAt: Timestamp
    /// What the tries of one client call have in common; `nil` when the client named none. Written once, not read back.
    package let retryKey: String?
    /// How many executions before this one led to it, each by its destination; 0 for one that a client started.
    package let chainDepth: Int
    /// Of those of its function that wait, the highest comes first; -100 to 100.
    package let priority: Int

    package static let priorities = -100...100

    package var status: Status
    /// Attempts started so far, 0 before the first.
    package var attempt: Int
    /// When the newest attempt started.
    package var startedAt: Timestamp?
    package var endedAt: Timestamp?
    /// The function's answer; set only when succeeded.
    package var result: Payload?
    package var failure: Failure?
    /// Not before this time the next attempt starts; `nil` means at once.
    package var notBefore: Timestamp?
    /// Since when it is paused; `nil` when it is not.
    package var pausedAt: Timestamp?
    /// For how long it was paused before, all together.
    package var pausedMilliseconds: Int64
    /// The version that a successful training published.
    package var publishedVersion: Int?
    /// Whether the alias in `promote` moved to that, and why, as a JSON object; `nil` when nothing was to move, or the
    /// training has not succeeded.
    package var promotion: String?
    /// Last reported progress, the JSON object as the worker sent it.
    package var progress: String?

    package init(
        id: ID, name: ExecutionName, function: Function.ID, functionName: FunctionName, qualifier: Qualifier?,
        version: VersionNumber, input: Payload, baseVersion: VersionNumber? = nil, channels: [Channel] = [],
        promote: AliasName? = nil, acceptedAt: Timestamp, retryKey: String? = nil, chainDepth: Int = 0,
        priority: Int = 0,
        status: Status = .queued, attempt: Int = 0,
        startedAt: Timestamp? = nil, endedAt: Timestamp? = nil, result: Payload? = nil, failure: Failure? = nil,
        notBefore: Timestamp? = nil, pausedAt: Timestamp? = nil, pausedMilliseconds: Int64 = 0,
        publishedVersion: Int? = nil, promotion: String? = nil, progress: String? = nil
    ) {
        self.id = id
        self.name = name
        self.function = function
        self.functionName = functionName
        self.qualifier = qualifier
        self.version = version
        self.input = input
        self.baseVersion = baseVersion
        self.channels = channels
        self.promote = promote
        self.acceptedAt = acceptedAt
        self.retryKey = retryKey
        self.chainDepth = chainDepth
        self.priority = priority
        self.status = status
        self.attempt = attempt
        self.startedAt = startedAt
        self.endedAt = endedAt
        self.result = result
        self.failure = failure
        self.notBefore = notBefore
        self.pausedAt = pausedAt
        self.pausedMilliseconds = pausedMilliseconds
        self.publishedVersion = publishedVersion
        self.promotion = promotion
        self.progress = progress
    }
}

/// One line of an execution's history. `detail` is a JSON object.
package struct ExecutionEvent: Equatable, Sendable {
    package enum Kind: String, Sendable {
        case accepted, attemptStarted, progress, attemptEnded, interrupted, stopRequested, published, ended
        case paused, resumed
        /// Whether an alias moved to the published version, and why.
        case promotion
        /// A destination was invoked, or why not; or a target of the configuration will be told.
        case destination
        /// A target was told of its end; or it was given up, and why.
        case delivered, undelivered
        /// It had failed, and its event is run again by another execution.
        case redriven
    }

    /// Ascending within the execution from 1; 0 until stored.
    package var sequence: Int
    package var kind: Kind
    package var at: Timestamp
    package var detail: String

    package init(sequence: Int = 0, kind: Kind, at: Timestamp, detail: String = "{}") {
        self.sequence = sequence
        self.kind = kind
        self.at = at
        self.detail = detail
    }
}
