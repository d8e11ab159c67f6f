package import Domain

/// Provisioned concurrency: workers that are there before anybody calls.
///
/// Of a pool's workers as many are *kept* as are provisioned. They are like all others, but for what would stop an idle
/// one: they are in neither list of idle workers, so they do not expire and make no room. Which of them are kept does not
/// matter, so those that are there already are taken first; what is missing stands in the start line like a pool with an
/// invocation that waits without a limit.
extension Scheduler {
    /// Sets how many workers a pool keeps; 0 keeps none. Ignored for a pool that trains, drains or is unknown, and
    /// at shutdown.
    ///
    /// What is too much after a decrease stays as ordinary workers, and expires. A pool of which not even one worker fits
    /// into the memory of all keeps none.
    package mutating func setProvisioned(
        _ count: Int, of id: PoolID, at now: Instant, into out: inout ActionBuffer
    ) {
        precondition(count >= 0)
        guard !isShuttingDown, let pool = poolIndices[id], !pools[pool].isDraining, !pools[pool].settings.isTraining
        else {
            return
        }
        setProvisioned(count, of: pool, at: now, into: &out)
        settle(at: now, into: &out)
    }

    mutating func setProvisioned(_ count: Int, of pool: Int, at now: Instant, into out: inout ActionBuffer) {
        guard count != pools[pool].provisioned else { return }
        functions[pools[pool].function].provisioned += count - pools[pool].provisioned
        pools[pool].provisioned = count
        if pools[pool].kept < count {
            updateLack(pool, at: now)
            adopt(pool, at: now)
        } else {
            var worker = pools[pool].workers.last
            while worker != IndexList.end, pools[pool].kept > count {
                // The one before, since this one may be stopped.
                let previous = workerLinks[worker].previous
                if workers[worker].isKept {
                    release(worker, at: now)
                    settleIdle(worker, at: now, into: &out)
                }
                worker = previous
            }
            updateLack(pool, at: now)
        }
        joinStartLine(pools[pool].function, at: now)
    }

    /// Keeps ordinary workers of the pool instead of starting others.
    mutating func adopt(_ pool: Int, at now: Instant) {
        var worker = pools[pool].workers.first
        while worker != IndexList.end, pools[pool].lack != nil {
            if !workers[worker].isKept, workers[worker].isStarting || workers[worker].isReady {
                leaveIdle(worker)
                keep(worker, at: now)
            }
            worker = workerLinks[worker].next
        }
    }

    /// - Precondition: the worker is starting or ready, and in no list of idle ones.
    mutating func keep(_ worker: Int, at now: Instant) {
        workers[worker].isKept = true
        pools[workers[worker].pool].kept += 1
        updateEviction(workers[worker].pool)
        updateLack(workers[worker].pool, at: now)
    }

    mutating func release(_ worker: Int, at now: Instant) {
        workers[worker].isKept = false
        pools[workers[worker].pool].kept -= 1
        updateEviction(workers[worker].pool)
        updateLack(workers[worker].pool, at: now)
    }

    func lacksWorkers(_ pool: Int) -> Bool {
        pools[pool].kept < pools[pool].provisioned && !pools[pool].isDraining
            && pools[pool].settings.memoryMegabytes <= limits.memoryMegabytesMax
    }

    private mutating func updateLack(_ pool: Int, at now: Instant) {
        if !lacksWorkers(pool) {
            pools[pool].lack = nil
            leaveStartLineIfServed(pool)
        } else if pools[pool].lack == nil {
            lastOrder += 1
            pools[pool].lack = Pool.Lack(since: now, order: lastOrder)
        }
    }
}
