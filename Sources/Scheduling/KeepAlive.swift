package import Domain

/// Idle workers: for how long they are kept, and when one is started ahead of a call.
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
            if workers[worker].isInUse { leave(worker, at: now) }
            workers[worker].since = now
            if !workers[worker].isKept {
                let deadline = keepUntil(worker, at: now)
                if deadline <= now, pools[pool].queue.isEmpty {
                    return expire(worker, at: now, into: &out)
                }
                enterIdle(worker)
                timers.setNoLater(.pool(pool), than: deadline)
                if !(used - stopping).fits(budget) { fitBudget(at: now, into: &out) }
            }
            joinStartLine(pools[pool].function, at: now)  // another pool of the function may wait for its slots
        }
    }

    /// Stops workers whose keep-alive has passed, and sets the timer for the next.
    mutating func stopExpired(_ pool: Int, at now: Instant, into out: inout ActionBuffer) {
        while pools[pool].idle.last != IndexList.end {
            let worker = pools[pool].idle.last
            let deadline = keepUntil(worker, at: now)
            guard deadline <= now else { return timers.setNoLater(.pool(pool), than: deadline) }
            expire(worker, at: now, into: &out)
        }
    }

    private mutating func expire(_ worker: Int, at now: Instant, into out: inout ActionBuffer) {
        let pool = workers[worker].pool
        let level = idleLevel(pool)
        if histories[pool].giveUp(level: level) { fleet.addEndless(level: level) }
        stop(worker, .keepAlivePassed, at: now, into: &out)
        planPrewarm(pool, at: now)
    }

    // MARK: - The lists of idle workers

    mutating func enterIdle(_ worker: Int) {
        let pool = workers[worker].pool
        workers[worker].clock = evictionClock
        isLineStuck = false
        pools[pool].idle.prepend(worker, &idleLinks)
        if pools[pool].settings.isTraining {
            idleTraining += workers[worker].resources
        } else {
            idleInference += workers[worker].resources
        }
        // A rise is found out when its turn comes.
        let priority = evictionPriority(pool)
        if evictionHeap.key(of: pool).map({ priority < $0 }) ?? true { evictionHeap.set(pool, to: priority) }
    }

    mutating func leaveIdle(_ worker: Int) {
        guard IndexList.isLinked(worker, idleLinks) else { return }
        let pool = workers[worker].pool
        pools[pool].idle.remove(worker, &idleLinks)
        if pools[pool].settings.isTraining {
            idleTraining -= workers[worker].resources
        } else {
            idleInference -= workers[worker].resources
        }
        updateEviction(pool)
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

    // MARK: - What is learned

    /// The worker is needed: for an invocation, or to be started for one.
    mutating func use(_ worker: Int, at now: Instant) {
        let pool = workers[worker].pool
        workers[worker].isInUse = true
        hold(workers[worker].share, of: pools[pool].function, at: now)
        pools[pool].prewarmAt = nil
        if let lesson = histories[pool].take(at: now) { fleet.add(lesson) }
        updateEviction(pool)
    }

    /// It is not needed any more.
    mutating func leave(_ worker: Int, at now: Instant) {
        workers[worker].isInUse = false
        hold(-workers[worker].share, of: pools[workers[worker].pool].function, at: now)
        histories[workers[worker].pool].leave(at: now)
    }

    /// The level, as in `UseHistory`, of that idle worker of a pool which will be needed last.
    func idleLevel(_ pool: Int) -> Int { max(1, pools[pool].ready + pools[pool].starting - pools[pool].kept) }

    /// When this idle worker, the one of its pool that will be needed last, should stop.
    mutating func keepUntil(_ worker: Int, at now: Instant) -> Instant {
        let pool = workers[worker].pool
        if let keepAlive = pools[pool].keepAlive { return workers[worker].since + keepAlive }
        let level = idleLevel(pool)
        let leftAt = histories[pool].leftAt(level: level) ?? workers[worker].since
        let age = max(0, (now - leftAt).seconds)
        let limit: Interval
        if age == 0, let known = histories[pool].knownLimit(level: level) {
            limit = known
        } else {
            limit = .seconds(
                idlePlan(pool).limit(histories[pool].gaps(level: level), fleet.gaps(level: level), from: age))
            if age == 0 { histories[pool].setLimit(limit, level: level) }
        }
        return max(leftAt + limit, pools[pool].prewarmedUntil)
    }

    private func idlePlan(_ pool: Int) -> IdlePlan {
        let gigabytes = Double(resources(pool).memoryMegabytes) / 1024
        return IdlePlan(coldCost: coldCost(pool), rent: keepAlivePrice * gigabytes / 3600)
    }

    /// In seconds of waiting. That somebody waits at all counts as one.
    func coldCost(_ pool: Int) -> Double { 1 + (pools[pool].coldStart.mean ?? 1) }

    /// What an idle GB costs for an hour now, in the same: `HostLimits.keepAlivePrice`, and up to ten times as much
    /// when the last tenth of the memory budget fills.
    package var keepAlivePrice: Double {
        let fill = Double(used.memoryMegabytes) / Double(max(1, budget.memoryMegabytes))
        let excess = min(1, max(0, 10 * fill - 9))
        return limits.keepAlivePrice * (1 + 9 * excess * excess)
    }

    // MARK: - Ahead of a call

    /// After the last worker's keep-alive has passed: when to start one for the next call, if that pays.
    private mutating func planPrewarm(_ pool: Int, at now: Instant) {
        guard pools[pool].live == 0, pools[pool].keepAlive == nil, !pools[pool].settings.isTraining,
            !pools[pool].isDraining,
            let gaps = histories[pool].gaps(level: 1), let leftAt = histories[pool].leftAt(level: 1)
        else { return }
        let coldStart = pools[pool].coldStart.cautious ?? 1
        guard let window = idlePlan(pool).window(gaps, from: (now - leftAt).seconds, coldStart: coldStart) else {
            return
        }
        let startAt = leftAt + .seconds(window.lowerBound - coldStart)
        pools[pool].prewarmAt = startAt
        pools[pool].prewarmedUntil = leftAt + .seconds(window.upperBound)
        timers.setNoLater(.pool(pool), than: startAt)
    }

    /// Starts a worker for an expected call when its time has come, where that takes nothing from others.
    mutating func prewarm(_ pool: Int, at now: Instant, into out: inout ActionBuffer) {
        guard let startAt = pools[pool].prewarmAt else { return }
        guard startAt <= now else { return timers.setNoLater(.pool(pool), than: startAt) }
        pools[pool].prewarmAt = nil
        guard pools[pool].live == 0, pools[pool].queue.isEmpty, hasRoom(pool, at: now) else { return }
        start(pool, as: .prewarmed, at: now, into: &out)
    }

    /// Who called `old` will call this pool instead: after a redeploy, or an alias's move. Starts as many workers as are
    /// in use there, and one if some are only ready, as far as there is room without evicting anybody. A learned keep-alive
    /// keeps them for `handOver` at least. Unknown or draining pools are ignored; so are those that train, or keep nothing.
    package mutating func prepare(
        _ id: PoolID, inPlaceOf old: PoolID, at now: Instant, into out: inout ActionBuffer
    ) {
        guard let pool = poolIndices[id], let old = poolIndices[old], pools[pool].keepAlive != .zero else { return }
        let wanted = max(histories[old].inUse, min(1, pools[old].ready + pools[old].starting))
        while pools[pool].live < wanted, hasRoom(pool, at: now) {
            pools[pool].prewarmedUntil = now + Self.handOver
            start(pool, as: .redeploy, at: now, into: &out)
        }
        settle(at: now, into: &out)
    }

    private static let handOver = Interval.seconds(60)

    /// Whether a worker may start that nobody waits for: nothing is evicted for it, and no limit passed.
    private func hasRoom(_ pool: Int, at now: Instant) -> Bool {
        !isShuttingDown && !pools[pool].isDraining && !pools[pool].settings.isTraining && pools[pool].breaker.isClosed
            && startLines.isEmpty && startsInFlight < limits.startsInFlightMax && startRate.nextStart <= now
            && functions[pools[pool].function].mayStart && (used + resources(pool)).fits(budget)
    }
}
