package import Domain

/// The life of a worker.
extension Scheduler {
    /// Its init is done: all its slots are free.
    package mutating func workerReady(_ id: WorkerID, at now: Instant, into out: inout ActionBuffer) {
        guard let worker = workerIndices[id], workers[worker].isStarting else { return }
        let pool = workers[worker].pool
        workers[worker].state = .ready
        workers[worker].wasReady = true
        workers[worker].since = now
        startsInFlight -= 1
        isLineStuck = false
        pools[pool].starting -= 1
        pools[pool].ready += 1
        pools[pool].coldStart.add(now - workers[worker].startedAt)
        pools[pool].breaker.ready()
        offer(worker)
        serve(pools[pool].function, at: now, into: &out)
        joinStartLine(pool: pool, at: now)
        settleIdle(worker, at: now, into: &out)
        updateEviction(pool)
        settle(at: now, into: &out)
    }

    /// The caller kills this worker (a timeout, an answer that is garbage). It takes no more invocations and counts
    /// until its exit; a slot that still reports its finish is not used again. Also the way to use a worker only once:
    /// call this before `invocationFinished`.
    package mutating func workerStopping(_ id: WorkerID, at now: Instant, into out: inout ActionBuffer) {
        guard let worker = workerIndices[id], !workers[worker].isStopping else { return }
        crashed(worker, at: now, into: &out)
        joinStartLine(pool: workers[worker].pool, at: now)
        settle(at: now, into: &out)
    }

    /// The worker is gone, in whatever state it was; the caller fails what ran on it.
    ///
    /// Before it was ready this is a failed init, however it ended, unless it was told to stop and the reason is not
    /// `initFailed`. Then, if the pool has no ready worker, all that waits in the pool is refused, and the next start is
    /// put off.
    package mutating func workerExited(
        _ id: WorkerID, reason: ExitReason, at now: Instant, into out: inout ActionBuffer
    ) {
        guard let worker = workerIndices[id] else { return }
        let wasStopping = workers[worker].isStopping
        let startedAt = workers[worker].startedAt
        let isInitFailure = !workers[worker].wasReady && (reason == .initFailed || !wasStopping)
        let wasInUse = workers[worker].isInUse
        if !wasStopping { crashed(worker, at: now, into: &out) }
        let pool = workers[worker].pool
        let function = pools[pool].function
        let running = workers[worker].running
        let slots = pools[pool].settings.workerConcurrency
        let resources = workers[worker].resources
        functions[function].running -= running
        functions[function].slots -= slots
        functions[function].slotsStopping -= slots
        if pools[pool].settings.isTraining {
            training.running -= running
            training.slots -= slots
            usedByTraining -= resources
            training.slotsStopping -= slots
        }
        used -= resources
        stopping -= resources
        isLineStuck = false
        pools[pool].workers.remove(worker, &workerLinks)
        workerIndices[id] = nil
        workers.remove(worker)

        // What was started ahead of a call fails unseen: the call gets its own start, and its error.
        if isInitFailure, wasInUse || !pools[pool].queue.isEmpty || pools[pool].lack != nil {
            initFailed(id, pool, startedAt: startedAt, at: now, into: &out)
        }
        if running > 0 { serve(function, at: now, into: &out) }
        joinStartLine(function, at: now)
        settle(at: now, into: &out)
    }

    /// The worker is lost, or as good as that, and the scheduler did not want it.
    private mutating func crashed(_ worker: Int, at now: Instant, into out: inout ActionBuffer) {
        retire(worker, cause: .crashed, at: now)
        let pool = workers[worker].pool
        guard workers[worker].wasReady,
            pools[pool].breaker.crashed(startedAt: workers[worker].startedAt, at: now, limits),
            pools[pool].ready + pools[pool].starting == 0
        else { return }
        let refusal = Refusal.initBackoff(until: pools[pool].breaker.openUntil)
        refuseQueued(pool, isUnlimited: false, refusal, into: &out)
    }

    /// Workers that failed together count as one failure.
    private mutating func initFailed(
        _ id: WorkerID, _ pool: Int, startedAt: Instant, at now: Instant, into out: inout ActionBuffer
    ) {
        pools[pool].breaker.initFailed(startedAt: startedAt, at: now, limits)
        if pools[pool].ready == 0 { refuseQueued(pool, .initFailed(id), into: &out) }
    }

