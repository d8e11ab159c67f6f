package import Domain

/// What the scheduler knows about a pool. Fixed for the pool's life; a changed `$LATEST` is a new pool.
package struct PoolSettings: Equatable, Sendable {
    package var function: Function.ID
    /// Of the function, shared by all its pools: adding a pool sets it, `updateFunction` changes it. `nil` is no limit
    /// of its own; 0 refuses every invocation.
    package var reservedConcurrency: Int?
    /// Invocations that one worker takes at once, 1 to 64.
    package var workerConcurrency: Int
    package var keepAlive: FunctionSettings.KeepAlive
    /// What one worker counts for in the host's memory budget.
    package var memoryMegabytes: Int
    /// Trainings have a concurrency limit of their own, and make room only among themselves.
    package var isTraining: Bool
    /// Invocations that may wait; counted apart for those with and without a limit to their wait. `nil` is the host's.
    package var queueCapacity: Int?

    package init(
        function: Function.ID, reservedConcurrency: Int? = nil, workerConcurrency: Int = 1,
        keepAlive: FunctionSettings.KeepAlive = .learned, memoryMegabytes: Int = 128, isTraining: Bool = false,
        queueCapacity: Int? = nil
    ) {
        self.function = function
        self.reservedConcurrency = reservedConcurrency
        self.workerConcurrency = workerConcurrency
        self.keepAlive = keepAlive
        self.memoryMegabytes = memoryMegabytes
        self.isTraining = isTraining
        self.queueCapacity = queueCapacity
    }
}
