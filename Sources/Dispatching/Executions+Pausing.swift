package import Domain
internal import JSON
internal import Loop
package import Management
internal import Registry

/// Pausing, resuming and deleting executions.
///
/// A pause is on the disk before the worker hears of it. From then on:
///
///     waiting -> paused              nothing runs for it
///     running -> pausing -> paused   a training's worker was told to end, may write a checkpoint, and has gone
///     pausing, paused -> waiting     resumed; the next attempt starts when the worker of the last one has gone
///     pausing -> running             resumed before the worker was told
///
/// Other functions have nothing to go on from: their attempt runs to its end. So does a training that has answered before
/// its worker was told. Then the execution has ended, or would wait for its retry, and is paused instead.
extension Executions {
    /// What a client says of a pause or its end.
    package struct Switch: Equatable, Sendable {
        /// A repetition within 15 minutes with the same token and reason changes nothing and is no error.
        package var token: String?
        package var reason: String?

        package init(token: String? = nil, reason: String? = nil) {
            self.token = token
            self.reason = reason
        }

        static let repetitionMilliseconds: Int64 = 15 * 60 * 1000
    }

    package func pause(
        _ id: Execution.ID, _ asked: Switch, by caller: Caller
    ) async throws(ManagementError) {
        try await switches.run { () async throws(ManagementError) in
            try await self.pauseNow(id, asked, by: caller)
        }
    }

    package func resume(
        _ id: Execution.ID, _ asked: Switch, by caller: Caller
    ) async throws(ManagementError) {
        try await switches.run { () async throws(ManagementError) in
            try await self.resumeNow(id, asked, by: caller)
        }
    }

    /// Forgets an execution that has ended, with its history.
    ///
    /// - Returns: when.
    package func delete(_ id: Execution.ID, by caller: Caller) async throws(ManagementError) -> Timestamp {
        let stored = try await execution(id)
        guard live[id] == nil, stored.status.isEnded else {
            throw .conflict(
                "The execution cannot be deleted before it has ended; its status is \(stored.status.rawValue).")
        }
        let now = EventLoop.wallClock
        do throws(RegistryError) {
            try await registry.commit([
                .deleteExecution(id), audit("DeleteDurableExecution", stored.functionName, id, caller, at: now),
            ])
        } catch .missing(.execution) {
            throw .executionNotFound(id.text)
        } catch {
            throw .registry(error)
        }
        return now
    }

    // MARK: - One at a time

    private func pauseNow(_ id: Execution.ID, _ asked: Switch, by caller: Caller) async throws(ManagementError) {
        guard let execution = try await switchable(id, .paused, asked) else { return }
        let before = execution.head.status
        if before == .pausing || before == .paused {
            if try await isRepetition(id, .paused, asked) { return }
            throw .conflict("The execution is paused already.")
        }
        // The token of a pause that was ended meanwhile must not pause again.
        if try await isRepetition(id, .paused, asked) { return }
        guard live[id] === execution, !execution.isEnding, execution.head.status == before, !execution.isSettling else {
            throw .conflict("An attempt of the execution is just ending. Ask again.")
        }
        let now = EventLoop.wallClock
        // In memory first, since progress that is stored meanwhile says the state too.
        execution.head.pausedAt = now
        execution.head.status = before == .running ? .pausing : .paused
        if before == .queued { withdraw(execution, grace: .zero) }
        do throws(RegistryError) {
            try await registry.commit([
                .updateExecution(execution.head.update), .addEvents(id, [event(.paused, asked, at: now)]),
                audit("PauseDurableExecution", execution.head.functionName, id, caller, at: now),
            ])
        } catch {
            if !execution.isEnding, execution.head.pausedAt == now {
                execution.head.pausedAt = nil
                execution.head.status = before
                if before == .queued { goOn(execution) }
            }
            if case .executionEnded = error { throw .conflict("The execution has ended.") }
            throw .registry(error)
        }
        // Its answer may have come meanwhile, and is not undone.
        if execution.head.status == .pausing, execution.head.baseVersion != nil, !execution.isEnding,
            !execution.isSettling, !dispatcher.hasAnswered(id)
        {
            withdraw(execution, grace: settings.stopGrace)
        }
    }

