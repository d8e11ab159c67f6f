package import Domain
internal import JSON
internal import Loop
package import Management
package import Registry

/// Executions that have ended: those that failed are the dead letters, until their time is over.
extension Executions {
    /// Runs the event of an execution that failed, timed out or was stopped again, as a new execution of what the function is
    /// now. Once: asked again, it answers the same one, which can be redriven in its turn.
    ///
    /// - Throws: `conflict` for one that has not failed; `executionNotFound`; `functionNotFound`.
    package func redrive(
        _ id: Execution.ID, by caller: Caller
    ) async throws(ManagementError) -> (execution: ExecutionHead, isNew: Bool) {
        let stored = try await execution(id)
        switch stored.status {
        case .failed, .timedOut, .stopped: break
        case .queued, .running, .pausing, .paused, .succeeded:
            throw .conflict(
                "Only an execution that has failed can be redriven; its status is \(stored.status.rawValue).")
        }
        let request = ExecutionRequest(
            route: try management.catalog.route(stored.functionName, stored.qualifier ?? .version(.latest)),
            qualifier: stored.qualifier, name: nil, payload: try await management.bytes(of: stored.input),
            caller: caller, retryKey: "redrive \(id)",
            priority: stored.priority)
        return try await accept(request, chainDepth: stored.chainDepth) { execution in
            let detail = JSONValue.object(["execution": .string(execution.id.text)]).text()
            return [
                .addEvents(id, [ExecutionEvent(kind: .redriven, at: execution.acceptedAt, detail: detail)]),
                .addAudit(
                    AuditEntry(
                        at: execution.acceptedAt, caller: caller, operation: "RedriveExecution",
                        function: stored.functionName, subject: id.text)),
            ]
        }
    }

    // MARK: - Retention

    /// Deletes what ended long ago: at the start, and once an hour.
    func retentionTimerFired() {
        guard !isShuttingDown else { return }
        retentionTimer?.start(after: .seconds(3600))
        loop.spawn { await self.deleteOld() }
    }

    /// In commits that keep nobody waiting.
    private func deleteOld() async {
        let keepMilliseconds = Int64(settings.retention.seconds * 1000)
        do throws(ManagementError) {
            while !isShuttingDown {
                let before = Timestamp(
                    millisecondsSince1970: EventLoop.wallClock.millisecondsSince1970 - keepMilliseconds)
                let oldest = try await read { registry throws(RegistryError) in try await registry.oldestEnd() }
                guard let oldest, oldest < before else { return }
                try await commit([.deleteEndedExecutions(before: before, limit: 500)])
            }
        } catch {
            report("executions that ended long ago are not deleted: \(error)")
        }
    }
}
