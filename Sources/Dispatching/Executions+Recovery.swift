internal import Domain
internal import Loop
package import Management
internal import Registry
internal import Workers

/// The start after the host's end, whichever that was.
extension Executions {
    /// Takes up what the registry says has not ended. Called once, before the first `accept`.
    package func resume() async throws(ManagementError) {
        try await interrupt()
        var last: Int64 = 0
        while true {
            let after = last
            let page = try await read { registry throws(RegistryError) in
                try await registry.waitingExecutions(after: after, limit: 10_000)
            }
            guard let newest = page.last else { break }
            last = newest.sequence
            liveCount += page.count
            for execution in page where execution.isQueued {
                enqueue(
                    execution.id, of: execution.function, priority: execution.priority,
                    notBefore: execution.notBefore)
            }
        }
        // An execution whose end was stored has no more use for its files.
        if let local = placement as? LocalPlacement {
            for id in await local.executionsWithScratch() where try await hasEnded(id) {
                await local.discardScratch(of: id)
            }
        }
        startWaiting()
        retentionTimerFired()
    }

    /// What ran when the host ended runs no more.
    private func interrupt() async throws(ManagementError) {
        let heads = try await read { registry throws(RegistryError) in try await registry.runningExecutions() }
        let now = EventLoop.wallClock
        var changes: [Change] = []
        for var head in heads {
            head.status = head.status == .running ? .queued : .paused
            changes.append(.updateExecution(head.update))
            changes.append(.addEvents(head.id, [ExecutionEvent(kind: .interrupted, at: now)]))
        }
        if !changes.isEmpty { try await commit(changes) }
    }

    private func hasEnded(_ id: Execution.ID) async throws(ManagementError) -> Bool {
        let stored = try await read { registry throws(RegistryError) in try await registry.execution(id) }
        return stored?.status.isEnded ?? true
    }
}
