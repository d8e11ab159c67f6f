package import Domain

/// The memory budget: what workers count for, and what is done when they outgrow it.
extension Scheduler {
    /// What a worker really takes, from now on counted in place of what it was taken for. Ignored for one that is unknown.
    ///
    /// The pool's next starts count with the same: the largest measured, coming down by an eighth of the difference with
    /// each smaller one. Idle workers are evicted when it does not fit any more; busy ones are left alone.
    package mutating func workerMeasured(
        _ id: WorkerID, memoryMegabytes: Int, at now: Instant, into out: inout ActionBuffer
    ) {
        precondition(memoryMegabytes >= 0)
        guard let worker = workerIndices[id] else { return }
        let pool = workers[worker].pool
        let known = pools[pool].measuredMegabytes ?? 0
        pools[pool].measuredMegabytes = max(memoryMegabytes, known - (known - memoryMegabytes) / 8)
        workers[worker].isMeasured = true
        largestInferenceMegabytes = nil
        let change = Resources(workers: 0, memoryMegabytes: memoryMegabytes - workers[worker].memoryMegabytes)
        guard change.memoryMegabytes != 0 else { return }
        workers[worker].memoryMegabytes = memoryMegabytes
        used += change
        isLineStuck = false
        switch workers[worker].state {
        case .stopping: stopping += change
        case .draining: draining += change
        case .starting, .ready: break
        }
        let share = share(workers[worker].resources)
        if workers[worker].isInUse {
            hold(share - workers[worker].share, of: pools[pool].function, at: now)
        }
        workers[worker].share = share
        let isIdle = IndexList.isLinked(worker, idleLinks)
        if pools[pool].settings.isTraining {
            usedByTraining += change
            if isIdle { idleTraining += change }
        } else if isIdle {
            idleInference += change
        }
        updateEviction(pool)
        fitBudget(at: now, into: &out)
        settle(at: now, into: &out)
    }

    /// The budget changes while the host runs, because the machine is short of memory or no longer so. At most
    /// `HostLimits.memoryMegabytesMax`. Lowered: idle workers are evicted until the rest fits, busy ones when they have
    /// finished.
    package mutating func setMemoryBudget(megabytes: Int, at now: Instant, into out: inout ActionBuffer) {
        precondition(megabytes >= 0)
        budget.memoryMegabytes = min(megabytes, limits.memoryMegabytesMax)
        isLineStuck = false
        fitBudget(at: now, into: &out)
        settle(at: now, into: &out)
    }

    /// Evicts idle workers until the others fit, or none is left.
    mutating func fitBudget(at now: Instant, into out: inout ActionBuffer) {
        while !(used - stopping).fits(budget), let worker = nextVictim() {
            evict(worker, .overBudget, at: now, into: &out)
        }
    }

    /// What a start of this pool counts for. Never more than all there may be, or a worker that grew once could not be
    /// started again.
    func resources(_ pool: Int) -> Resources {
        let memory = pools[pool].measuredMegabytes ?? pools[pool].settings.memoryMegabytes
        return Resources(workers: 1, memoryMegabytes: min(memory, limits.memoryMegabytesMax))
    }
}
