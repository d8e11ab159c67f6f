internal import Domain
internal import JSON
internal import Registry

/// An execution as clients of durable executions see it.
enum ExecutionDocument {
    /// Those of the service's model. `DELETING` occurs nowhere here: what is deleted is gone at once.
    static let statuses = [
        "RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED", "DELETING", "PAUSING", "PAUSED",
    ]

    /// What is queued counts as running, since it was accepted.
    static func status(_ status: Execution.Status) -> String {
        status == .queued ? Execution.Status.running.rawValue : status.rawValue
    }

    static func summary(_ execution: Execution) -> JSONObject {
        summary(
            execution.functionName, execution.version, execution.name, execution.id, execution.status,
            acceptedAt: execution.acceptedAt, endedAt: execution.endedAt)
    }

    static func summary(_ execution: ExecutionHead) -> JSONObject {
        summary(
            execution.functionName, execution.version, execution.name, execution.id, execution.status,
            acceptedAt: execution.acceptedAt, endedAt: execution.endedAt)
    }

    private static func summary(
        _ function: FunctionName, _ version: VersionNumber, _ name: ExecutionName, _ id: Execution.ID,
        _ status: Execution.Status, acceptedAt: Timestamp, endedAt: Timestamp?
    ) -> JSONObject {
        var document: JSONObject = [
            "DurableExecutionArn": .string(ARN.execution(function, version, name, id)),
            "DurableExecutionName": .string(name.text),
            "FunctionArn": .string(ARN.function(function, .version(version))),
            "Status": .string(self.status(status)),
            "StartTimestamp": acceptedAt.json,
        ]
        if let endedAt { document["EndTimestamp"] = endedAt.json }
        return document
    }

    static func error(_ failure: Execution.Failure) -> JSONValue {
        var document: JSONObject = [
            "ErrorMessage": .string(failure.message), "ErrorType": .string(failure.type),
        ]
        if !failure.stackTrace.isEmpty { document["StackTrace"] = .array(failure.stackTrace.map(JSONValue.string)) }
        if !failure.data.isEmpty {
            document["ErrorData"] = .string(failure.data)
            if failure.stackTrace.isEmpty, case .object(let body)? = try? JSONValue.parse(failure.data),
                case .array(let lines)? = body["stackTrace"]
            {
                document["StackTrace"] = .array(lines.compactMap { $0.stringValue.map(JSONValue.string) })
            }
        }
        return .object(document)
    }

    /// Event and answer as clients are sent them.
    struct Data {
        var input: String
        /// Empty when there is none.
        var result: String
    }

    /// What stands for a payload that is too long to be sent.
    static func reference(_ digest: Digest, _ sizeBytes: Int) -> String {
        JSONValue.object(["artifact": .string(digest.description), "sizeBytes": .integer(Int64(sizeBytes))]).text()
    }

    // MARK: - History

    /// `nil` for events that only the host's own history has. Event ids are the sequence numbers of that, so they ascend
    /// with gaps.
    ///
    /// Read from `ExecutionEvent.detail`: of `attemptEnded` `errorType` and `errorMessage`, absent after a success; of `progress` the worker's report, whose `message` or `step` names it.
    static func event(
        _ event: ExecutionEvent, of execution: Execution, _ data: Data?, attemptStart: Timestamp?, timeoutSeconds: Int
    ) -> JSONValue? {
        let withData = data != nil
        let detail = (try? JSONValue.parse(event.detail)) ?? [:]
        let type: String
        var name: String?
        let details: JSONValue
        switch event.kind {
        case .accepted:
            type = "ExecutionStarted"
            details = [
                "Input": payload(data?.input ?? "", withData),
                "ExecutionTimeout": .integer(Int64(timeoutSeconds)),
            ]
        case .attemptStarted, .stopRequested, .destination, .delivered, .undelivered, .promotion, .redriven:
            return nil
        case .attemptEnded, .interrupted:
            type = "InvocationCompleted"
            var object: JSONObject = [
                "StartTimestamp": (attemptStart ?? event.at).json, "EndTimestamp": event.at.json,
                "RequestId": .string(execution.id.text),
            ]
            if event.kind == .interrupted {
                let reason = detail["reason"]?.stringValue ?? "The host ended."
                object["Error"] = failed(Execution.Failure(type: "Roost.Interrupted", message: reason))
            } else if let type = detail["errorType"]?.stringValue {
                object["Error"] = failed(
                    Execution.Failure(type: type, message: detail["errorMessage"]?.stringValue ?? ""))
            }
            details = .object(object)
        case .paused, .resumed:
            let isPause = event.kind == .paused
            type = isPause ? "ExecutionPaused" : "ExecutionResumed"
            var object: JSONObject = [
                isPause ? "PauseRequestTimestamp" : "ResumeRequestTimestamp": event.at.json
            ]
            if let reason = detail["reason"]?.stringValue { object["Reason"] = payload(reason, withData) }
            if isPause { object["ExecutionTimeoutPaused"] = true }
            details = .object(object)
        case .progress, .published:
            type = "StepSucceeded"
            name =
                event.kind == .published
                ? "published" : detail["message"]?.stringValue ?? detail["step"]?.integerValue.map { "step-\($0)" }
            details = [
                "Result": payload(event.detail, withData),
                "RetryDetails": ["CurrentAttempt": .integer(Int64(execution.attempt))],
            ]
        case .ended:
            let failure = execution.failure.map(failed) ?? ["Truncated": false]
            switch execution.status {
            case .succeeded:
                type = "ExecutionSucceeded"
                details = ["Result": payload(data?.result ?? "", withData)]
            case .timedOut:
                type = "ExecutionTimedOut"
                details = ["Error": failure]
            case .stopped:
                type = "ExecutionStopped"
                details = ["Error": failure]
            case .failed, .queued, .running, .pausing, .paused:
                type = "ExecutionFailed"
                details = ["Error": failure]
            }
        }
        var document: JSONObject = [
            "EventType": .string(type), "EventId": .integer(Int64(event.sequence)),
            "Id": .string("\(execution.id)-\(event.sequence)"), "EventTimestamp": event.at.json,
        ]
        if let name { document["Name"] = .string(name) }
        document[type + "Details"] = details
        return .object(document)
    }

    private static func payload(_ text: String, _ withData: Bool) -> JSONValue {
        withData ? ["Payload": .string(text), "Truncated": false] : ["Truncated": true]
    }

    private static func failed(_ failure: Execution.Failure) -> JSONValue {
        ["Payload": error(failure), "Truncated": false]
    }
}
