package import Domain
package import Management

/// Waiting for the end of an execution.
extension Executions {
    /// Returns when the execution has ended, or when the host does not see its end any more: it is shutting down, or could
    /// not store it.
    package func completion(of id: Execution.ID) async throws(ManagementError) -> Execution {
        if let execution = live[id], !isShuttingDown || execution.isRunning {
            guard waitersCount < settings.waitersMax else { throw .overloaded(limit: settings.waitersMax) }
            waitersCount += 1
            await withCheckedContinuation { waiters[id, default: []].append($0) }
        }
        return try await execution(id)
    }

    /// It has ended, or was set aside.
    func remove(_ id: Execution.ID) {
        live[id] = nil
        endWaiting(for: id)
    }

    func endWaiting(for id: Execution.ID) {
        for waiter in waiters.removeValue(forKey: id) ?? [] {
            waitersCount -= 1
            waiter.resume()
        }
    }
}
