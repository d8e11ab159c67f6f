package import Domain

/// Decides which worker runs which invocation, when workers start, and when they stop.
///
/// A value without clock, input or output: each event comes with the time and appends what is to be done to a buffer.
/// Time must not go backwards. Events that are late or repeated (a finish of a free slot, an exit of a forgotten
/// worker) change nothing.
///
/// A **worker** is moved
///
///     starting -> ready        by workerReady
///     ready -> draining        by the scheduler: it must give its place to another pool, and something still runs
///     any of these -> stopping by the scheduler, with `stop`; or by workerStopping, when the caller kills it
///     any -> (gone)            by workerExited, and by nothing else
///
/// An **invocation** is queued or dispatched in the event that brings it; queued, it leaves by one of `dispatch`,
/// `refuse` and invocationCancelled. What runs is known here only as the busy slot of a worker.
///
/// A **pool** is live, then draining, then gone with `poolDrained`.
///
/// Invariants, checked in full by `checkInvariants`:
/// 1. An invocation is dispatched or refused at most once, and first in, first out within its pool.
/// 2. A dispatch goes to a free slot of a ready worker of its pool.
/// 3. No invocation is queued beside a free slot of a ready worker of its pool, unless its function's reserved
///    concurrency or the training limit is used up.
/// 4. From `start` to `workerExited` a worker counts for the host's workers and memory, and its slots for its function
///    and for trainings. No start exceeds one of these limits.
/// 5. Starting workers are never more than the queued invocations at the time of the start could use, and a pool that
///    never was ready starts one at a time; but for those that are provisioned. With another `HostLimits.scaleUp`:
///    `eachInvocation` starts as many at once; with `provisionedOnly` a pool that has a worker starts none but those.
/// 6. A queued invocation has a reason to end: a worker that will be free, a start that waits in line for room, or a
///    timer.
/// 7. Every timer belongs to a pool or a queued invocation that is there.
/// 8. A pool that has fewer workers than are provisioned for it has a reason to get them: as in 6, it stands in line for a
///    start, waits for its backoff, for slots of its function, or for the one worker that is tried after a failure. A
///    worker that is kept for this is stopped only when its pool drains, the provision is lowered, or the host ends.
/// 9. Nobody stands in line for a start that could happen.
package struct Scheduler: Sendable {
    package let limits: HostLimits

    var poolIndices: [PoolID: Int] = [:]
    var pools = Slab<Pool>()
    /// By pool.
    var histories: [UseHistory] = []
    var fleet = FleetHistory()
    var functionIndices: [Function.ID: Int] = [:]
    var functions = Slab<FunctionGroup>()
    /// Functions without a pool now that once had a worker; at most `veteransMax`, then forgotten all together.
    var veterans: Set<Function.ID> = []
    static let veteransMax = 100_000
    var training: TrainingGroup

    var workerIndices: [WorkerID: Int] = [:]
    var workers = Slab<Worker>()
    var lastWorker: UInt64 = 0

    var queuedIndices: [InvocationID: Int] = [:]
    var queued = Slab<Queued>()
    var lastOrder: UInt64 = 0

    /// Links of `Pool.workers`, `.available` and `.idle`; of `Pool.queue`; of `startLines`.
    var workerLinks: [IndexList.Link] = []
    var availableLinks: [IndexList.Link] = []
    var idleLinks: [IndexList.Link] = []
    var queueLinks: [IndexList.Link] = []
    var lineLinks: [IndexList.Link] = []

    /// Pools by the priority of their idle workers, and the clock of greedy-dual.
    var evictionHeap = IndexedHeap<EvictionPriority>()
    var evictionClock = 0.0
    var startLines = StartLines()
    var contention = Contention()
    /// All in line were looked at, and nothing that could help them has changed.
    var isLineStuck = false
    /// What those who keep their turn waited for then.
    var lineClaims = Resources()
    /// Those for whom there was no room, during a look at the line; kept for its memory.
    var passedPools: [Int] = []
    /// What a worker of the inference pools counts for at most; `nil` when it has to be looked for.
    var largestInferenceMegabytes: Int?
    var drainingPools: [Int] = []

    /// Sums over all workers; `stopping` is the part of those that were told to stop, `draining` of those that stop when
    /// they have finished, `idle` of the idle ones.
    var used = Resources()
    var stopping = Resources()
    var draining = Resources()
    var idleInference = Resources()
    var idleTraining = Resources()
    var usedByTraining = Resources()
    /// What `used` must fit in for a start: the limits, less what memory pressure has taken.
    var budget: Resources
    var startsInFlight = 0
    var startRate: StartRate

    var timers = TimerHeap()
    /// The wake that the caller was last asked for and that has not come yet.
    var announcedWake: Instant?
    var isShuttingDown = false
    var isAllStoppedAnnounced = false

    package init(limits: HostLimits = HostLimits()) {
        precondition(limits.workersMax >= 1 && limits.startsInFlightMax >= 1 && limits.trainingConcurrency >= 1)
        precondition(limits.startsPerSecond > 0 && limits.startsBurst >= 1)
        self.limits = limits
        budget = Resources(workers: limits.workersMax, memoryMegabytes: limits.memoryMegabytesMax)
        training = TrainingGroup(limit: limits.trainingConcurrency)
        startRate = StartRate(perSecond: limits.startsPerSecond, burst: limits.startsBurst)
    }

    // MARK: - Pools

    /// A pool must not be added twice.
    package mutating func addPool(
        _ id: PoolID, settings: PoolSettings, at now: Instant, into out: inout ActionBuffer
    ) {
        precondition(poolIndices[id] == nil, "pool \(id.value) is there already")
        precondition((1...64).contains(settings.workerConcurrency) && settings.memoryMegabytes >= 0)
        let function: Int
        if let known = functionIndices[settings.function] {
            function = known
        } else {
            function = functions.insert(FunctionGroup(id: settings.function))
            functions[function].hadWorker = veterans.remove(settings.function) != nil
            functionIndices[settings.function] = function
        }
        let pool = pools.insert(Pool(id: id, settings: settings, function: function, limits: limits))
        if pool == lineLinks.count {
            lineLinks.append(.init())
            histories.append(UseHistory())
        } else {
            histories[pool] = UseHistory()
        }
        poolIndices[id] = pool
        largestInferenceMegabytes = nil
        functions[function].pools.append(pool)
        if settings.isTraining { training.pools.append(pool) }
        updateFunction(settings.function, reservedConcurrency: settings.reservedConcurrency, at: now, into: &out)
    }

    /// A function without pools is unknown, and its change is ignored: its next pool brings the value.
    ///
    /// Lowered: idle workers above the limit stop, busy ones finish. To 0: all that is queued is refused.
    package mutating func updateFunction(
        _ id: Function.ID, reservedConcurrency: Int?, at now: Instant, into out: inout ActionBuffer
    ) {
        guard let function = functionIndices[id] else { return }
        let old = functions[function].reservedConcurrency
        guard old != reservedConcurrency else { return }
        functions[function].reservedConcurrency = reservedConcurrency
        isLineStuck = false
        if reservedConcurrency == 0 {
            for pool in functions[function].pools { refuseQueued(pool, .reservedConcurrencyZero, into: &out) }
        }
        if let reservedConcurrency {
            while functions[function].slots - functions[function].slotsStopping > reservedConcurrency,
                let worker = longestIdle(of: function, except: nil)
            {
                stop(worker, .reservedConcurrencyLowered, at: now, into: &out)
            }
        }
        serve(function, at: now, into: &out)
        joinStartLine(function, at: now)
        settle(at: now, into: &out)
    }

    /// After a redeploy or a delete: no invocation arrives any more, what is queued still runs (starting workers if
    /// need be), workers stop when nothing is left for them. Ends with `poolDrained`.
    package mutating func drainPool(_ id: PoolID, at now: Instant, into out: inout ActionBuffer) {
        guard let pool = poolIndices[id], !pools[pool].isDraining else { return }
        setProvisioned(0, of: pool, at: now, into: &out)
        pools[pool].isDraining = true
        largestInferenceMegabytes = nil
        isLineStuck = false
        drainingPools.append(pool)
        settle(at: now, into: &out)
    }

    // MARK: - Invocations

    /// - Parameter waitMax: how long it may be queued, at most `HostLimits.queueWaitMax`; `nil` waits without limit, also
    ///   through the backoff after a failed init (executions).
    package mutating func invocationArrived(
        _ id: InvocationID, pool poolID: PoolID, waitMax: Interval?, at now: Instant, into out: inout ActionBuffer
    ) {
        guard !isShuttingDown else { return out.actions.append(.refuse(id, .shutdown)) }
        guard let pool = poolIndices[poolID], !pools[pool].isDraining else {
            return out.actions.append(.refuse(id, .poolGone))
        }
        if let refusal = refusal(pool, isUnlimited: waitMax == nil, at: now) {
            return out.actions.append(.refuse(id, refusal))
        }
        if pools[pool].queue.isEmpty, pools[pool].available.first != IndexList.end, mayRun(pool) {
            return dispatch(id, on: pools[pool].available.first, at: now, into: &out)
        }
        let limit = pools[pool].queueCapacity
        let waiting =
            waitMax == nil ? pools[pool].queuedUnlimited : pools[pool].queue.count - pools[pool].queuedUnlimited
        guard waiting < limit else { return out.actions.append(.refuse(id, .queueFull(limit: limit))) }
        if let waitMax, let wait = predictedWait(pool, at: now), wait > min(waitMax, limits.queueWaitMax) {
            return out.actions.append(.refuse(id, .wouldWaitTooLong(wait, limit: min(waitMax, limits.queueWaitMax))))
        }
        enqueue(id, pool, waitMax: waitMax, at: now)
        joinStartLine(pool: pool, at: now)
        settle(at: now, into: &out)
    }

    /// The client has gone. Queued, it is forgotten without an action; running, nothing changes here: the caller lets it
    /// finish, or kills the worker.
    package mutating func invocationCancelled(_ id: InvocationID, at now: Instant, into out: inout ActionBuffer) {
        guard let index = queuedIndices[id] else { return }
        dequeue(index)
        settle(at: now, into: &out)
    }

    /// The worker has answered, with a result or an error, and can take another.
    package mutating func invocationFinished(_ slot: Slot, at now: Instant, into out: inout ActionBuffer) {
        guard let worker = workerIndices[slot.worker], slot.index < 64, workers[worker].busy & (1 << slot.index) != 0
        else { return }
        let pool = workers[worker].pool
        let function = pools[pool].function
        let dispatchedAt = workers[worker].dispatchedAt[Int(slot.index)]
        workers[worker].busy &= ~(1 << slot.index)
        pools[pool].breaker.answered()
        functions[function].running -= 1
        if pools[pool].settings.isTraining { training.running -= 1 }
        if workers[worker].isStopping {
            serve(function, at: now, into: &out)
        } else {
            pools[pool].running -= 1
            pools[pool].runningSince -= Pool.microseconds(dispatchedAt)
            pools[pool].serviceTime.add(now - dispatchedAt)
            if workers[worker].isReady {
                if !workers[worker].isKept, let needy = poolToYieldTo(from: pool, at: now) {
                    beginDraining(worker, for: needy)
                } else {
                    offer(worker)
                }
            }
            serve(function, at: now, into: &out)
            joinStartLine(pool: pool, at: now)
            settleIdle(worker, at: now, into: &out)
        }
        settle(at: now, into: &out)
    }

    // MARK: - Time and end

    /// The instant of the last `wake` has come. At another time, or twice, it is harmless: the wake asked for before is
    /// forgotten, and asked for again if it still has a purpose, so a timer that fires early loses nothing.
    package mutating func tick(at now: Instant, into out: inout ActionBuffer) {
        announcedWake = nil
        while let owner = timers.popDue(at: now) {
            switch owner {
            case .startRate: isLineStuck = false
            case .pool(let pool):
                stopExpired(pool, at: now, into: &out)
                prewarm(pool, at: now, into: &out)
                joinStartLine(pool: pool, at: now)
                scheduleNextLook(pool, at: now)
            case .queued(let index):
                let id = queued[index].id
                dequeue(index)
                out.actions.append(.refuse(id, .waitedTooLong))
            }
        }
        settle(at: now, into: &out)
    }

    /// Refuses all that is queued or arrives, stops all that is idle or starting. What runs may finish; the caller kills
    /// it after its limit. Ends with `allStopped`.
    package mutating func shutdown(at now: Instant, into out: inout ActionBuffer) {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        for pool in pools.indices {
            refuseQueued(pool, .shutdown, into: &out)
            setProvisioned(0, of: pool, at: now, into: &out)
            stopUnused(pool, .shutdown, at: now, into: &out)
        }
        settle(at: now, into: &out)
    }

    /// The end of each event: starts for which there is room, pools that are done, and the next wake.
    mutating func settle(at now: Instant, into out: inout ActionBuffer) {
        if !startLines.isEmpty { placeStarts(at: now, into: &out) }
        contention.set(!startLines.isEmpty, at: now)
        if !drainingPools.isEmpty { finishDraining(at: now, into: &out) }
        if isShuttingDown, !isAllStoppedAnnounced, workers.count == 0 {
            isAllStoppedAnnounced = true
            out.actions.append(.allStopped)
        }
        // A deadline that moved to later is not announced: the wake that comes too early announces it.
        if let earliest = timers.earliest, announcedWake.map({ earliest < $0 }) ?? true {
            announcedWake = earliest
            out.actions.append(.wake(at: earliest))
        }
    }

    private mutating func finishDraining(at now: Instant, into out: inout ActionBuffer) {
        for pool in drainingPools where pools[pool].queue.isEmpty {
            stopUnused(pool, .poolDrained, at: now, into: &out)
            guard pools[pool].workers.isEmpty else { continue }
            out.actions.append(.poolDrained(pools[pool].id))
            forget(pool)
        }
        drainingPools.removeAll { !pools.contains($0) }
    }
}
