import Domain

/// Idle workers: how long they are kept, and which of them makes room for others.
extension Scheduler {
    /// What becomes of a worker after an event in which it may have become idle: nothing when something runs on it.
    mutating func settleIdle(_ worker: Int, at now: Instant, into out: inout ActionBuffer) {
        guard workers[worker].busy == 0 else { return }
        switch workers[worker].state {
        case .starting, .stopping: return
        case .draining(for: let needy): stop(worker, .yielded(to: needy), at: now, into: &out)
        case .ready:
            let pool = workers[worker].pool
            if isShuttingDown { return stop(worker, .shutdown, at: now, into: &out) }
            if workers[worker].isKept {
                workers[worker].since = now
                return joinStartLine(pools[pool].function)
            }
            if pools[pool].keepAlive <= .zero, pools[pool].queue.isEmpty {
                return stop(worker, .keepAlivePassed, at: now, into: &out)
            }
            workers[worker].since = now
            enterIdle(worker)
            timers.setNoLater(.pool(pool), than: now + pools[pool].keepAlive)
            joinStartLine(pools[pool].function)  // another pool of the function may wait for its slots
        }
    }

    /// Stops workers that have been idle for their keep-alive, and sets the timer for the next.
    mutating func stopExpired(_ pool: Int, at now: Instant, into out: inout ActionBuffer) {
        while pools[pool].idle.last != IndexList.end {
            let worker = pools[pool].idle.last
            let deadline = workers[worker].since + pools[pool].keepAlive
            guard deadline <= now else { return timers.setNoLater(.pool(pool), than: deadline) }
            stop(worker, .keepAlivePassed, at: now, into: &out)
        }
    }

    /// Which idle worker makes room for a start of this pool. Least recently used for now; trainings make room for
    /// everyone, and find room only among themselves.
    func victim(for pool: Int) -> Int? {
        guard pools[pool].settings.isTraining else { return nextVictim }
        return idleTrainingWorkers.isEmpty ? nil : idleTrainingWorkers.last
    }

    /// Which idle worker is evicted first when any will do.
    var nextVictim: Int? {
        let inference = idleWorkers.last
        let trained = idleTrainingWorkers.last
        if inference == IndexList.end { return trained == IndexList.end ? nil : trained }
        if trained == IndexList.end { return inference }
        return workers[trained].since < workers[inference].since ? trained : inference
    }

    /// What could be evicted for a start of this pool.
    func evictable(for pool: Int) -> Resources {
        pools[pool].settings.isTraining ? idleTraining : idleTraining + idleInference
    }

    /// The longest idle worker of a function, apart from one pool's.
    func longestIdle(of function: Int, except excluded: Int?) -> Int? {
        longestIdle(among: functions[function].pools, except: excluded)
    }

    func longestIdle(among candidates: [Int], except excluded: Int?) -> Int? {
        var best = IndexList.end
        for pool in candidates where pool != excluded {
            let worker = pools[pool].idle.last
            guard worker != IndexList.end else { continue }
            if best == IndexList.end || workers[worker].since < workers[best].since { best = worker }
        }
        return best == IndexList.end ? nil : best
    }

    mutating func enterIdle(_ worker: Int) {
        let pool = workers[worker].pool
        pools[pool].idle.prepend(worker, &idleLinks)
        if pools[pool].settings.isTraining {
            idleTrainingWorkers.prepend(worker, &idleWorkerLinks)
            idleTraining += workers[worker].resources
        } else {
            idleWorkers.prepend(worker, &idleWorkerLinks)
            idleInference += workers[worker].resources
        }
    }

    mutating func leaveIdle(_ worker: Int) {
        guard IndexList.isLinked(worker, idleLinks) else { return }
        let pool = workers[worker].pool
        pools[pool].idle.remove(worker, &idleLinks)
        if pools[pool].settings.isTraining {
            idleTrainingWorkers.remove(worker, &idleWorkerLinks)
            idleTraining -= workers[worker].resources
        } else {
            idleWorkers.remove(worker, &idleWorkerLinks)
            idleInference -= workers[worker].resources
        }
    }
}
