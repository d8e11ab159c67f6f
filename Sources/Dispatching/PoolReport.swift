package import Domain
package import Scheduling

/// What the scheduler has and decides, for `roost ps`.
package struct SchedulingReport {
    /// The idle worker that makes room first.
    package struct NextEviction {
        package let function: FunctionName
        package let version: VersionNumber
        package let status: EvictionStatus
        package let idleSeconds: Double
    }

    package let pools: [PoolReport]
    package let host: HostStatus
    package let limits: HostLimits
    /// `nil` when no worker is idle.
    package let nextEviction: NextEviction?

    package init(of scheduler: Scheduler, pools: [PoolReport], nextEviction: NextEviction?) {
        self.pools = pools
        host = scheduler.host
        limits = scheduler.limits
        self.nextEviction = nextEviction
    }
}

/// A pool and its workers.
package struct PoolReport {
    package struct Worker {
        package let status: WorkerStatus
        /// What the machine calls it; `nil` before it has one.
        package let processIdentifier: Int?
        package let sinceSeconds: Double
        /// Since its start.
        package let ageSeconds: Double
    }

    package let function: FunctionName
    package let version: VersionNumber
    /// The execution that it trains; `nil` for pools that take invocations.
    package let execution: Execution.ID?
    package let status: PoolStatus
    package let workers: [Worker]
}
