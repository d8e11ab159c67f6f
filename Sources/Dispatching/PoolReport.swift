package import Domain
package import Scheduling

/// A pool and its workers, for `roost ps`.
package struct PoolReport {
    package struct Worker {
        package let status: WorkerStatus
        /// What the machine calls it; `nil` before it has one.
        package let processIdentifier: Int?
        package let sinceSeconds: Double
    }

    package let function: FunctionName
    package let version: VersionNumber
    /// The execution that it trains; `nil` for pools that take invocations.
    package let execution: Execution.ID?
    package let status: PoolStatus
    package let workers: [Worker]
}
