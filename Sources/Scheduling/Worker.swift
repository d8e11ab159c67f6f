import Domain

/// One worker, from `start` until `workerExited`.
struct Worker: Sendable {
    enum State: Sendable {
        case starting
        /// Takes invocations.
        case ready
        /// Takes no more; stops for the sake of this pool when what runs on it has finished.
        case draining(for: PoolID)
        /// Told to stop, or being killed by the caller.
        case stopping
    }

    let id: WorkerID
    let pool: Int
    let cause: StartCause
    let startedAt: Instant
    /// What it counts for: what its pool's workers take, until it was measured.
    var memoryMegabytes: Int
    var isMeasured = false
    /// Of the host, as `FairShare` counts it.
    var share: Int
    var state = State.starting
    var wasReady = false
    /// One of its pool's `kept`.
    var isKept = false
    /// It counts for its pool's `UseHistory.inUse`.
    var isInUse = false
    /// The clock of greedy-dual when it became idle.
    var clock = 0.0
    /// When it entered its state, became idle or stopped being idle.
    var since: Instant
    /// One bit per slot on which an invocation runs.
    var busy: UInt64 = 0
    /// By slot; has meaning while the slot is busy.
    var dispatchedAt: [Instant]

    init(
        id: WorkerID, pool: Int, cause: StartCause, memoryMegabytes: Int, share: Int, concurrency: Int, at now: Instant
    ) {
        self.id = id
        self.pool = pool
        self.cause = cause
        self.memoryMegabytes = memoryMegabytes
        self.share = share
        startedAt = now
        since = now
        dispatchedAt = Array(repeating: now, count: concurrency)
    }

    var resources: Resources { Resources(workers: 1, memoryMegabytes: memoryMegabytes) }
    var running: Int { busy.nonzeroBitCount }
    var isFull: Bool { running == dispatchedAt.count }
    var freeSlot: Int { (~busy).trailingZeroBitCount }

    var isStarting: Bool { if case .starting = state { true } else { false } }
    var isReady: Bool { if case .ready = state { true } else { false } }
    var isStopping: Bool { if case .stopping = state { true } else { false } }
}
