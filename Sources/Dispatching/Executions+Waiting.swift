package import Domain
package import Management

/// Waiting for the end of an execution.
extension Executions {
    /// Returns when the execution has ended, or when the host does not see its end any more: it is shutting down, or could
    /// not store it.
    package func completion(of id: Execution.ID) async throws(ManagementError) -> Execution {
        if live[id] == nil {
            guard let stored = try await lookUp(id) else { throw .executionNotFound(id.text) }
            if stored.status.isEnded { return stored }
        }
        if !isShuttingDown || live[id]?.isRunning == true {
            guard waitersCount < settings.waitersMax else { throw .overloaded(limit: settings.waitersMax) }
            waitersCount += 1
            await withCheckedContinuation { waiters[id, default: []].append($0) }
        }
        return try await execution(id)
    }

    func endWaiting(for id: Execution.ID) {
        for waiter in waiters.removeValue(forKey: id) ?? [] {
            waitersCount -= 1
            waiter.resume()
        }
    }
}
