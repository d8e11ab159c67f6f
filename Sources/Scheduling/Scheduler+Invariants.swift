package import Domain

/// The whole state checked against itself. For tests and the simulator: costs time in proportion to the state.
extension Scheduler {
    /// What is wrong, in words; empty when nothing is. Numbers are those of `Scheduler`'s invariants.
    package func checkInvariants(at now: Instant) -> [String] {
        var violations: [String] = []
        func check(_ isTrue: Bool, _ message: @autoclosure () -> String) {
            if !isTrue { violations.append(message()) }
        }

        var total = Resources()
        var stoppingTotal = Resources()
        var drainingTotal = Resources()
        var trainingTotal = Resources()
        var idleTotals = (inference: Resources(), training: Resources())
        var (starting, queuedTotal, workersTotal, trainingRunning, trainingSlots, trainingStopping) = (0, 0, 0, 0, 0, 0)
        var functionTotals: [Int: (slots: Int, stopping: Int, running: Int, queued: Int, provisioned: Int)] = [:]
        var held: [Int: Int] = [:]
        var inLine = 0

        for index in pools.indices {
            let pool = pools[index]
            let name = "pool \(pool.id.value)"
            let slots = pool.settings.workerConcurrency
            var (poolStarting, ready, running, runningSince, idle, available, kept) = (0, 0, 0, 0, 0, 0, 0)
            var function = functionTotals[pool.function] ?? (0, 0, 0, 0, 0)
            check(poolIndices[pool.id] == index, "\(name): not found by its id")
            check(functions[pool.function].pools.contains(index), "\(name): unknown to its function")

            each(pool.workers, workerLinks) { index in
                let worker = workers[index]
                let workerName = "worker \(worker.id.value)"
                check(workerIndices[worker.id] == index, "\(workerName): not found by its id")
                check(worker.running <= slots, "2: \(workerName): more runs than it has slots")
                workersTotal += 1
                total += worker.resources
                function.slots += slots
                function.running += worker.running
                if pool.settings.isTraining {
                    trainingTotal += worker.resources
                    trainingSlots += slots
                    trainingRunning += worker.running
                }
                switch worker.state {
                case .starting:
                    poolStarting += 1
                    check(worker.busy == 0, "2: \(workerName): busy while it starts")
                case .ready: ready += 1
                case .draining:
                    drainingTotal += worker.resources
                    check(worker.busy != 0, "\(workerName): draining, and nothing runs on it")
                case .stopping:
                    stoppingTotal += worker.resources
                    function.stopping += slots
                    if pool.settings.isTraining { trainingStopping += slots }
                }
                if !worker.isStopping {
                    running += worker.running
                    for slot in 0..<slots where worker.busy & (1 << slot) != 0 {
                        runningSince += Pool.microseconds(worker.dispatchedAt[slot])
                    }
                }
                check(worker.share == share(worker.resources), "9: \(workerName): share is wrong")
                if worker.isInUse { held[pool.function, default: 0] += worker.share }
                if worker.isKept {
                    kept += 1
                    check(worker.isStarting || worker.isReady, "8: \(workerName): kept, and on its way out")
                }
                if !worker.isKept, worker.isStarting || worker.isReady {
                    check(pool.lack == nil, "8: \(workerName): not kept, though its pool has too few")
                }
                let isIdle = worker.isReady && worker.busy == 0 && !worker.isKept
                check(isIdle == IndexList.isLinked(index, idleLinks), "\(workerName): idle list is wrong")
                check(
                    (worker.isReady && !worker.isFull) == IndexList.isLinked(index, availableLinks),
                    "2: \(workerName): list for dispatch is wrong")
                if isIdle {
                    idle += 1
                    if pool.settings.isTraining {
                        idleTotals.training += worker.resources
                    } else {
                        idleTotals.inference += worker.resources
                    }
                }
                if worker.isReady, !worker.isFull { available += 1 }
            }
            check(
                (poolStarting, ready, running, runningSince) == (
                    pool.starting, pool.ready, pool.running, pool.runningSince
                ),
                "\(name): counters are wrong")
            check(
                pool.idle.isEmpty || evictionHeap.key(of: index).map { $0 <= evictionPriority(index) } ?? false,
                "\(name): cannot be evicted in its turn")
            check((idle, available) == (pool.idle.count, pool.available.count), "\(name): lists are wrong")
            starting += poolStarting
            check(kept == pool.kept && kept <= pool.provisioned, "8: \(name): keeps more than are provisioned")
            check((pool.lack != nil) == lacksWorkers(index), "8: \(name): lack is wrong")
            check(
                pool.lack == nil || hasProspect(index),
                "8: \(name): has fewer workers than are provisioned, and nothing to wait for")
            function.provisioned += pool.provisioned

            if IndexList.isLinked(index, lineLinks) {
                inLine += 1
                check(!pool.queue.isEmpty || pool.lack != nil, "9: \(name): stands in line for nothing")
                check(!canStart(index, at: now), "9: \(name): waits beside room for a start")
            }

            var unlimited = 0
            var order: UInt64 = 0
            each(pool.queue, queueLinks) { index in
                let entry = queued[index]
                check(entry.pool == self.poolIndices[pool.id], "1: \(name): holds another pool's invocation")
                check(queuedIndices[entry.id] == index, "1: invocation \(entry.id.value): not found by its id")
                check(entry.order > order, "1: \(name): not first in, first out")
                check(
                    entry.isUnlimited == (timers.deadline(of: .queued(index)) == nil),
                    "6: invocation \(entry.id.value): timer is wrong")
                order = entry.order
                if entry.isUnlimited { unlimited += 1 }
            }
            check(unlimited == pool.queuedUnlimited, "\(name): queue counters are wrong")
            check(unlimited <= pool.queueCapacity, "\(name): queue passes its limit")
            check(pool.queue.count - unlimited <= pool.queueCapacity, "\(name): queue passes its limit")
            queuedTotal += pool.queue.count
            function.queued += pool.queue.count
            functionTotals[pool.function] = function

            check(
                pool.queue.isEmpty || pool.available.isEmpty || !mayRun(index),
                "3: \(name): an invocation waits beside a free slot")
            check(!pool.isDraining || !pool.workers.isEmpty || !pool.queue.isEmpty, "\(name): drained, and still there")
            check(
                pool.queue.isEmpty || pool.ready + pool.starting > 0 || hasProspect(index),
                "6: \(name): waits for nothing")
            check(
                pool.idle.isEmpty || timers.deadline(of: .pool(index)) != nil,
                "6: \(name): idle workers without a timer")
        }

        for index in functions.indices {
            let function = functions[index]
            let sums = functionTotals[index] ?? (0, 0, 0, 0, 0)
            check(!function.pools.isEmpty, "function \(function.id.value): without pools")
            check(function.share.held == held[index] ?? 0, "9: function \(function.id.value): share is wrong")
            check(
                sums == (
                    function.slots, function.slotsStopping, function.running, function.queued, function.provisioned
                ),
                "4: function \(function.id.value): counters are wrong")
        }
        check(
            (trainingSlots, trainingStopping, trainingRunning)
                == (training.slots, training.slotsStopping, training.running), "4: training counters are wrong")
        check(trainingRunning <= training.limit, "4: more trainings than may run")
        check(total == used && total.workers <= limits.workersMax, "4: host counters or limits")
        check(
            (used - stopping).fits(budget) || (idleInference + idleTraining).workers == 0,
            "4: workers are idle beyond the budget")
        check(trainingTotal == usedByTraining, "4: training resources are wrong")
        check(stoppingTotal == stopping && drainingTotal == draining, "4: counters of those that stop are wrong")
        check(inLine == startLines.count && contention.isOn == (inLine > 0), "9: the line is wrong")
        check(idleTotals == (idleInference, idleTraining), "4: idle counters are wrong")
        check(starting == startsInFlight && starting <= limits.startsInFlightMax, "4: starts in flight")
        check(workersTotal == workers.count && workersTotal == workerIndices.count, "workers lost")
        check(queuedTotal == queued.count && queuedTotal == queuedIndices.count, "1: invocations lost")
        check(timers.count <= 1 + pools.count + queued.count, "7: timers without an owner")
        if let earliest = timers.earliest {
            check(announcedWake.map { $0 <= earliest } ?? false, "6: a timer is set and no wake was asked for")
        }
        return violations
    }

    /// Whether this pool could have been given a start, whoever else keeps a turn.
    private func canStart(_ pool: Int, at now: Instant) -> Bool {
        guard !pools[pool].settings.isTraining, case .start = pools[pool].need(at: now) else { return false }
        let after = used + resources(pool) + lineClaims
        return functions[pools[pool].function].mayStart && startsInFlight < limits.startsInFlightMax
            && startRate.nextStart <= now && after.fits(budget)
    }

    /// Whether something will look at this pool, which has no worker, again: it stands in line for a start, waits for
    /// its backoff, shares a reserved concurrency whose slots are taken, or has the one worker that shows whether others
    /// would fail.
    private func hasProspect(_ pool: Int) -> Bool {
        IndexList.isLinked(pool, lineLinks)
            || timers.deadline(of: .pool(pool)) != nil
            || !functions[pools[pool].function].mayStart
            || !pools[pool].breaker.isClosed && pools[pool].ready + pools[pool].starting > 0
    }
}
