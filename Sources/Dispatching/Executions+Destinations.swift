internal import Domain
internal import JSON
internal import Loop
internal import Management
internal import Registry

/// What is configured for the asynchronous invocations of a function, and who hears of their ends.
extension Executions {
    /// How an execution ended, for its destination.
    struct Conclusion {
        enum Condition: String {
            case success = "Success"
            case retriesExhausted = "RetriesExhausted"
            case eventAgeExceeded = "EventAgeExceeded"
            case zeroReservedConcurrency = "ZeroReservedConcurrency"
            /// Ours: somebody stopped it.
            case stopped = "Stopped"
        }

        var condition: Condition
        /// What the function answered to the last attempt, its error object included; `nil` when it answered nothing.
        var response: [UInt8]?
    }

    /// The rules for one execution, as they are configured now.
    struct Policy {
        var retriesMax: Int
        /// No attempt starts after this; `nil` lets it wait for ever. While it is paused it gets no older.
        var expiresAt: Timestamp?
        var onSuccess: EventInvokeConfiguration.Destination?
        var onFailure: EventInvokeConfiguration.Destination?
    }

    /// Executions that one leads to by destinations, each by the one before. Two functions that are each other's
    /// destination would go on for ever.
    static let chainDepthMax = 16
    /// Of the record that a destination gets, which holds event and answer.
    static let recordBytesMax = 6 << 20

    func policy(of head: ExecutionHead) -> Policy {
        let qualifier = head.qualifier ?? .version(.latest)
        let configured = management.catalog.entry(head.function)?.eventInvokeConfigurations[qualifier]
        // Trainings have a base. Hours of one are not run again, nor is its place in the queue lost, unasked.
        let isTraining = head.baseVersion != nil
        let ageSeconds =
            configured?.ageSecondsMax ?? (isTraining ? nil : EventInvokeConfiguration.ageSecondsDefault)
        return Policy(
            retriesMax: configured?.retriesMax ?? (isTraining ? 0 : settings.retryDelays.count),
            expiresAt: ageSeconds.map {
                Timestamp(
                    millisecondsSince1970: head.acceptedAt.millisecondsSince1970 + head.pausedMilliseconds
                        + Int64($0) * 1000)
            },
            onSuccess: configured?.onSuccess, onFailure: configured?.onFailure)
    }

    /// What an execution's end brings for its destination, to be committed with the end: so it is invoked once.
    struct Delivery {
        var changes: [Change] = []
        /// To be taken up when the changes are stored.
        var execution: Execution?
    }

    func delivery(of head: ExecutionHead, _ conclusion: Conclusion) async -> Delivery {
        let policy = policy(of: head)
        let destination = conclusion.condition == .success ? policy.onSuccess : policy.onFailure
        guard let destination else { return Delivery() }
        var detail: JSONObject = [
            "destination": .string(destination.text), "condition": .string(conclusion.condition.rawValue),
        ]
        var delivery = Delivery()
        do throws(ManagementError) {
            guard head.chainDepth < Self.chainDepthMax else {
                throw .invalid("\(Self.chainDepthMax) executions led to this one, each by its destination")
            }
            let record = Self.record(of: try await execution(head.id), attempts: head.attempt, conclusion)
            guard record.count <= Self.recordBytesMax else {
                throw .invalid("its record has \(record.count) bytes; allowed are \(Self.recordBytesMax)")
            }
            let route = try management.catalog.route(destination.function, destination.qualifier)
            let (execution, changes) = try await make(
                ExecutionRequest(
                    route: route, qualifier: destination.qualifier, name: nil, payload: record,
                    caller: Caller(name: "execution \(head.id)", requestID: head.id.text)),
                chainDepth: head.chainDepth + 1)
            delivery.execution = execution
            delivery.changes = changes
            detail["execution"] = .string(execution.id.text)
        } catch {
            detail["notInvoked"] = .string(error.description)
        }
        delivery.changes.append(
            .addEvents(
                head.id,
                [
                    ExecutionEvent(
                        kind: .destination, at: EventLoop.wallClock, detail: JSONValue.object(detail).text())
                ]))
        return delivery
    }

    /// The event of a destination, as AWS makes it.
    static func record(of execution: Execution, attempts: Int, _ conclusion: Conclusion) -> [UInt8] {
        var writer = JSONWriter(capacity: 512 + execution.input.count + (conclusion.response?.count ?? 0))
        writer.beginObject()
        writer.member("version", "1.0")
        writer.member("timestamp", EventLoop.wallClock.text)
        writer.key("requestContext")
        writer.beginObject()
        writer.member("requestId", execution.id.text)
        writer.member(
            "functionArn", ARN.function(execution.functionName, execution.qualifier ?? .version(.latest)))
        writer.member("condition", conclusion.condition.rawValue)
        writer.member("approximateInvokeCount", attempts)
        writer.endObject()
        writer.key("requestPayload")
        writer.text(execution.input)
        if let response = conclusion.response {
            writer.key("responseContext")
            writer.beginObject()
            writer.member("statusCode", 200)
            writer.member("executedVersion", execution.version.description)
            if conclusion.condition != .success { writer.member("functionError", "Unhandled") }
            writer.endObject()
            writer.key("responsePayload")
            if response.isEmpty {
                writer.null()
            } else if (try? JSONScanner.check(response)) != nil {
                writer.text(response)
            } else {
                // What is no JSON is passed on as text.
                writer.string(String(decoding: response, as: UTF8.self))
            }
        }
        writer.endObject()
        return writer.finish()
    }
}
