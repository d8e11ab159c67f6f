import Domain

/// When a pool starts another worker, and who gets the host's room first.
extension Scheduler {
    enum Need {
        case none
        case start
        /// Not now, but perhaps at this time if nothing else happens.
        case later(Instant)
    }

    /// Whether one more worker would be ready before the queue drains:
    /// predicted wait = work ahead / slots > cold start, starting workers counted as slots.
    ///
    /// The work ahead is the queue at the mean service time, plus what runs. What runs is taken to last as long again as
    /// it has run already when that is more than the mean, so that one long invocation is noticed although the mean is
    /// short; and when nothing has ever finished, its age is the best lower bound of the mean.
    func need(_ index: Int, at now: Instant) -> Need {
        let pool = pools[index]
        let queued = pool.queue.count
        let starting = pool.starting * pool.settings.workerConcurrency
        guard !isShuttingDown, queued > starting else { return .none }
        guard now >= pool.backoffUntil else { return .later(pool.backoffUntil) }
        guard pool.ready + pool.starting > 0 else { return .start }
        guard let coldStart = pool.coldStart.seconds else { return .none }  // the first start tells how long they take

        let room = coldStart * Double(pool.ready * pool.settings.workerConcurrency + starting)
        let running = Double(pool.running)
        let age = pool.runningSeconds(at: now)
        // The age, summed over what runs, from which on the predicted wait is longer than a cold start.
        let ageNeeded: Double
        if let mean = pool.serviceTime.seconds {
            if (Double(queued) + running) * mean > room { return .start }
            ageNeeded = room - Double(queued) * mean
        } else {
            guard running > 0 else { return .none }
            ageNeeded = room * running / (Double(queued) + running)
        }
        if age > ageNeeded { return .start }
        guard running > 0 else { return .none }
        // Not below the resolution of the host's timers.
        return .later(now + max(.seconds((ageNeeded - age) / running), .milliseconds(1)))
    }

    // MARK: - The start line

    /// Puts the pool in line if it wants a worker; else sets its timer for the time when it may.
    mutating func joinStartLine(pool: Int) {
        guard !pools[pool].queue.isEmpty, !IndexList.isLinked(pool, lineLinks) else { return }
        if pools[pool].settings.isTraining {
            trainingStartLine.append(pool, &lineLinks)
        } else {
            startLine.append(pool, &lineLinks)
        }
    }

    /// All pools of a function, the longest waiting first.
    mutating func joinStartLine(_ function: Int) {
        var oldest = -1
        for pool in functions[function].pools where !pools[pool].queue.isEmpty {
            if oldest < 0 || order(pool) < order(oldest) { oldest = pool }
        }
        guard oldest >= 0 else { return }
        joinStartLine(pool: oldest)
        for pool in functions[function].pools { joinStartLine(pool: pool) }
    }

    mutating func leaveStartLine(_ pool: Int) {
        guard IndexList.isLinked(pool, lineLinks) else { return }
        if pools[pool].settings.isTraining {
            trainingStartLine.remove(pool, &lineLinks)
        } else {
            startLine.remove(pool, &lineLinks)
        }
    }

    /// Starts what fits, in turn: each pool one worker, then the next pool. A pool for which room must be made first
    /// keeps its turn, and the room is not given to those behind it.
    ///
    /// Trainings come after all others.
    mutating func placeStarts(at now: Instant, into out: inout ActionBuffer) {
        var claimed = Resources()
        guard placeStarts(isTraining: false, &claimed, at: now, into: &out) else { return }
        _ = placeStarts(isTraining: true, &claimed, at: now, into: &out)
    }

    /// `false` when no pool at all may start a worker now.
    private mutating func placeStarts(
        isTraining: Bool, _ claimed: inout Resources, at now: Instant, into out: inout ActionBuffer
    ) -> Bool {
        var pool = isTraining ? trainingStartLine.first : startLine.first
        while pool != IndexList.end {
            let next = lineLinks[pool].next
            guard needsStart(pool, at: now), functionHasRoom(pool, at: now, into: &out) else {
                leaveStartLine(pool)
                pool = next
                continue
            }
            if isTraining, !trainingHasRoom(pool, at: now, into: &out) { return true }
            guard startsInFlight < limits.startsInFlightMax else { return false }
            guard startRate.nextStart <= now else {
                timers.setNoLater(.startRate, than: startRate.nextStart)
                return false
            }
            let need = resources(pool)
            guard (used + claimed + need).fits(limits) else {
                let canFit = makeRoom(for: pool, claimed + need, at: now, into: &out)
                claimed += need
                guard canFit else { return true }
                pool = next
                continue
            }
            start(pool, at: now, into: &out)
            leaveStartLine(pool)
            joinStartLine(pool: pool)
            pool = next == IndexList.end ? pool : next
        }
        return true
    }

