import Domain

/// Queues, and the way from a queue to a slot.
extension Scheduler {
    /// Why an invocation is refused before anything else is looked at; `nil` when it may run or wait.
    func refusal(_ pool: Int, isUnlimited: Bool, at now: Instant) -> Refusal? {
        if functions[pools[pool].function].reservedConcurrency == 0 { return .reservedConcurrencyZero }
        if pools[pool].settings.memoryMegabytes > limits.memoryMegabytesMax {
            return .neverFits(
                memoryMegabytes: pools[pool].settings.memoryMegabytes, limit: limits.memoryMegabytesMax)
        }
        if !isUnlimited, now < pools[pool].backoffUntil, pools[pool].ready == 0, pools[pool].starting == 0 {
            return .initBackoff(until: pools[pool].backoffUntil)
        }
        return nil
    }

    func mayRun(_ pool: Int) -> Bool {
        functions[pools[pool].function].mayRun && (!pools[pool].settings.isTraining || training.mayRun)
    }

    mutating func enqueue(_ id: InvocationID, _ pool: Int, waitMax: Interval?, at now: Instant) {
        lastOrder += 1
        let index = queued.insert(
            Queued(id: id, pool: pool, arrivedAt: now, order: lastOrder, isUnlimited: waitMax == nil))
        if index == queueLinks.count { queueLinks.append(.init()) }
        queuedIndices[id] = index
        pools[pool].queue.append(index, &queueLinks)
        functions[pools[pool].function].queued += 1
        if pools[pool].settings.isTraining { training.queued += 1 }
        if let waitMax {
            timers.set(.queued(index), to: now + min(waitMax, limits.queueWaitMax))
        } else {
            pools[pool].queuedUnlimited += 1
        }
    }

    mutating func dequeue(_ index: Int) {
        let pool = queued[index].pool
        pools[pool].queue.remove(index, &queueLinks)
        functions[pools[pool].function].queued -= 1
        if pools[pool].settings.isTraining { training.queued -= 1 }
        if queued[index].isUnlimited { pools[pool].queuedUnlimited -= 1 }
        timers.cancel(.queued(index))
        queuedIndices[queued[index].id] = nil
        queued.remove(index)
        leaveStartLineIfServed(pool)
    }

    mutating func refuseQueued(_ pool: Int, _ refusal: Refusal, into out: inout ActionBuffer) {
        while !pools[pool].queue.isEmpty {
            let index = pools[pool].queue.first
            out.actions.append(.refuse(queued[index].id, refusal))
            dequeue(index)
        }
    }

    mutating func dispatch(_ id: InvocationID, on worker: Int, at now: Instant, into out: inout ActionBuffer) {
        let pool = workers[worker].pool
        if workers[worker].busy == 0 {
            leaveIdle(worker)
            workers[worker].since = now
            if !workers[worker].isInUse { use(worker, at: now) }
        }
        let slot = workers[worker].freeSlot
        workers[worker].busy |= 1 << slot
        workers[worker].dispatchedAt[slot] = now
        if workers[worker].isFull { withdraw(worker) }
        pools[pool].running += 1
        pools[pool].runningSince += Pool.microseconds(now)
        functions[pools[pool].function].running += 1
        if pools[pool].settings.isTraining { training.running += 1 }
        out.dispatch(id, to: Slot(worker: workers[worker].id, index: UInt16(slot)))
    }

    /// Runs what can run now in all pools that share a limit with this function; between them the longest waiting goes
    /// first.
    mutating func serve(_ function: Int, at now: Instant, into out: inout ActionBuffer) {
        while true {
            var next = -1
            if functions[function].queued > 0 { for pool in functions[function].pools { consider(pool, &next) } }
            if next < 0, training.queued > 0 { for pool in training.pools { consider(pool, &next) } }
            guard next >= 0 else { return }
            let index = pools[next].queue.first
            let id = queued[index].id
            dequeue(index)
            dispatch(id, on: pools[next].available.first, at: now, into: &out)
        }
    }

    private func consider(_ pool: Int, _ next: inout Int) {
        guard !pools[pool].queue.isEmpty, !pools[pool].available.isEmpty, mayRun(pool) else { return }
        if next < 0 || queued[pools[pool].queue.first].order < queued[pools[next].queue.first].order { next = pool }
    }

    /// Puts a worker with a free slot first in line for dispatch; behind those that are kept anyway, so that it may
    /// become idle and expire.
    mutating func offer(_ worker: Int) {
        withdraw(worker)
        let pool = workers[worker].pool
        if pools[pool].kept > 0, !workers[worker].isKept {
            pools[pool].available.append(worker, &availableLinks)
        } else {
            pools[pool].available.prepend(worker, &availableLinks)
        }
    }

    mutating func withdraw(_ worker: Int) {
        guard IndexList.isLinked(worker, availableLinks) else { return }
        pools[workers[worker].pool].available.remove(worker, &availableLinks)
    }
}
