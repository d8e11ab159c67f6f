import Domain

extension Pool {
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
    ///
    /// Before that it has the workers that are provisioned.
    func need(at now: Instant) -> Need {
        if lack != nil { return now >= backoffUntil ? .start : .later(backoffUntil) }
        let slotsStarting = starting * settings.workerConcurrency
        guard queue.count > slotsStarting else { return .none }
        guard now >= backoffUntil else { return .later(backoffUntil) }
        guard ready + starting > 0 else { return .start }
        guard let coldStart = coldStart.mean else { return .none }  // the first start tells how long they take

        let queued = Double(queue.count)
        let running = Double(self.running)
        let room = coldStart * Double(ready * settings.workerConcurrency + slotsStarting)
        let age = runningSeconds(at: now)
        // The age, summed over what runs, from which on the predicted wait is longer than a cold start.
        let ageNeeded: Double
        if let mean = serviceTime.mean {
            if (queued + running) * mean > room { return .start }
            ageNeeded = room - queued * mean
        } else {
            guard running > 0 else { return .none }
            ageNeeded = room * running / (queued + running)
        }
        if age > ageNeeded { return .start }
        guard running > 0 else { return .none }
        // Not below the resolution of the host's timers.
        return .later(now + max(.seconds((ageNeeded - age) / running), .milliseconds(1)))
    }
}

/// Who gets the host's room for a start first.
extension Scheduler {
    // MARK: - The start line

    /// Puts the pool in line if it wants a worker; else sets its timer for the time when it may.
    mutating func joinStartLine(pool: Int) {
        guard wantsWorkers(pool), !IndexList.isLinked(pool, lineLinks) else { return }
        if pools[pool].settings.isTraining {
            trainingStartLine.append(pool, &lineLinks)
        } else {
            startLine.append(pool, &lineLinks)
        }
    }

    private func wantsWorkers(_ pool: Int) -> Bool { !pools[pool].queue.isEmpty || pools[pool].lack != nil }

    /// All pools of a function, the longest waiting first.
    mutating func joinStartLine(_ function: Int) {
        guard functions[function].queued > 0 || functions[function].provisioned > 0 else { return }
        var oldest = -1
        for pool in functions[function].pools where wantsWorkers(pool) {
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

    /// Starts what fits, in turn: each pool one worker, then the next pool.
    ///
    /// A pool for which room is being made keeps its turn, and the room is not given to those behind it. A pool for which
    /// none can be made, because what it needs is in use, lets smaller ones pass, or an execution of a large function
    /// behind a training of days would keep every other function asleep; but not for longer than `yieldAfter` when
    /// callers wait for it and no training is in its way. Trainings come after all others.
    mutating func placeStarts(at now: Instant, into out: inout ActionBuffer) {
        var claimed = Resources()
        var passedOver = Resources()
        guard placeStarts(isTraining: false, &claimed, &passedOver, at: now, into: &out) else { return }
        claimed += passedOver
        _ = placeStarts(isTraining: true, &claimed, &passedOver, at: now, into: &out)
    }

    /// `false` when no pool at all may start a worker now.
    private mutating func placeStarts(
        isTraining: Bool, _ claimed: inout Resources, _ passedOver: inout Resources, at now: Instant,
        into out: inout ActionBuffer
    ) -> Bool {
        var lookedPast = 0
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
            // It must fit now, and leave what those before it in line wait for.
            guard (used + need).fits(budget), (used - stopping + claimed + need).fits(budget) else {
                let canFit = makeRoom(for: pool, claimed + need, at: now, into: &out)
                if canFit || keepsTurn(pool, at: now) { claimed += need } else { passedOver += need }
                if !canFit {
                    // The rest of the line is no smaller in workers; and an event must not cost the whole line.
                    lookedPast += 1
                    let workers = (used - stopping + claimed - evictable(for: pool)).workers
                    if isTraining || workers >= limits.workersMax || lookedPast == 64 { return true }
                }
                pool = next
                continue
            }
            start(pool, at: now, into: &out)
            leaveStartLine(pool)
            joinStartLine(pool: pool)
            // Alone in line it may start the next at once; without an invocation that waits it may have all it wants.
            pool = next == IndexList.end && IndexList.isLinked(pool, lineLinks) ? pool : next
        }
        return true
    }

    /// The same as `need`, setting the timer.
    private mutating func needsStart(_ pool: Int, at now: Instant) -> Bool {
        switch pools[pool].need(at: now) {
        case .start: return true
        case .none: return false
        case .later(let instant):
            timers.setNoLater(.pool(pool), than: instant)
            return false
        }
    }

    mutating func scheduleNextLook(_ pool: Int, at now: Instant) {
        if case .later(let instant) = pools[pool].need(at: now) { timers.setNoLater(.pool(pool), than: instant) }
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
        guard (used - stopping + wanted - evictable(for: pool)).fits(budget) else { return false }
        while !(used - stopping + wanted).fits(budget), let worker = victim(for: pool) {
            evict(worker, .evicted(for: pools[pool].id), at: now, into: &out)
        }
        return true
    }

    /// Whether nobody behind this pool may start although there is no room for it.
    private func keepsTurn(_ pool: Int, at now: Instant) -> Bool {
        guard !pools[pool].queue.isEmpty else { return false }
        let head = queued[pools[pool].queue.first]
        return !head.isUnlimited && head.arrivedAt + limits.yieldAfter <= now
            && (usedByTraining - idleTraining + resources(pool)).fits(budget)
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
            if needy != IndexList.end, !(used - stopping + resources(needy)).fits(budget),
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
        guard needy != pool, wantsWorkers(needy), pools[needy].ready + pools[needy].starting == 0,
            now >= pools[needy].backoffUntil
        else { return false }
        return since(needy) + patience <= now && order(needy) < order(pool)
    }

    /// Of what has waited longest in a pool that wants workers.
    private func order(_ pool: Int) -> UInt64 {
        min(
            pools[pool].queue.isEmpty ? .max : queued[pools[pool].queue.first].order, pools[pool].lack?.order ?? .max)
    }

    private func since(_ pool: Int) -> Instant {
        min(
            pools[pool].queue.isEmpty ? .distantFuture : queued[pools[pool].queue.first].arrivedAt,
            pools[pool].lack?.since ?? .distantFuture)
    }
}