    mutating func start(
        _ pool: Int, as cause: StartCause? = nil, at now: Instant, into out: inout ActionBuffer
    ) {
        lastWorker += 1
        let id = WorkerID(lastWorker)
        let slots = pools[pool].settings.workerConcurrency
        let resources = resources(pool)
        let cause = cause ?? startCause(pool)
        let worker = workers.insert(
            Worker(
                id: id, pool: pool, cause: cause, memoryMegabytes: resources.memoryMegabytes,
                share: share(resources), concurrency: slots, at: now))
        if worker == workerLinks.count {
            workerLinks.append(.init())
            availableLinks.append(.init())
            idleLinks.append(.init())
        }
        workerIndices[id] = worker
        if pools[pool].lack != nil { keep(worker, at: now) }
        if !pools[pool].queue.isEmpty { use(worker, at: now) }
        pools[pool].workers.append(worker, &workerLinks)
        pools[pool].starting += 1
        pools[pool].live += 1
        functions[pools[pool].function].slots += slots
        if pools[pool].settings.isTraining {
            training.slots += slots
            usedByTraining += resources
        }
        used += resources
        if !pools[pool].idle.isEmpty { updateEviction(pool) }
        startsInFlight += 1
        startRate.take(at: now)
        functions[pools[pool].function].hadWorker = true
        pools[pool].hadWorker = true
        out.actions.append(.start(id, pools[pool].id, cause))
    }

    mutating func stop(_ worker: Int, _ reason: StopReason, at now: Instant, into out: inout ActionBuffer) {
        retire(worker, cause: reason.cause, at: now)
        out.actions.append(.stop(workers[worker].id, reason))
    }

    /// Why the next worker of this pool has to be started.
    private func startCause(_ pool: Int) -> StartCause {
        if pools[pool].lack != nil, pools[pool].queue.isEmpty { return .provisioned }
        if pools[pool].live > 0 { return .scaleUp }
        if pools[pool].hadWorker { return pools[pool].absence }
        return functions[pools[pool].function].hadWorker ? .redeploy : .first
    }

    /// Any state -> stopping: out of all lists but its pool's, and counted as room to come.
    private mutating func retire(_ worker: Int, cause: StartCause, at now: Instant) {
        let pool = workers[worker].pool
        isLineStuck = false
        pools[pool].live -= 1
        pools[pool].absence = cause
        let function = pools[pool].function
        switch workers[worker].state {
        case .starting:
            pools[pool].starting -= 1
            startsInFlight -= 1
        case .ready:
            pools[pool].ready -= 1
            withdraw(worker)
            leaveIdle(worker)
        case .draining: draining -= workers[worker].resources
        case .stopping: preconditionFailure("worker \(workers[worker].id.value) stops twice")
        }
        if workers[worker].busy != 0 {
            for slot in workers[worker].dispatchedAt.indices where workers[worker].busy & (1 << slot) != 0 {
                pools[pool].running -= 1
                pools[pool].runningSince -= Pool.microseconds(workers[worker].dispatchedAt[slot])
            }
        }
        workers[worker].state = .stopping
        workers[worker].since = now
        if workers[worker].isInUse { leave(worker, at: now) }
        if workers[worker].isKept {
            release(worker, at: now)
            adopt(pool, at: now)
        }
        functions[function].slotsStopping += pools[pool].settings.workerConcurrency
        if pools[pool].settings.isTraining { training.slotsStopping += pools[pool].settings.workerConcurrency }
        stopping += workers[worker].resources
        updateEviction(pool)
    }

    /// Ready -> draining.
    mutating func beginDraining(_ worker: Int, for needy: PoolID) {
        withdraw(worker)
        pools[workers[worker].pool].ready -= 1
        workers[worker].state = .draining(for: needy)
        draining += workers[worker].resources
        updateEviction(workers[worker].pool)
    }

    /// Stops the pool's workers on which nothing runs, starting ones included.
    mutating func stopUnused(_ pool: Int, _ reason: StopReason, at now: Instant, into out: inout ActionBuffer) {
        var worker = pools[pool].workers.first
        while worker != IndexList.end {
            if workers[worker].busy == 0, !workers[worker].isStopping { stop(worker, reason, at: now, into: &out) }
            worker = workerLinks[worker].next
        }
    }

    /// The last of a drained pool.
    mutating func forget(_ pool: Int) {
        let function = pools[pool].function
        functions[function].provisioned -= pools[pool].provisioned
        leaveStartLine(pool)
        largestInferenceMegabytes = nil
        isLineStuck = false
        timers.cancel(.pool(pool))
        evictionHeap.remove(pool)
        functions[function].pools.removeAll { $0 == pool }
        if functions[function].pools.isEmpty {
            if functions[function].hadWorker {
                if veterans.count == Self.veteransMax { veterans.removeAll() }
                veterans.insert(functions[function].id)
            }
            functionIndices[functions[function].id] = nil
            functions.remove(function)
        }
        if pools[pool].settings.isTraining { training.pools.removeAll { $0 == pool } }
        poolIndices[pools[pool].id] = nil
        pools.remove(pool)
    }
}

extension StopReason {
    /// What a start that follows it is put down to.
    fileprivate var cause: StartCause {
        switch self {
        case .keepAlivePassed, .reservedConcurrencyLowered, .poolDrained, .shutdown: .keepAlivePassed
        case .evicted, .overBudget: .evicted
        case .yielded: .yielded
        }
    }
}
