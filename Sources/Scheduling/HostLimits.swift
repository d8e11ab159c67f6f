package import Domain

/// What all pools share. Workers count from `start` until `workerExited`, in whatever state they are.
package struct HostLimits: Equatable, Sendable {
    /// Workers of all pools together, trainings included; at least 1.
    package var workersMax = 256
    /// Workers started and not ready yet; at least 1. Starting is bound by processor and disk: more at once only slow
    /// each other, and what runs. A host has as many as it has processors.
    package var startsInFlightMax = 16
    /// Starts per second in the long run; above 0.
    package var startsPerSecond = 50.0
    /// Starts that may happen at one instant after a quiet time; at least 1.
    package var startsBurst = 50
    /// Sum of the declared memory of all workers.
    package var memoryMegabytesMax = Int.max
    /// Invocations that may wait in one pool, unless the pool says otherwise.
    package var queueCapacity = 1000
    /// The longest that an invocation with a limited wait is queued, whatever limit it came with.
    package var queueWaitMax = Interval.seconds(30)
    /// Trainings that run or are being started, over all training pools; at least 1.
    package var trainingConcurrency = 1
    /// What an idle GB (1024 MB) costs for an hour while there is memory to spare, in seconds of waiting for a cold start:
    /// where pools leave their keep-alive to the host, a worker is kept as long as that is less than what it saves.
    package var keepAlivePrice = 12.0
    /// Which idle worker makes room for others.
    package var eviction = Eviction.greedyDual
    /// So many workers of a pool in a row that were lost without an answer stop its starts for a while, as a failed init
    /// does.
    package var crashesMax = 20
    /// When a pool asks for a worker. A host's is `aware`: the simulator alone sets another.
    package var scaleUp = ScaleUp.aware
    /// First pause after a failed init; doubles with each further one, up to `initBackoffMax`.
    package var initBackoff = Interval.seconds(1)
    package var initBackoffMax = Interval.seconds(60)
    /// How long a pool waits for its share before others must give way: a busy pool gives up a worker for one without
    /// any, and no smaller pool is started before one whose callers wait for more memory.
    package var yieldAfter = Interval.seconds(5)

    package enum Eviction: Sendable {
        case greedyDual
        /// For comparison.
        case leastRecentlyUsed
    }

    package enum ScaleUp: Sendable {
        /// When one more would be ready before the queue drains: see `Pool.need`.
        case aware
        /// For comparison: one for each queued invocation for which no slot is starting.
        case eachInvocation
        /// For comparison: one where there is none and something is queued; else only what `setProvisioned` says.
        case provisionedOnly
    }

    package init() {}
}