    /// The same as `need`, setting the timer.
    private mutating func needsStart(_ pool: Int, at now: Instant) -> Bool {
        switch need(pool, at: now) {
        case .start: return true
        case .none: return false
        case .later(let instant):
            timers.setNoLater(.pool(pool), than: instant)
            return false
        }
    }

    mutating func scheduleNextLook(_ pool: Int, at now: Instant) {
        if case .later(let instant) = need(pool, at: now) { timers.setNoLater(.pool(pool), than: instant) }
    }

    /// Whether reserved concurrency leaves room. If not, an idle worker of another pool of the function makes some (after
    /// an alias move, the old version's), unless one is on its way out already.
    private mutating func functionHasRoom(_ pool: Int, at now: Instant, into out: inout ActionBuffer) -> Bool {
        let function = pools[pool].function
        if functions[function].mayStart { return true }
        if !functions[function].willStart, let worker = longestIdle(of: function, except: pool) {
            stop(worker, .evicted(for: pools[pool].id), at: now, into: &out)
        }
        return false
    }

    private mutating func trainingHasRoom(_ pool: Int, at now: Instant, into out: inout ActionBuffer) -> Bool {
        if training.mayStart { return true }
        if !training.willStart, let worker = longestIdle(among: training.pools, except: pool) {
            stop(worker, .evicted(for: pools[pool].id), at: now, into: &out)
        }
        return false
    }

    /// Evicts idle workers until, once they are gone, `wanted` fits. `false`, and no eviction, when it would not.
    private mutating func makeRoom(
        for pool: Int, _ wanted: Resources, at now: Instant, into out: inout ActionBuffer
    ) -> Bool {
        guard (used - stopping + wanted - evictable(for: pool)).fits(limits) else { return false }
        while !(used - stopping + wanted).fits(limits), let worker = victim(for: pool) {
            stop(worker, .evicted(for: pools[pool].id), at: now, into: &out)
        }
        return true
    }

    // MARK: - Fair shares

    /// The pool for which a worker of `pool` must give up its place although its own queue is not empty: one that has no
    /// worker at all, waits for the same room, and has waited longer, by `HostLimits.yieldAfter` at least.
    ///
    /// Without this a pool whose queue never empties would keep its workers for ever. Trainings take turns at once.
    func poolToYieldTo(from pool: Int, at now: Instant) -> PoolID? {
        guard !pools[pool].queue.isEmpty else { return nil }
        if pools[pool].settings.isTraining {
            let needy = trainingStartLine.first
            if needy != IndexList.end, !training.willStart, isOwed(needy, by: pool, patience: .zero, at: now) {
                return pools[needy].id
            }
        } else {
            let needy = startLine.first
            if needy != IndexList.end, !(used - stopping + resources(needy)).fits(limits),
                isOwed(needy, by: pool, patience: limits.yieldAfter, at: now)
            {
                return pools[needy].id
            }
        }
        let function = pools[pool].function
        guard functions[function].reservedConcurrency != nil, !functions[function].willStart else { return nil }
        for needy in functions[function].pools
        where isOwed(needy, by: pool, patience: limits.yieldAfter, at: now) {
            return pools[needy].id
        }
        return nil
    }

    private func isOwed(_ needy: Int, by pool: Int, patience: Interval, at now: Instant) -> Bool {
        guard needy != pool, !pools[needy].queue.isEmpty, pools[needy].ready + pools[needy].starting == 0,
            now >= pools[needy].backoffUntil
        else { return false }
        let head = queued[pools[needy].queue.first]
        return head.arrivedAt + patience <= now && head.order < order(pool)
    }

    /// Of the longest waiting invocation.
    private func order(_ pool: Int) -> UInt64 { queued[pools[pool].queue.first].order }
}
