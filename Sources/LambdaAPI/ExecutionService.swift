package import Dispatching
package import Domain
package import Management
package import Registry

/// What the APIs ask of asynchronous invocations. Lives on the loop.
package protocol ExecutionService: AnyObject {
    /// On disk when it returns. The same name with the same payload answers the execution that is there (`isNew` is
    /// false); with another payload it throws `executionExists`.
    func accept(_ request: ExecutionRequest) async throws(ManagementError) -> (execution: ExecutionHead, isNew: Bool)
    /// When it ended. One that has ended before answers that time.
    func stop(_ id: Execution.ID, by caller: Caller) async throws(ManagementError) -> Timestamp
    /// Returns when the execution has ended.
    func completion(of id: Execution.ID) async throws(ManagementError) -> Execution
    func execution(_ id: Execution.ID) async throws(ManagementError) -> Execution
    func list(_ query: ExecutionQuery) async throws(ManagementError) -> ExecutionPage
    /// - Parameter after: the sequence number of the last one already seen.
    func events(
        of id: Execution.ID, newestFirst: Bool, after: Int?, limit: Int
    ) async throws(ManagementError) -> [ExecutionEvent]
}
