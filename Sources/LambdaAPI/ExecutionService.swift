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
    ///
    /// - Parameter failure: the error that the stopped execution then has; `nil` is the usual one.
    func stop(
        _ id: Execution.ID, _ failure: Execution.Failure?, by caller: Caller
    ) async throws(ManagementError) -> Timestamp
    /// On disk when it returns; the worker may still be ending. Throws `conflict` for one that is paused or has
    /// ended.
    func pause(_ id: Execution.ID, _ asked: Executions.Switch, by caller: Caller) async throws(ManagementError)
    /// Throws `conflict` for one that is not paused.
    func resume(_ id: Execution.ID, _ asked: Executions.Switch, by caller: Caller) async throws(ManagementError)
    /// When it was deleted. Throws `conflict` for one that has not ended.
    func delete(_ id: Execution.ID, by caller: Caller) async throws(ManagementError) -> Timestamp
    /// Runs the event of one that failed again. Asked again, it answers the same execution (`isNew` is false). Throws
    /// `conflict` for one that has not failed.
    func redrive(
        _ id: Execution.ID, by caller: Caller
    ) async throws(ManagementError) -> (execution: ExecutionHead, isNew: Bool)
    /// Returns when the execution has ended.
    func completion(of id: Execution.ID) async throws(ManagementError) -> Execution
    func execution(_ id: Execution.ID) async throws(ManagementError) -> Execution
    /// A part of the event or answer of an execution; none behind its end.
    func bytes(of payload: Payload, from offset: Int, count: Int) async throws(ManagementError) -> [UInt8]
    func list(_ query: ExecutionQuery) async throws(ManagementError) -> ExecutionPage
    /// - Parameter after: the sequence number of the last one already seen.
    func events(
        of id: Execution.ID, newestFirst: Bool, after: Int?, limit: Int
    ) async throws(ManagementError) -> [ExecutionEvent]
}
