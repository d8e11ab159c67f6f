internal import Artifacts
internal import Domain
internal import JSON
internal import Loop
internal import Management
internal import Registry
internal import Workers

/// From the outcome of an attempt to the execution's end, or its next attempt.
extension Executions {
    func ended(_ execution: Live, epoch: Int, _ stored: Execution, _ outcome: InvocationOutcome) {
        guard execution.epoch == epoch else { return }
        guard !execution.isEnding else { return leaveWindow(execution) }
        execution.isSettling = true
        loop.spawn {
            await self.settle(execution, stored, outcome)
            execution.isSettling = false
            self.leaveWindow(execution)
        }
    }

    private func settle(_ execution: Live, _ stored: Execution, _ outcome: InvocationOutcome) async {
        switch outcome.result {
        case .success(let body, _):
            if let trained = trainedFunction(of: stored) {
                await publish(execution, stored, trained, result(of: execution, body, outcome))
            } else {
                await succeed(execution, .inline(body))
            }
        case .filed(let file):
            let use = management.artifacts.beginUse()
            defer { use.end() }
            let answer: Payload
            do { answer = try await file.finish() } catch {
                let body = FunctionErrorBody.make("Roost.ResultNotStored", "Its answer could not be stored: \(error)")
                return await attemptFailed(execution, stored, body)
            }
            await succeed(execution, answer)
        case .functionError(let body):
            await attemptFailed(execution, stored, body)
        case .streamed:
            preconditionFailure("the answer of an execution is collected")
        case .refused(.noConcurrency):
            await fail(
                execution, .failed,
                .init(type: "Roost.ZeroReservedConcurrency", message: "The function's reserved concurrency is 0"),
                Conclusion(condition: .zeroReservedConcurrency))
        case .refused(.shuttingDown):
            break
        case .refused:
            await refused(execution)
        }
    }

    /// Nothing ran: again in a while, without counting it as an attempt.
    private func refused(_ execution: Live) async {
        let pause = Interval.seconds(min(300, 1 << min(execution.refusals, 9)))
        execution.refusals += 1
        if isTooLate(execution, after: pause) { return await expire(execution) }
        await delay(execution, by: pause, events: [])
    }

    /// Whether an attempt after `pause` would start when the event is too old.
    private func isTooLate(_ execution: Live, after pause: Interval) -> Bool {
        guard let expiresAt = policy(of: execution.head).expiresAt else { return false }
        return EventLoop.wallClock.millisecondsSince1970 + pause.nanoseconds / 1_000_000
            > expiresAt.millisecondsSince1970
    }

    /// Ends an execution that may not start any more.
    func expireIfTooLate(_ execution: Live) async -> Bool {
        guard isTooLate(execution, after: .zero) else { return false }
        await expire(execution)
        return true
    }

    private func expire(_ execution: Live) async {
        await fail(
            execution, .failed,
            .init(type: "Roost.EventAgeExceeded", message: "The event was older than it may be before it could run"),
            Conclusion(condition: .eventAgeExceeded))
    }

    private func trainedFunction(of stored: Execution) -> FunctionName? {
        management.catalog.entry(stored.function)?.version(stored.version)?.configuration.settings.trains
    }

    // MARK: - Success

    private func succeed(_ execution: Live, _ result: Payload) async {
        await end(
            execution, .succeeded, Conclusion(condition: .success, response: result),
            events: [attemptEnded(execution)]
        ) { update in update.result = result }
    }

    /// - Parameter failure: `nil` for an attempt that succeeded.
    private func attemptEnded(_ execution: Live, _ failure: Execution.Failure? = nil) -> ExecutionEvent {
        var detail: JSONObject = ["attempt": .integer(Int64(execution.head.attempt))]
        if let failure {
            detail["errorType"] = .string(failure.type)
            detail["errorMessage"] = .string(failure.message)
        }
        return ExecutionEvent(kind: .attemptEnded, at: EventLoop.wallClock, detail: JSONValue.object(detail).text())
    }

