import Domain

extension Pool {
    enum Need {
        case none
        case start
        /// Not now, but perhaps at this time if nothing else happens.
        case later(Instant)
    }

    /// Whether one more worker would be ready before the queue drains:
    /// predicted wait = work ahead / slots > cold start, starting workers counted as slots. The cold start is taken to be
    /// longer than the mean by the mean deviation, so that most starts do come in time.
    ///
    /// The work ahead is the queue at the mean service time, plus what runs. What runs is taken to last as long again as
    /// it has run already when that is more than the mean, so that one long invocation is noticed although the mean is
    /// short; and when nothing has ever finished, its age is the best lower bound of the mean.
    ///
    /// Before that it has the workers that are provisioned. `HostLimits.scaleUp` may put another rule in place of this one.
    func need(at now: Instant) -> Need {
        let slotsStarting = starting * settings.workerConcurrency
        guard lack != nil || queue.count > slotsStarting else { return .none }
        guard now >= breaker.openUntil else { return .later(breaker.openUntil) }
        if !breaker.isClosed { return ready + starting == 0 ? .start : .none }
        guard lack == nil, ready + starting > 0 else { return .start }
        switch scaleUp {
        case .aware: break
        case .eachInvocation: return .start
        case .provisionedOnly: return .none
        }
        guard let coldStart = coldStart.usualMax else { return .none }  // the first start tells how long they take

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
    mutating func joinStartLine(pool: Int, at now: Instant) {
        guard wantsWorkers(pool), !IndexList.isLinked(pool, lineLinks) else { return }
        let function = pools[pool].function
        let isTraining = pools[pool].settings.isTraining
        if !startLines[isTraining: isTraining].contains(function: function) {
            functions[function].share.enter(contention, at: now)
        }
        startLines[isTraining: isTraining].append(
            pool, of: function, share: functions[function].share.turn(contention), &lineLinks)
        // Where there was no room for those in line, there may be some for it.
        if isLineStuck, !isTraining, canHaveRoom(pool) { isLineStuck = false }
        if isTraining { isLineStuck = false }
    }

    private func wantsWorkers(_ pool: Int) -> Bool { !pools[pool].queue.isEmpty || pools[pool].lack != nil }

    /// All pools of a function, the longest waiting first.
    mutating func joinStartLine(_ function: Int, at now: Instant) {
        guard functions[function].queued > 0 || functions[function].provisioned > 0 else { return }
        var oldest = -1
        for pool in functions[function].pools where wantsWorkers(pool) {
            if oldest < 0 || order(pool) < order(oldest) { oldest = pool }
        }
        guard oldest >= 0 else { return }
        joinStartLine(pool: oldest, at: now)
        for pool in functions[function].pools { joinStartLine(pool: pool, at: now) }
    }

    /// Those behind it may have its turn.
    mutating func leaveStartLineIfServed(_ pool: Int) {
        guard !wantsWorkers(pool), IndexList.isLinked(pool, lineLinks) else { return }
        leaveStartLine(pool)
        isLineStuck = false
    }

    mutating func leaveStartLine(_ pool: Int) {
        guard IndexList.isLinked(pool, lineLinks) else { return }
        startLines[isTraining: pools[pool].settings.isTraining].remove(pool, of: pools[pool].function, &lineLinks)
    }

    /// Starts what fits, in turn: each time one worker for the function that has had least.
    ///
    /// A pool for which room is being made keeps its turn, and the room is not given to those behind it. A pool for which
    /// none can be made, because what it needs is in use, lets smaller ones pass, or an execution of a large function
    /// behind a training of days would keep every other function asleep; but not for longer than `yieldAfter` when
    /// callers wait for it and no training is in its way. Trainings come after all others.
    ///
    /// When all in line have been looked at in vain, nobody is again until something has changed (`isLineStuck`).
    mutating func placeStarts(at now: Instant, into out: inout ActionBuffer) {
        guard !isLineStuck else { return }
        var pass = Pass()
        if placeStarts(isTraining: false, &pass, at: now, into: &out) {
            lineClaims = pass.claimed
            pass.claimed += pass.passedOver
            _ = placeStarts(isTraining: true, &pass, at: now, into: &out)
        }
        isLineStuck = true
    }

    /// One look at the line.
    private struct Pass {
        /// What pools that keep their turn wait for.
        var claimed = Resources()
        var passedOver = Resources()
    }

    private enum Placement {
        case started
        /// It wants none, or not now.
        case left
        /// There is no room for it.
        case passed
        /// Nobody in this line may start now.
        case lineIsFull
        /// Nobody at all may.
        case hostIsFull
    }

    /// `false` when no pool at all may start a worker now.
    private mutating func placeStarts(
        isTraining: Bool, _ pass: inout Pass, at now: Instant, into out: inout ActionBuffer
    ) -> Bool {
        var isHostFull = false
        passedPools.removeAll(keepingCapacity: true)
        look: while let function = firstInLine(isTraining: isTraining, at: now) {
            let pool = startLines[isTraining: isTraining].firstPool(of: function)
            switch place(pool, &pass, at: now, into: &out) {
            case .started:
                contention.virtualTime = max(contention.virtualTime, functions[function].share.virtualTime)
                leaveStartLine(pool)
                joinStartLine(pool: pool, at: now)
            case .left: leaveStartLine(pool)
            case .passed:
                leaveStartLine(pool)
                passedPools.append(pool)
                // An event must not cost the whole line.
                if passedPools.count == Self.looksMax { break look }
            case .lineIsFull: break look
            case .hostIsFull:
                isHostFull = true
                break look
            }
        }
        for pool in passedPools.reversed() {
            let function = pools[pool].function
            startLines[isTraining: isTraining].prepend(
                pool, of: function, share: functions[function].share.turn(contention), &lineLinks)
        }
        return !isHostFull
    }

    private static let looksMax = 64

    private mutating func place(
        _ pool: Int, _ pass: inout Pass, at now: Instant, into out: inout ActionBuffer
    ) -> Placement {
        let isTraining = pools[pool].settings.isTraining
        guard needsStart(pool, at: now), functionHasRoom(pool, at: now, into: &out) else { return .left }
        if isTraining, !trainingHasRoom(pool, at: now, into: &out) { return .lineIsFull }
        guard startsInFlight < limits.startsInFlightMax else { return .hostIsFull }
        // One of the starts in flight is left to those for whom callers wait.
        if isTraining, startsInFlight > 0, startsInFlight >= limits.startsInFlightMax - 1 { return .lineIsFull }
        guard startRate.nextStart <= now else {
            timers.setNoLater(.startRate, than: startRate.nextStart)
            return .hostIsFull
        }
        let need = resources(pool)
        if isTraining, !leavesRoomForInference(need) {
            pass.passedOver += need
            if let worker = longestIdle(among: training.pools, except: nil) {
                stop(worker, .evicted(for: pools[pool].id), at: now, into: &out)
            }
            return .passed
        }
        // It must fit now, and leave what those before it in line wait for.
        if (used + need).fits(budget), (used - stopping + pass.claimed + need).fits(budget) {
            start(pool, at: now, into: &out)
            return .started
        }
        let canFit = makeRoom(for: pool, pass.claimed + need, at: now, into: &out)
        if canFit || keepsTurn(pool, at: now) { pass.claimed += need } else { pass.passedOver += need }
        // The rest of the line is no smaller in workers.
        let workers = (used - stopping + pass.claimed - evictable(for: pool)).workers
        return !canFit && (isTraining || workers >= limits.workersMax) ? .lineIsFull : .passed
    }

    /// Whether a look at the whole line could give this pool a start, as far as room is concerned.
    private func canHaveRoom(_ pool: Int) -> Bool {
        startsInFlight < limits.startsInFlightMax
            && (used - stopping + lineClaims + resources(pool) - evictable(for: pool)).fits(budget)
    }

    /// Trainings leave the memory of the largest inference worker, and a place, to those that answer callers; but where
    /// a training would fit only without that, it may have all.
    private mutating func leavesRoomForInference(_ need: Resources) -> Bool {
        let largest = largestInference()
        guard largest > 0 else { return true }
        let reserve = Resources(workers: 1, memoryMegabytes: largest)
        return (usedByTraining + need + reserve).fits(budget) || !(need + reserve).fits(budget)
    }

    /// The most memory that one worker of the inference pools counts for; 0 when there is none.
    private mutating func largestInference() -> Int {
        if let largestInferenceMegabytes { return largestInferenceMegabytes }
        var largest = 0
        for pool in pools.indices where !pools[pool].settings.isTraining && !pools[pool].isDraining {
            largest = max(largest, resources(pool).memoryMegabytes)
        }
        largestInferenceMegabytes = largest
        return largest
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

    /// The pool for which a worker of `pool` that has finished must give up its place although its own queue is not empty:
    /// one of a function that has had less of the host (`isAhead`); within one function's reserved concurrency, one that has
    /// no worker at all and has waited longer, by `HostLimits.yieldAfter` at least. Trainings take turns at once.
    mutating func poolToYieldTo(from pool: Int, at now: Instant) -> PoolID? {
        guard !pools[pool].queue.isEmpty else { return nil }
        let isTraining = pools[pool].settings.isTraining
        if contention.isOn, let needy = firstWaiting(isTraining: isTraining, at: now) {
            if isTraining {
                if !training.willStart, isOwed(needy, by: pool, patience: .zero, at: now) { return pools[needy].id }
            } else if !(used - stopping - draining + resources(needy)).fits(budget),
                isAhead(pools[pool].function, of: needy, at: now)
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

    /// The first in line that still wants a worker and may start one.
    private mutating func firstWaiting(isTraining: Bool, at now: Instant) -> Int? {
        while let function = firstInLine(isTraining: isTraining, at: now) {
            let pool = startLines[isTraining: isTraining].firstPool(of: function)
            if needsStart(pool, at: now) { return pool }
            leaveStartLine(pool)
            isLineStuck = false
        }
        return nil
    }

    private func isOwed(_ needy: Int, by pool: Int, patience: Interval, at now: Instant) -> Bool {
        guard needy != pool, wantsWorkers(needy), pools[needy].ready + pools[needy].starting == 0,
            now >= pools[needy].breaker.openUntil
        else { return false }
        return since(needy) + patience <= now && order(needy) < order(pool)
    }

    /// Of what has waited longest in a pool that wants workers.
    private func order(_ pool: Int) -> UInt64 {
        min(
            pools[pool].queue.isEmpty ? .max : queued[pools[pool].queue.first].order, pools[pool].lack?.order ?? .max)
    }

    func since(_ pool: Int) -> Instant {
        min(
            pools[pool].queue.isEmpty ? .distantFuture : queued[pools[pool].queue.first].arrivedAt,
            pools[pool].lack?.since ?? .distantFuture)
    }
}
