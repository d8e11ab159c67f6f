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
        var response: Payload?
    }

    /// The rules for one execution, as they are configured now.
    struct Policy {
        var retriesMax: Int
        /// No attempt starts after this; `nil` lets it wait for ever. While it is paused it gets no older.
        var expiresAt: Timestamp?
        var onSuccess: EventInvokeConfiguration.Destination?
        var onFailure: EventInvokeConfiguration.Destination?
        var deadLetterTarget: TargetARN?
    }

    /// Executions that one leads to by destinations, each by the one before. Two functions that are each other's
    /// destination would go on for ever.
    static let chainDepthMax = 16
    /// Of the record that a destination gets, which holds event and answer.
    static let recordBytesMax = 6 << 20

    func policy(of head: ExecutionHead) -> Policy {
        let qualifier = head.qualifier ?? .version(.latest)
        let entry = management.catalog.entry(head.function)
        let configured = entry?.eventInvokeConfigurations[qualifier]
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
            onSuccess: configured?.onSuccess, onFailure: configured?.onFailure,
            deadLetterTarget: entry?.version(head.version)?.configuration.deadLetterTarget)
    }

    /// What an execution's end brings for those who hear of it, to be committed with the end: so nobody is forgotten, and a
    /// function is invoked once.
    struct Notification {
        var changes: [Change] = []
        /// To be taken up when the changes are stored.
        var execution: Execution?
        var deliveries: [Delivery] = []
    }

    /// - Parameter failure: what the execution failed with; `nil` for a success, and when it was stopped, which is no dead
    ///   letter.
    func notification(
        of head: ExecutionHead, _ conclusion: Conclusion, _ failure: Execution.Failure? = nil
    ) async -> Notification {
        let policy = policy(of: head)
        let destination = conclusion.condition == .success ? policy.onSuccess : policy.onFailure
        let deadLetterTarget = failure == nil ? nil : policy.deadLetterTarget
        var notification = Notification()
        guard destination != nil || deadLetterTarget != nil else { return notification }
        var events: [ExecutionEvent] = []
        func note(_ detail: JSONObject) {
            events.append(
                .init(kind: .destination, at: EventLoop.wallClock, detail: JSONValue.object(detail).text()))
        }
        let stored: Execution
        do throws(ManagementError) { stored = try await execution(head.id) } catch {
            note(["notInvoked": .string("it cannot be read: \(error)")])
            notification.changes = [.addEvents(head.id, events)]
            return notification
        }
        if let destination {
            var detail: JSONObject = [
                "destination": .string(destination.text), "condition": .string(conclusion.condition.rawValue),
            ]
            let record = Self.record(of: stored, attempts: head.attempt, conclusion)
            switch destination.receiver {
            case .function(let function, let qualifier):
                do throws(ManagementError) {
                    let (execution, changes) = try await invocation(of: function, qualifier, with: record, after: head)
                    notification.execution = execution
                    notification.changes += changes
                    detail["execution"] = .string(execution.id.text)
                } catch {
                    detail["notInvoked"] = .string(error.description)
                }
            case .target(let target):
                if let refusal = add(.record, record, to: target, of: head, &notification) {
                    detail["notInvoked"] = .string(refusal)
                }
            }
            note(detail)
        }
        if let deadLetterTarget, let failure {
            var detail: JSONObject = ["deadLetterTarget": .string(deadLetterTarget.text)]
            do throws(ManagementError) {
                let letter = try await deadLetter(of: stored, failure)
                if let refusal = add(.deadLetter, letter, to: deadLetterTarget, of: head, &notification) {
                    detail["notInvoked"] = .string(refusal)
                }
            } catch {
                detail["notInvoked"] = .string("its event cannot be read: \(error)")
            }
            note(detail)
        }
        notification.changes.append(.addEvents(head.id, events))
        return notification
    }

    /// What was committed with an end takes its course.
    func carryOut(_ notification: Notification) {
        if let next = notification.execution { takeUp(next) }
        for delivery in notification.deliveries { deliveries.added(delivery) }
    }

    private func invocation(
        of function: FunctionName, _ qualifier: Qualifier?, with record: [UInt8], after head: ExecutionHead
    ) async throws(ManagementError) -> (Execution, [Change]) {
        guard head.chainDepth < Self.chainDepthMax else {
            throw .invalid("\(Self.chainDepthMax) executions led to this one, each by its destination")
        }
        guard record.count <= Self.recordBytesMax else {
            throw .invalid("its record has \(record.count) bytes; allowed are \(Self.recordBytesMax)")
        }
        return try await make(
            ExecutionRequest(
                route: try management.catalog.route(function, qualifier), qualifier: qualifier, name: nil,
                payload: record, caller: Caller(name: "execution \(head.id)", requestID: head.id.text)),
            chainDepth: head.chainDepth + 1)
    }

    private func deadLetter(
        of stored: Execution, _ failure: Execution.Failure
    ) async throws(ManagementError) -> [UInt8] {
        let event = try await management.bytes(of: stored.input)
        do {
            // Off the loop: it may be many bytes.
            return try await loop.offload { Self.deadLetter(of: stored, event: event, failure) }
        } catch {
            preconditionFailure("writing JSON throws nothing: \(error)")
        }
    }

    /// - Returns: why the target is not told; `nil` when it will be.
    private func add(
        _ content: Delivery.Content, _ document: [UInt8], to target: TargetARN, of head: ExecutionHead,
        _ notification: inout Notification
    ) -> String? {
        if let refusal = deliveries.refusal(of: target) { return refusal }
        let now = EventLoop.wallClock
        let delivery = Delivery(execution: head.id, content: content, target: target, createdAt: now, notBefore: now)
        notification.changes.append(.addDelivery(delivery, document: document))
        notification.deliveries.append(delivery)
        return nil
    }

    /// An event that could not be processed, as a client of SQS receives it from a dead-letter queue: the event's text, and
    /// the attributes that AWS gives it.
    static func deadLetter(of execution: Execution, event: [UInt8], _ failure: Execution.Failure) -> [UInt8] {
        var writer = JSONWriter(capacity: 512 + event.count)
        func attribute(_ name: String, _ type: String, _ value: String) {
            writer.key(name)
            writer.beginObject()
            writer.member("DataType", type)
            writer.member("StringValue", value)
            writer.endObject()
        }
        writer.beginObject()
        writer.member("MessageId", execution.id.text)
        writer.member("Body", String(decoding: event, as: UTF8.self))
        writer.key("MessageAttributes")
        writer.beginObject()
        attribute("RequestID", "String", execution.id.text)
        attribute("ErrorCode", "Number", "200")
        // AWS keeps the first kilobyte.
        attribute("ErrorMessage", "String", String(failure.message.prefix(1024)))
        writer.endObject()
        writer.endObject()
        return writer.finish()
    }

    /// The event of a destination, as AWS makes it. In place of an event or answer that is a file of the artifact store it has
    /// `requestArtifact` or `responseArtifact`, which say which.
    static func record(of execution: Execution, attempts: Int, _ conclusion: Conclusion) -> [UInt8] {
        var writer = JSONWriter(
            capacity: 512 + (execution.input.bytes?.count ?? 0) + (conclusion.response?.bytes?.count ?? 0))
        func writeFile(_ key: String, _ digest: Digest, _ sizeBytes: Int) {
            writer.key(key)
            writer.beginObject()
            writer.member("digest", digest.description)
            writer.member("sizeBytes", sizeBytes)
            writer.endObject()
        }
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
        switch execution.input {
        case .inline(let event):
            writer.key("requestPayload")
            writer.text(event)
        case .file(let digest, let sizeBytes):
            writeFile("requestArtifact", digest, sizeBytes)
        }
        if let response = conclusion.response {
            writer.key("responseContext")
            writer.beginObject()
            writer.member("statusCode", 200)
            writer.member("executedVersion", execution.version.description)
            if conclusion.condition != .success { writer.member("functionError", "Unhandled") }
            writer.endObject()
            switch response {
            case .file(let digest, let sizeBytes): writeFile("responseArtifact", digest, sizeBytes)
            case .inline(let response):
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
        }
        writer.endObject()
        return writer.finish()
    }
}