    private func publish(
        _ execution: Live, _ stored: Execution, _ trained: FunctionName, _ result: TrainingResult
    ) async {
        let id = stored.id
        let promotion: Promotion?
        do throws(TrainingDirectives.Invalid) {
            promotion = try TrainingDirectives(event: stored.input.bytes ?? []).promote
        } catch {
            // Accepted by another version of the host.
            return await fail(
                execution, .failed, .init(type: "Roost.NotRunnable", message: error.description),
                Conclusion(condition: .retriesExhausted))
        }
        if let failure = missingMetric(promotion, result) {
            return await fail(execution, .failed, failure, Conclusion(condition: .retriesExhausted))
        }
        // Until the version refers to the model.
        let use = management.artifacts.beginUse()
        defer { use.end() }
        let model: Digest
        do {
            model = try await placement.collectOutput(of: id)
        } catch {
            return await fail(
                execution, .failed, .init(type: "Roost.TrainingOutput", message: error.description),
                Conclusion(condition: .retriesExhausted))
        }
        FaultPoint.outputStored.pass()
        // A stop may have come while the files were stored.
        guard !execution.isEnding else { return }
        execution.isEnding = true
        let progress = takeProgress(execution)
        let attemptEnded = attemptEnded(execution)
        let notification = await notification(
            of: execution.head, Conclusion(condition: .success, response: .inline(result.answer)))
        let now = EventLoop.wallClock
        var head = execution.head
        head.status = .succeeded
        head.pausedAt = nil
        head.endedAt = now
        let lineage = await lineage(of: stored, head, model: model, result)
        var promoted: PromotionOutcome?
        do throws(ManagementError) {
            _ = try await management.publishTrained(
                trained, base: stored.baseVersion ?? .latest, model: model,
                by: Caller(name: "execution \(id)", requestID: id.text), lineage: lineage,
                promote: { entry in
                    promoted = promotion.map { decide($0, result, in: entry) }
                    return promoted?.isMoved == true ? promotion?.alias : nil
                }
            ) { number in
                FaultPoint.committing.pass()
                head.publishedVersion = number
                head.promotion = promoted.map { JSONValue.object($0.detail).text() }
                var update = head.update
                update.result = .inline(result.answer)
                let published = JSONValue.object(["version": .integer(Int64(number))]).text()
                return progress + notification.changes + [
                    .updateExecution(update),
                    .addEvents(
                        id,
                        [
                            attemptEnded,
                            .init(kind: .published, at: now, detail: published),
                        ] + (head.promotion.map { [.init(kind: .promotion, at: now, detail: $0)] } ?? [])
                            + [.init(kind: .ended, at: now, detail: head.endDetail)]),
                ]
            }
        } catch {
            if case .registry(.executionEnded) = error { return forget(execution) }
            if case .registry = error { return setAside(execution, error) }
            execution.isEnding = false
            return await fail(
                execution, .failed, .init(type: "Roost.Publish", message: error.description),
                Conclusion(condition: .retriesExhausted))
        }
        FaultPoint.committed.pass()
        execution.head = head
        forget(execution)
        carryOut(notification)
    }

    // MARK: - Failure

    private func attemptFailed(_ execution: Live, _ stored: Execution, _ body: [UInt8]) async {
        let failure = Execution.Failure(functionError: body)
        let event = attemptEnded(execution, failure)
        let isFinal = failure.type == WorkerStart.Training.digestMismatch
        let retriesMax = isFinal ? 0 : policy(of: execution.head).retriesMax
        let failures = await failureCount(stored.id)
        let status: Execution.Status = failure.type == FunctionErrorBody.timedOut ? .timedOut : .failed
        guard let failures, failures < retriesMax else {
            return await fail(
                execution, status, failure, Conclusion(condition: .retriesExhausted, response: .inline(body)),
                events: [event])
        }
        let delays = settings.retryDelays
        // Up to a tenth more, so that what failed together does not come back together.
        let delay = failures < delays.count ? delays[failures] : delays.last ?? .seconds(60)
        let pause = Interval.seconds(delay.seconds * Double.random(in: 1...1.1))
        if isTooLate(execution, after: pause) {
            return await fail(
                execution, status, failure, Conclusion(condition: .eventAgeExceeded, response: .inline(body)),
                events: [event])
        }
        await self.delay(execution, by: pause, events: [event])
    }

    /// Attempts that failed before, those cut off by the host's end not counted; `nil` when it cannot be read. Every attempt
    /// that ended before this one has failed.
    private func failureCount(_ id: Execution.ID) async -> Int? {
        let events = try? await events(of: id, newestFirst: false, after: nil, limit: 10_000)
        return events?.count { $0.kind == .attemptEnded }
    }

