package import Scheduling

/// A count by cause.
package struct CauseCounts: Equatable, Sendable {
    private var counts = Array(repeating: 0, count: StartCause.allCases.count)

    package internal(set) subscript(cause: StartCause) -> Int {
        get { counts[cause.index] }
        set { counts[cause.index] = newValue }
    }

    package var total: Int { counts.reduce(0, +) }
}

extension StartCause {
    fileprivate var index: Int { Self.allCases.firstIndex(of: self)! }
}

/// Refused invocations by the scheduler's reason.
package struct RefusalCounts: Equatable, Sendable {
    package var queueFull = 0
    package var waitedTooLong = 0
    package var wouldWaitTooLong = 0
    package var initFailed = 0
    package var initBackoff = 0
    package var neverFits = 0

    package var total: Int { queueFull + waitedTooLong + wouldWaitTooLong + initFailed + initBackoff + neverFits }

    mutating func count(_ refusal: Refusal) {
        switch refusal {
        case .queueFull: queueFull += 1
        case .waitedTooLong: waitedTooLong += 1
        case .wouldWaitTooLong: wouldWaitTooLong += 1
        case .initFailed: initFailed += 1
        case .initBackoff: initBackoff += 1
        case .neverFits: neverFits += 1
        case .reservedConcurrencyZero, .poolGone, .shutdown:
            preconditionFailure("a refusal for a change that no trace has")
        }
    }
}

/// What workers in one state cost.
package struct WorkerTime: Equatable, Sendable {
    package private(set) var hours = 0.0
    /// Of declared memory; 1 GB is 1024 MB.
    package private(set) var gigabyteHours = 0.0

    mutating func add(_ seconds: Double, gigabytes: Double) {
        hours += seconds / 3600
        gigabyteHours += seconds / 3600 * gigabytes
    }
}

/// From arrival to dispatch, of invocations that were dispatched. The quantiles are waits that occurred (nearest rank).
package struct WaitTimes: Equatable, Sendable {
    package let p50Seconds: Double
    package let p99Seconds: Double
    package let maxSeconds: Double

    /// - Parameters:
    ///   - waits: in nanoseconds, those above 0; is sorted.
    ///   - count: of all, those without a wait included.
    init(waits: inout [Int64], count: Int) {
        waits.sort()
        let zeros = count - waits.count
        func quantile(_ percent: Int) -> Double {
            let rank = (count * percent + 99) / 100  // from 1
            return rank > zeros ? Double(waits[rank - zeros - 1]) / 1e9 : 0
        }
        p50Seconds = quantile(50)
        p99Seconds = quantile(99)
        maxSeconds = Double(waits.last ?? 0) / 1e9
    }
}

/// What a simulation counted.
package struct SimulationReport: Equatable, Sendable {
    package let invocations: Int
    package let functions: Int
    /// Each invocation is one of these three.
    package internal(set) var finished = 0
    /// Their worker crashed.
    package internal(set) var failed = 0
    package internal(set) var refused = RefusalCounts()

    /// Invocations that ran on a worker that was not ready when they arrived, by the cause of its start: what the host
    /// counts as `roost_cold_starts_total`.
    package internal(set) var coldStarts = CauseCounts()
    /// Workers that were started.
    package internal(set) var starts = CauseCounts()
    package internal(set) var initFailures = 0
    package internal(set) var crashes = 0
    /// Idle workers that were stopped to make room.
    package internal(set) var evictions = 0
    /// Busy workers that were stopped, once done, to make room.
    package internal(set) var yields = 0

    /// Until ready, or until the init failed.
    package internal(set) var starting = WorkerTime()
    package internal(set) var idle = WorkerTime()
    /// With at least one invocation running.
    package internal(set) var busy = WorkerTime()
    /// From start until exit, of declared memory.
    package internal(set) var memoryMegabytesPeak = 0
    package internal(set) var workersPeak = 0

    package internal(set) var waits: WaitTimes
    /// From the first arrival to the end of the last invocation.
    package internal(set) var spanSeconds = 0.0
    /// Arrivals, timers, and what workers did.
    package internal(set) var events = 0

    init(invocations: Int, functions: Int) {
        self.invocations = invocations
        self.functions = functions
        var none: [Int64] = []
        waits = WaitTimes(waits: &none, count: 0)
    }
}
