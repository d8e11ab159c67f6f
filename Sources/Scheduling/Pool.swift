import Domain

/// A running mean in seconds that forgets, and how far samples lie from it: each sample moves the mean by `weight` of the
/// difference, and the deviation likewise (Jacobson, *Congestion avoidance and control*, SIGCOMM 1988).
struct MovingAverage: Sendable {
    /// `nil` before the first sample.
    private(set) var mean: Double?
    /// The mean absolute difference from the mean; after one sample, half of it.
    private(set) var deviation = 0.0
    let weight: Double

    init(weight: Double) { self.weight = weight }

    mutating func add(_ sample: Interval) {
        let sample = max(0, sample.seconds)
        guard let mean else {
            self.mean = sample
            deviation = sample / 2
            return
        }
        deviation += weight * (abs(sample - mean) - deviation)
        self.mean = mean + weight * (sample - mean)
    }

    /// What most samples stay below.
    var usualMax: Double? { mean.map { $0 + deviation } }
    /// What almost all stay below.
    var cautious: Double? { mean.map { $0 + 2 * deviation } }
}

/// All workers of one version, and the invocations that wait for one of them.
struct Pool: Sendable {
    let id: PoolID
    let settings: PoolSettings
    /// Index of its function.
    let function: Int
    /// `nil` when it is learned.
    let keepAlive: Interval?
    let queueCapacity: Int
    let scaleUp: HostLimits.ScaleUp
    var isDraining = false

    /// First in, first out.
    var queue = IndexList()
    /// Of `queue`, those whose wait is unlimited.
    var queuedUnlimited = 0

    /// Every worker until its exit.
    var workers = IndexList()
    /// Ready workers with a free slot, most recently used first.
    var available = IndexList()
    /// Ready workers on which nothing runs, the longest idle last.
    var idle = IndexList()
    var starting = 0
    /// Workers that take invocations.
    var ready = 0

    /// Workers that are starting, ready or draining.
    var live = 0
    /// Why it has none, once it had one.
    var absence = StartCause.first
    var hadWorker = false

    /// Moves with each measurement of one of its workers; `nil` before the first.
    var measuredMegabytes: Int?

    /// Invocations on workers that are ready or draining.
    var running = 0
    /// Sum over `running` of the microseconds at which each was dispatched: gives the sum of their ages at any time.
    var runningSince = 0

    /// When a worker is to be started for a call that is expected.
    var prewarmAt: Instant?
    /// Until when such a worker is kept.
    var prewarmedUntil = Instant(nanoseconds: .min)

    var coldStart = MovingAverage(weight: 0.3)
    var serviceTime = MovingAverage(weight: 0.2)

    /// Workers that are kept ready whether anything waits for them or not.
    var provisioned = 0
    /// Of its workers, those that are kept for that: they do not expire and are not evicted.
    var kept = 0
    /// Since when it has fewer of them than it should, as if an invocation had come then; `nil` when it has all.
    var lack: Lack?

    struct Lack: Sendable {
        let since: Instant
        /// As in `Queued`.
        let order: UInt64
    }

    var breaker = Breaker()

    init(id: PoolID, settings: PoolSettings, function: Int, limits: HostLimits) {
        self.id = id
        self.settings = settings
        self.function = function
        keepAlive =
            switch settings.keepAlive {
            case .learned: nil
            case .seconds(let seconds): .seconds(seconds)
            }
        queueCapacity = settings.queueCapacity ?? limits.queueCapacity
        scaleUp = limits.scaleUp
    }

    /// The ages of all running invocations together.
    func runningSeconds(at now: Instant) -> Double {
        Double(running * Pool.microseconds(now) - runningSince) / 1e6
    }

    /// Microseconds, because a sum of nanoseconds over thousands of slots can overflow.
    static func microseconds(_ instant: Instant) -> Int { Int(instant.nanoseconds / 1000) }
}

/// What the pools of one function share. Lives as long as one of them.
struct FunctionGroup: Sendable {
    let id: Function.ID
    var reservedConcurrency: Int?
    var pools: [Int] = []
    /// Any of its pools, also of those that are gone.
    var hadWorker = false
    /// Slots of all workers until their exit.
    var slots = 0
    /// Of `slots`, those of workers that were told to stop.
    var slotsStopping = 0
    /// Invocations dispatched and not finished.
    var running = 0
    /// Invocations that wait in any of its pools.
    var queued = 0
    /// Sum of `Pool.provisioned` over its pools.
    var provisioned = 0
    var share = FairShare()

    /// Whether one more invocation may run.
    var mayRun: Bool { reservedConcurrency.map { running < $0 } ?? true }
    /// Whether one more worker may start. A worker with several slots may pass the limit by the slots that are left
    /// over; `mayRun` keeps its invocations within it.
    var mayStart: Bool { reservedConcurrency.map { slots < $0 } ?? true }
    /// Whether one more worker may start when the stopping ones have gone.
    var willStart: Bool { reservedConcurrency.map { slots - slotsStopping < $0 } ?? true }
}

/// The same for all training pools; its limit is never absent.
struct TrainingGroup: Sendable {
    let limit: Int
    var pools: [Int] = []
    var slots = 0
    var slotsStopping = 0
    var running = 0
    var queued = 0

    var mayRun: Bool { running < limit }
    var mayStart: Bool { slots < limit }
    var willStart: Bool { slots - slotsStopping < limit }
}

/// An invocation that waits.
struct Queued: Sendable {
    let id: InvocationID
    let pool: Int
    let arrivedAt: Instant
    /// Ascending over all pools: tells which of two pools has waited longer even within one instant.
    let order: UInt64
    let isUnlimited: Bool
}
