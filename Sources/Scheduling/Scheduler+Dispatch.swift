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
        if !isUnlimited, now < pools[pool].breaker.openUntil, pools[pool].ready + pools[pool].starting == 0 {
            return .initBackoff(until: pools[pool].breaker.openUntil)
        }
        return nil
    }

    func mayRun(_ pool: Int) -> Bool {
        functions[pools[pool].function].mayRun && (!pools[pool].settings.isTraining || training.mayRun)
    }

    /// The least that one more invocation of this pool will wait in its queue, when invocations take as long as usual and
    /// the pool gets at once all workers for which the host has room; `nil` when nobody can tell. Where others hold the
    /// room, the pool may get as many again as it has.
    func predictedWait(_ pool: Int, at now: Instant) -> Interval? {
        guard let service = pools[pool].serviceTime.mean else { return nil }
        let each = pools[pool].settings.workerConcurrency
        let slots = (pools[pool].ready + pools[pool].starting) * each
        guard slots > 0, pools[pool].queue.count >= slots else { return nil }
        let ahead = pools[pool].queue.count
        let running = Double(pools[pool].running) * service - pools[pool].runningSeconds(at: now)
        let wait = (max(0, running) + Double(ahead) * service) / Double(slots)
        let more = slotsToCome(pool)
        guard more > 0 else { return .seconds(contention.isOn ? wait / 2 : wait) }
        guard let coldStart = pools[pool].coldStart.mean else { return nil }
        // The new slots take the first ones as soon as they are there.
        let behind = Double(max(0, ahead - more)) * service / Double(slots + more)
        return .seconds(min(wait, coldStart + behind))
    }

    /// Slots of workers that the pool may start beside those that it has.
    private func slotsToCome(_ pool: Int) -> Int {
        let each = pools[pool].settings.workerConcurrency
        let function = functions[pools[pool].function]
        let need = resources(pool)
        let free = budget - (used - stopping) + evictable(for: pool)
        let byMemory = need.memoryMegabytes > 0 ? free.memoryMegabytes / need.memoryMegabytes : free.workers
        var slots = max(0, min(free.workers, byMemory)) * each
        if let reserved = function.reservedConcurrency { slots = min(slots, max(0, reserved - function.slots)) }
        return slots
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

    /// - Parameter isUnlimited: also those who wait without a limit.
    mutating func refuseQueued(
        _ pool: Int, isUnlimited: Bool = true, _ refusal: Refusal, into out: inout ActionBuffer
    ) {
        var index = pools[pool].queue.first
        while index != IndexList.end {
            let next = queueLinks[index].next
            if isUnlimited || !queued[index].isUnlimited {
                out.actions.append(.refuse(queued[index].id, refusal))
                dequeue(index)
            }
            index = next
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
