package import Domain
package import Loop
internal import Management
package import Scheduling
package import Workers

/// Carries out what the scheduler decides: the one place where invocations, pools and workers meet. Lives on the loop.
///
/// Every event (an invocation, a worker's message, a timer) goes to the scheduler with the current instant; the actions
/// that come back are carried out in order. Carrying one out may cause the next event, which then waits for its turn in
/// the same list, so that events are never nested.
package final class Dispatcher {
    /// One worker and what the dispatcher must remember of it.
    private final class Live {
        let pool: PoolID
        let startedAt: Instant
        var worker: (any Worker)?
        var readyAt: Instant?
        /// The function's own words, when its init failed.
        var initError: [UInt8]?
        var initLog = LogTail()
        var isEnding = false
        var running: [Invocation?]

        init(pool: PoolID, slots: Int, startedAt: Instant) {
            self.pool = pool
            self.startedAt = startedAt
            running = Array(repeating: nil, count: slots)
        }
    }

    package let loop: EventLoop
    let placement: any Placement
    let logs: FunctionLogs
    package let metrics: Metrics

    private var scheduler: Scheduler
    private var actions = ActionBuffer()
    private var isPerforming = false
    private var wakeTimer: LoopTimer!

    private var pools = PoolTable()
    private var workers: [WorkerID: Live] = [:]
    private var queued: [InvocationID: Invocation] = [:]
    private var completions: [InvocationID: (InvocationOutcome) -> Void] = [:]
    private var lastInvocation: UInt64 = 0
    private var onAllStopped: (() -> Void)?

    /// A report of an execution that runs; set by `Executions`.
    var onProgress: ((Execution.ID, [UInt8]) -> Void)?

    package init(
        loop: EventLoop, limits: HostLimits, placement: any Placement, logs: FunctionLogs, metrics: Metrics
    ) {
        self.loop = loop
        self.placement = placement
        self.logs = logs
        self.metrics = metrics
        scheduler = Scheduler(limits: limits)
        wakeTimer = LoopTimer(loop: loop) { [unowned self] in
            event { $0.tick(at: $1, into: &$2) }
        }
    }

    package static let responseBytesMax = 6 * 1024 * 1024 + 100

    // MARK: - Invocations

    /// Runs an invocation, or queues it until a worker is free.
    ///
    /// - Parameters:
    ///   - isPatient: waits as long as it takes instead of the host's limit; what executions do.
    ///   - completion: called once, perhaps before this returns.
    package func invoke(
        _ request: InvocationRequest, isPatient: Bool = false, completion: @escaping (InvocationOutcome) -> Void
    ) {
        let pool = pool(for: request.route)
        enter(request, pool: pool, execution: nil, isPatient: isPatient, completion)
    }

    /// Runs one attempt of a training in a worker of its own. The outcome comes after the worker has ended.
    func train(
        _ start: ExecutionStart, _ request: InvocationRequest, completion: @escaping (InvocationOutcome) -> Void
    ) {
        let route = request.route
        let pool = pools.add(
            .init(key: .training(start.id), function: route.function, version: route.version, training: start))
        event {
            $0.addPool(
                pool,
                settings: PoolSettings(
                    function: route.function.id, reservedConcurrency: route.function.reservedConcurrency,
                    keepAlive: .seconds(0), memoryMegabytes: route.version.configuration.memoryMegabytes,
                    isTraining: true), at: $1, into: &$2)
        }
        enter(request, pool: pool, execution: start.id, isPatient: true, completion)
        // One invocation is all it gets.
        pools.retire(pool)
        event { $0.drainPool(pool, at: $1, into: &$2) }
    }

    private func enter(
        _ request: InvocationRequest, pool: PoolID, execution: Execution.ID?, isPatient: Bool,
        _ completion: @escaping (InvocationOutcome) -> Void
    ) {
        lastInvocation += 1
        let id = InvocationID(lastInvocation)
        let invocation = Invocation(
            id: id, pool: pool, request: request, execution: execution, arrivedAt: loop.now,
            responseBytesMax: Self.responseBytesMax
        ) { [unowned self] in finished($0, $1) }
        queued[id] = invocation
        completions[id] = completion
        let waitMax = isPatient ? nil : scheduler.limits.queueWaitMax
        event { $0.invocationArrived(id, pool: pool, waitMax: waitMax, at: $1, into: &$2) }
    }

    /// Forgets a training that waits, or ends the worker that runs it. Its outcome, if one still comes, is dropped.
    ///
    /// - Returns: false when the dispatcher does not know it.
    func stop(_ execution: Execution.ID, grace: Interval) -> Bool {
        if let invocation = queued.values.first(where: { $0.execution == execution }) {
            queued[invocation.id] = nil
            completions[invocation.id] = nil
            event { $0.invocationCancelled(invocation.id, at: $1, into: &$2) }
            return true
        }
        for (id, live) in workers {
            guard let invocation = live.running.compactMap({ $0 }).first(where: { $0.execution == execution }) else {
                continue
            }
            completions[invocation.id] = nil
            markEnding(id, live)
            live.worker?.stop(grace: grace)
            return true
        }
        return false
    }

    /// The route's pool, made on its first use.
    private func pool(for route: Catalog.Route) -> PoolID {
        let key = PoolKey(route.function.id, route.version)
        if let pool = pools.ids[key] { return pool }
        let pool = pools.add(.init(key: key, function: route.function, version: route.version, training: nil))
        let configuration = route.version.configuration
        event {
            $0.addPool(
                pool,
                settings: PoolSettings(
                    function: route.function.id, reservedConcurrency: route.function.reservedConcurrency,
                    workerConcurrency: configuration.settings.workerConcurrency,
                    keepAlive: configuration.settings.keepAlive, memoryMegabytes: configuration.memoryMegabytes),
                at: $1, into: &$2)
        }
        return pool
    }

    // MARK: - Changes of functions

    /// A function changed, or is gone: what no longer has a route drains.
    package func functionChanged(_ id: Function.ID, now entry: Catalog.Entry?) {
        for pool in pools.pools(of: id) {
            guard let known = pools.entries[pool], known.training == nil else { continue }
            let isCurrent = entry?.version(known.version.number).map { PoolKey(id, $0) == known.key } ?? false
            if !isCurrent {
                pools.retire(pool)
                event { $0.drainPool(pool, at: $1, into: &$2) }
            }
        }
        if let entry {
            event { $0.updateFunction(id, reservedConcurrency: entry.function.reservedConcurrency, at: $1, into: &$2) }
        }
    }

    // MARK: - Events and actions

    private func event(_ body: (inout Scheduler, Instant, inout ActionBuffer) -> Void) {
        body(&scheduler, loop.now, &actions)
        guard !isPerforming else { return }
        isPerforming = true
        var next = 0
        while next < actions.actions.count {
            perform(actions.actions[next])
            next += 1
        }
        actions.removeAll()
        isPerforming = false
    }

    private func perform(_ action: Action) {
        switch action {
        case .start(let worker, let pool): start(worker, pool)
        case .dispatch(let batch, let slot):
            for index in batch.start..<batch.start + batch.count { dispatch(actions.invocations[index], to: slot) }
        case .stop(let worker, let reason): stop(worker, reason)
        case .refuse(let invocation, let refusal): refuse(invocation, refusal)
        case .wake(let instant): wakeTimer.start(at: instant)
        case .poolDrained(let pool): pools.forget(pool)
        case .allStopped: onAllStopped?()
        }
    }

    private func start(_ id: WorkerID, _ pool: PoolID) {
        guard let entry = pools.entries[pool] else { preconditionFailure("a start for a forgotten pool") }
        let slots = entry.version.configuration.settings.workerConcurrency
        let live = Live(pool: pool, slots: slots, startedAt: loop.now)
        workers[id] = live
        metrics.workersStarted += 1
        live.worker = placement.start(
            WorkerStart(
                id: id.value, functionName: entry.function.name, version: entry.version,
                model: entry.training.map { $0.training?.model } ?? entry.version.model,
                training: entry.training.flatMap { start in
                    start.training.map { .init(execution: start.id, attempt: start.attempt, channels: $0.channels) }
                }), owner: self)
    }

    private func dispatch(_ id: InvocationID, to slot: Slot) {
        guard let live = workers[slot.worker], let worker = live.worker,
            let invocation = queued.removeValue(forKey: id)
        else { preconditionFailure("a dispatch of an unknown invocation or to an unknown worker") }
        invocation.state = .running(slot)
        let now = loop.now
        invocation.dispatchedAt = now
        if let readyAt = live.readyAt, invocation.arrivedAt < readyAt {
            invocation.initialization = readyAt - max(live.startedAt, invocation.arrivedAt)
        }
        live.running[Int(slot.index)] = invocation
        metrics.running += 1
        logs.append(line("START RequestId: \(invocation.requestID) Version: \(invocation.version.number)", invocation), to: invocation.functionName)
        worker.dispatch(
            WorkerInvocation(
                requestID: invocation.requestID, nonce: UniqueID.random(), functionARN: invocation.functionARN,
                traceID: invocation.traceID, clientContext: invocation.clientContext, payload: invocation.payload,
                timeoutSeconds: invocation.version.configuration.timeoutSeconds, sink: invocation),
            slot: Int(slot.index))
        // The worker has its own copy, or has sent it.
        invocation.payload = []
    }

    private func stop(_ id: WorkerID, _ reason: StopReason) {
        guard let live = workers[id] else { return }
        live.isEnding = true
        live.worker?.stop(grace: .seconds(2))
    }

    private func refuse(_ id: InvocationID, _ refusal: Refusal) {
        guard let invocation = queued.removeValue(forKey: id) else { return }
        invocation.state = .done
        var timing = InvocationTiming()
        timing.queue = loop.now - invocation.arrivedAt
        let result: InvocationOutcome.Result
        var logTail: [UInt8] = []
        switch refusal {
        case .queueFull(let limit): result = .refused(.queueFull(limit: limit))
        case .waitedTooLong: result = .refused(.waitedTooLong(timing.queue))
        case .reservedConcurrencyZero: result = .refused(.noConcurrency)
        case .initBackoff(let until): result = .refused(.startsPaused(retryAfter: until - loop.now))
        case .neverFits(let needed, let limit):
            result = .functionError(
                FunctionErrorBody.make(
                    type: "Roost.NoMemory",
                    message: "The function needs \(needed) MB; this host gives all workers together \(limit) MB"))
        case .initFailed(let worker):
            let failure = lastInitFailure[worker]
            result = .functionError(failure?.error ?? FunctionErrorBody.exit(nil, requestID: invocation.requestID))
            logTail = failure?.log ?? []
            metrics.functionErrors += 1
        // The route was read before a deploy and the pool is gone since: only a bug gets here.
        case .poolGone, .shutdown: result = .refused(.shuttingDown)
        }
        complete(invocation, .init(result: result, timing: timing, logTail: logTail))
    }

    /// The failures of workers whose exit is being handled right now.
    private var lastInitFailure: [WorkerID: (error: [UInt8], log: [UInt8])] = [:]

    // MARK: - Ends

    private func finished(_ invocation: Invocation, _ ending: Invocation.Ending) {
        guard case .running(let slot)? = findSlot(of: invocation) else { return }
        let live = workers[slot.worker]
        metrics.running -= 1
        let now = loop.now
        var timing = InvocationTiming()
        let dispatchedAt = invocation.dispatchedAt ?? now
        timing.initialization = invocation.initialization
        timing.queue = dispatchedAt - invocation.arrivedAt
        if let initialization = timing.initialization {
            timing.queue = Interval(nanoseconds: max(0, (timing.queue - initialization).nanoseconds))
            metrics.coldStarts += 1
        }
        timing.run = now - dispatchedAt
        let outcome = self.outcome(of: invocation, ending, timing)
        live?.running[Int(slot.index)] = nil
        // A training's files may still change while its worker lives: its outcome waits for the end.
        if invocation.execution != nil, let live, !live.isEnding {
            live.heldOutcome = (invocation, outcome)
            markEnding(slot.worker, live)
            live.worker?.stop(grace: .seconds(10))
            return
        }
        complete(invocation, outcome)
    }
}