    private func resumeNow(_ id: Execution.ID, _ asked: Switch, by caller: Caller) async throws(ManagementError) {
        guard let execution = try await switchable(id, .resumed, asked) else { return }
        if try await isRepetition(id, .resumed, asked) { return }
        let before = execution.head
        guard before.status == .pausing || before.status == .paused, let pausedAt = before.pausedAt else {
            throw .conflict("The execution is not paused; its status is \(before.status.rawValue).")
        }
        guard live[id] === execution, !execution.isEnding else { throw .conflict("The execution has ended.") }
        let now = EventLoop.wallClock
        // A pause that came too late for the attempt is taken back.
        let isStillRunning = before.status == .pausing && !execution.isWorkerLeaving
        execution.head.status = isStillRunning ? .running : .queued
        execution.head.pausedAt = nil
        execution.head.pausedMilliseconds += max(0, now.millisecondsSince1970 - pausedAt.millisecondsSince1970)
        do throws(RegistryError) {
            try await registry.commit([
                .updateExecution(execution.head.update), .addEvents(id, [event(.resumed, asked, at: now)]),
                audit("ResumeDurableExecution", execution.head.functionName, id, caller, at: now),
            ])
        } catch {
            if !execution.isEnding {
                let hasGone = before.status == .pausing && !isStillRunning && !execution.isWorkerLeaving
                execution.head.status = hasGone ? .paused : before.status
                execution.head.pausedAt = pausedAt
                execution.head.pausedMilliseconds = before.pausedMilliseconds
            }
            if case .executionEnded = error { throw .conflict("The execution has ended.") }
            throw .registry(error)
        }
        if !isStillRunning, !execution.isEnding { goOn(execution) }
    }

    /// - Returns: `nil` when it has ended, but was asked the same before.
    /// - Throws: `executionNotFound`, or `conflict` when it has ended.
    private func switchable(
        _ id: Execution.ID, _ kind: ExecutionEvent.Kind, _ asked: Switch
    ) async throws(ManagementError) -> Live? {
        if let execution = try await inHand(id) { return execution }
        let stored = try await self.execution(id)
        if try await isRepetition(id, kind, asked) { return nil }
        throw .conflict("The execution has ended; its status is \(stored.status.rawValue).")
    }

    private func isRepetition(
        _ id: Execution.ID, _ kind: ExecutionEvent.Kind, _ asked: Switch
    ) async throws(ManagementError) -> Bool {
        guard let token = asked.token else { return false }
        let since = Timestamp(
            millisecondsSince1970: EventLoop.wallClock.millisecondsSince1970 - Switch.repetitionMilliseconds)
        let events = try await read { registry throws(RegistryError) in
            try await registry.events(of: id, kind: kind, since: since)
        }
        return events.contains { event in
            let detail = try? JSONValue.parse(event.detail)
            return detail?["clientToken"]?.stringValue == token && detail?["reason"]?.stringValue == asked.reason
        }
    }

    private func event(_ kind: ExecutionEvent.Kind, _ asked: Switch, at now: Timestamp) -> ExecutionEvent {
        var detail = JSONObject()
        if let reason = asked.reason { detail["reason"] = .string(reason) }
        if let token = asked.token { detail["clientToken"] = .string(token) }
        return ExecutionEvent(kind: kind, at: now, detail: JSONValue.object(detail).text())
    }

    private func audit(
        _ operation: String, _ function: FunctionName, _ id: Execution.ID, _ caller: Caller, at now: Timestamp
    ) -> Change {
        .addAudit(AuditEntry(at: now, caller: caller, operation: operation, function: function, subject: id.text))
    }

    // MARK: - The worker

    /// Takes the execution from the dispatcher, whether it waits or runs there; what still comes of its attempt is dropped.
    private func withdraw(_ execution: Live, grace: Interval) {
        execution.epoch += 1
        leaveWindow(execution)
        execution.isWorkerLeaving = true
        dispatcher.stop(execution.head.id, grace: grace) { [unowned self] in workerGone(execution) }
    }

    private func workerGone(_ execution: Live) {
        execution.isWorkerLeaving = false
        execution.onWorkerGone?()
        execution.onWorkerGone = nil
        guard live[execution.head.id] === execution, !execution.isEnding else { return }
        if execution.head.status == .pausing {
            execution.head.status = .paused
            let detail = JSONValue.object(["reason": "The execution was paused."]).text()
            let interrupted = ExecutionEvent(kind: .interrupted, at: EventLoop.wallClock, detail: detail)
            let changes =
                takeProgress(execution) + [
                    .updateExecution(execution.head.update), .addEvents(execution.head.id, [interrupted]),
                ]
            loop.spawn { await self.store(changes, execution) }
        } else if execution.isGoingOn {
            goOn(execution)
        }
    }

    /// Back to the queue, once the last worker has gone.
    private func goOn(_ execution: Live) {
        execution.isGoingOn = execution.isWorkerLeaving
        guard !execution.isWorkerLeaving else { return }
        enqueue(execution.head)
        startWaiting()
    }
}