    private func delay(_ execution: Live, by pause: Interval, events: [ExecutionEvent]) async {
        let at = EventLoop.wallClock.millisecondsSince1970 + pause.nanoseconds / 1_000_000
        execution.head.status = execution.head.status == .pausing ? .paused : .queued
        execution.head.notBefore = Timestamp(millisecondsSince1970: at)
        var changes: [Change] = [.updateExecution(execution.head.update)]
        if !events.isEmpty { changes.append(.addEvents(execution.head.id, events)) }
        do throws(ManagementError) { try await commit(changes) } catch { failedToStore(execution, error) }
        if !execution.isEnding, execution.head.status == .queued { enqueue(execution.head) }
    }

    func fail(
        _ execution: Live, _ status: Execution.Status, _ failure: Execution.Failure, _ conclusion: Conclusion,
        events: [ExecutionEvent] = []
    ) async {
        await end(execution, status, conclusion, events: events) { update in update.failure = failure }
    }

    // MARK: - The end

    private func end(
        _ execution: Live, _ status: Execution.Status, _ conclusion: Conclusion, events: [ExecutionEvent] = [],
        _ complete: (inout Execution) -> Void
    ) async {
        guard !execution.isEnding else { return }
        execution.isEnding = true
        let progress = takeProgress(execution)
        // Its destination may be a training, and events may be files.
        let use = management.artifacts.beginUse()
        defer { use.end() }
        execution.head.status = status
        execution.head.pausedAt = nil
        execution.head.endedAt = EventLoop.wallClock
        var update = execution.head.update
        complete(&update)
        let notification = await notification(of: execution.head, conclusion, update.failure)
        execution.head.failure = update.failure
        let ended = ExecutionEvent(kind: .ended, at: execution.head.endedAt!, detail: execution.head.endDetail)
        do throws(ManagementError) {
            try await commit(
                progress + [.updateExecution(update), .addEvents(execution.head.id, events)] + notification.changes
                    + [.addEvents(execution.head.id, [ended])])
        } catch {
            if case .registry(.executionEnded) = error { return forget(execution) }
            return setAside(execution, error)
        }
        FaultPoint.ended.pass()
        forget(execution)
        carryOut(notification)
    }

    /// Its end could not be stored, as when the disk is full. It stays as the registry has it, keeps its checkpoint, and is
    /// taken up again at the next start.
    private func setAside(_ execution: Live, _ error: ManagementError) {
        report("the end of execution \(execution.head.id) is not stored; it is resumed at the next start: \(error)")
        remove(execution.head.id)
    }

    private func forget(_ execution: Live) {
        let id = execution.head.id
        remove(id)
        loop.spawn { await self.placement.discardScratch(of: id) }
    }
}

extension ExecutionHead {
    /// For `Change.updateExecution`, which writes what can change and looks at the id only.
    var update: Execution {
        Execution(
            id: id, name: name, function: function, functionName: functionName, qualifier: qualifier, version: version,
            input: .inline([]), baseVersion: baseVersion, channels: channels, promote: promote, acceptedAt: acceptedAt,
            chainDepth: chainDepth, priority: priority, status: status, attempt: attempt, startedAt: startedAt,
            endedAt: endedAt,
            result: nil, failure: failure,
            notBefore: notBefore, pausedAt: pausedAt, pausedMilliseconds: pausedMilliseconds,
            publishedVersion: publishedVersion, promotion: promotion, progress: progress)
    }

    /// The detail of the `ended` event.
    var endDetail: String {
        var detail: JSONObject = ["status": .string(status.rawValue)]
        if let failure {
            detail["errorType"] = .string(failure.type)
            detail["errorMessage"] = .string(failure.message)
        }
        if let publishedVersion { detail["version"] = .integer(Int64(publishedVersion)) }
        return JSONValue.object(detail).text()
    }
}

extension Execution.Failure {
    /// From a function's error object; one that cannot be read is kept as it is.
    init(functionError body: [UInt8]) {
        let value = try? JSONValue.parse(body)
        self.init(
            type: value?["errorType"]?.stringValue ?? "Unhandled",
            message: value?["errorMessage"]?.stringValue ?? "The function reported an error",
            data: String(decoding: body, as: UTF8.self))
    }
}
