package import Artifacts
package import Domain
package import Loop
package import Management
package import Scheduling
package import Workers

/// Carries out what the scheduler decides: the one place where invocations, pools and workers meet. Lives on the loop.
///
/// Every event (an invocation, a worker's message, a timer) goes to the scheduler with the current instant; the actions
/// that come back are carried out in order. Carrying one out may cause the next event, which then waits for its turn in
/// the same list, so that events are never nested.
package final class Dispatcher {
    /// One worker and what must be remembered of it.
    final class Live {
        let pool: PoolID
        let cause: StartCause
        let startedAt: Instant
        var worker: (any Worker)?
        var readyAt: Instant?
        /// The function's own words, when its init failed.
        var initError: [UInt8]?
        var initLog = LogTail()
        /// No more invocations go to it.
        var isEnding = false
        var running: [Invocation?]
        /// A training's outcome, until its worker is gone.
        var held: (invocation: Invocation, outcome: InvocationOutcome)?
        /// Called when it is gone.
        var onExit: (() -> Void)?
        /// Why it was killed.
        var failure: WorkerFailure?
        /// Its end is among the events already.
        var isStopRecorded = false
        /// Something has run on it since it was measured.
        var isMemoryStale = false
        var measuredAt = Instant(nanoseconds: .min)
        /// The most that it was measured to take, with all of its processes; 0 before.
        var measuredMegabytesMax = 0

        init(pool: PoolID, cause: StartCause, slots: Int, startedAt: Instant) {
            self.pool = pool
            self.cause = cause
            self.startedAt = startedAt
            running = Array(repeating: nil, count: slots)
        }
    }

    package let loop: EventLoop
    let placement: any Placement
    let logs: FunctionLogs
    let history: InvocationHistory
    package let metrics: Metrics
    let artifacts: ArtifactStore
    /// Of an asynchronous invocation. Default 1 GiB.
    package var answerBytesMax = 1 << 30

    private var scheduler: Scheduler
    private var actions = ActionBuffer()
    private var isPerforming = false
    private var wakeTimer: LoopTimer?
    var memoryTimer: LoopTimer?
    var memoryRounds = MemoryRounds()
    var memoryPressure: MemoryPressurePolicy

    var pools = PoolTable()
    var workers: [WorkerID: Live] = [:]
    private var queued: [InvocationID: Invocation] = [:]
    /// The one whose arrival is being decided; it joins `queued` only if it has to wait.
    private var arriving: Invocation?
    private var lastInvocation: UInt64 = 0
    var recent = EventRing()
    private var onAllStopped: (() -> Void)?
    /// Of workers whose exit is being handled: what those who waited for them are told.
    var initFailures: [WorkerID: (error: [UInt8]?, exit: WorkerExit, log: [UInt8])] = [:]

    /// Whether a route is what its function's version is now; asked when a pool is made.
    package var isCurrent: (Catalog.Route) -> Bool = { _ in true }
    /// An execution that was handed in and waits no longer, because its version is not the newest any more.
    var onSuperseded: ((Execution.ID) -> Void)?
    /// A report of an execution that runs.
    var onProgress: ((Execution.ID, [UInt8]) -> Void)?

    package init(
        loop: EventLoop, limits: HostLimits, placement: any Placement, artifacts: ArtifactStore,
        logs: FunctionLogs, history: InvocationHistory, metrics: Metrics
    ) {
        self.loop = loop
        self.placement = placement
        self.artifacts = artifacts
        self.logs = logs
        self.history = history
        self.metrics = metrics
        scheduler = Scheduler(limits: limits)
        memoryPressure = MemoryPressurePolicy(limitMegabytes: limits.memoryMegabytesMax)
        wakeTimer = LoopTimer(loop: loop) { [unowned self] in event { $0.tick(at: $1, into: &$2) } }
        memoryTimer = LoopTimer(loop: loop) { [unowned self] in beginMemoryRound() }
        history.refresh = { [unowned self] in refresh($0, &$1) }
    }

    package static let responseBytesMax = 6 * 1024 * 1024 + 100
    /// From SIGTERM to SIGKILL for a worker on which nothing runs.
    private static let idleStopGrace = Interval.seconds(2)

    // MARK: - Invocations

    /// Runs an invocation, or queues it until a worker is free.
    ///
    /// - Parameter completion: called once, perhaps before this returns.
    package func invoke(_ request: InvocationRequest, completion: @escaping (InvocationOutcome) -> Void) {
        enter(request, execution: nil, onDispatch: nil, completion)
    }

    /// Into the pool of the route's version, made on its first use.
    private func enter(
        _ request: InvocationRequest, execution: Execution.ID?, onDispatch: (() -> Void)?,
        _ completion: @escaping (InvocationOutcome) -> Void
    ) {
        let route = request.route
        if let pool = pools.ids[PoolKey(route.function.id, route.version)] {
            return enter(request, pool: pool, execution: execution, onDispatch: onDispatch, completion)
        }
        let pool = addPool(for: route)
        enter(request, pool: pool, execution: execution, onDispatch: onDispatch, completion)
        // The version was replaced while the request was on its way: it runs what it was routed to, and nobody after it.
        if !isCurrent(route) { drain(pool) }
    }

    /// Runs one attempt of an execution: a training in a worker of its own, anything else in its version's pool.
    ///
    /// It waits as long as it takes. The outcome of a training comes after its worker has ended.
    ///
    /// - Parameter onDispatch: called when a worker gets it.
    func run(
        _ start: ExecutionStart, onDispatch: @escaping () -> Void, completion: @escaping (InvocationOutcome) -> Void
    ) {
        guard let training = start.training else {
            return enter(start.request, execution: start.id, onDispatch: onDispatch, completion)
        }
        let route = start.request.route
        let pool = pools.add(
            .init(
                key: .training(start.id), function: route.function, version: route.version,
                training: .init(execution: start.id, attempt: start.attempt, channels: training.channels),
                model: training.model))
        event {
            $0.addPool(
                pool,
                settings: PoolSettings(
                    function: route.function.id, reservedConcurrency: route.function.reservedConcurrency,
                    keepAlive: .seconds(0), memoryMegabytes: route.version.configuration.memoryMegabytes,
                    isTraining: true), at: $1, into: &$2)
        }
        enter(start.request, pool: pool, execution: start.id, onDispatch: onDispatch, completion)
        // One invocation is all it gets.
        drain(pool)
    }

    private func enter(
        _ request: InvocationRequest, pool: PoolID, execution: Execution.ID?, onDispatch: (() -> Void)?,
        _ completion: @escaping (InvocationOutcome) -> Void
    ) {
        lastInvocation += 1
        let id = InvocationID(lastInvocation)
        let invocation = Invocation(
            id: id, pool: pool, request: request, execution: execution, arrivedAt: loop.now,
            responseBytesMax: Self.responseBytesMax
        ) { [unowned self] in ended($0, $1) }
        invocation.onDispatch = onDispatch
        if execution != nil, request.route.version.configuration.settings.trains == nil {
            invocation.makeFile = { [unowned self, unowned invocation] in
                let file = AnswerFile(loop: loop, artifacts: artifacts, bytesMax: answerBytesMax)
                file.onRoom = { [unowned self, weak invocation] in
                    if let invocation { resume(invocation) }
                }
                return file
            }
        }
        invocation.completion = completion
        request.stream?.dispatcher = self
        let waitMax = execution == nil ? scheduler.limits.queueWaitMax : nil
        arriving = invocation
        event { $0.invocationArrived(id, pool: pool, waitMax: waitMax, at: $1, into: &$2) }
        if invocation.state == .queued { queued[id] = invocation }
        arriving = nil
    }

    func resume(_ invocation: Invocation) {
        guard invocation.state == .running, let slot = invocation.slot else { return }
        workers[slot.worker]?.worker?.resumeAnswer(slot: Int(slot.index))
    }

    func abandon(_ invocation: Invocation) {
        switch invocation.state {
        case .queued:
            queued[invocation.id] = nil
            invocation.state = .done
            invocation.completion = nil
            event { $0.invocationCancelled(invocation.id, at: $1, into: &$2) }
        case .running:
            invocation.isUnwanted = true
            if let slot = invocation.slot { workers[slot.worker]?.worker?.abandonAnswer(slot: Int(slot.index)) }
        case .done: break
        }
    }

    private func take(_ id: InvocationID) -> Invocation? {
        if let arriving, arriving.id == id { return arriving }
        return queued.removeValue(forKey: id)
    }

    /// Forgets an execution that waits, or ends the worker that runs it. An outcome that still comes is dropped.
    ///
    /// - Parameter onGone: called when nothing runs for it any more, perhaps before this returns.
    func stop(_ execution: Execution.ID, grace: Interval, onGone: @escaping () -> Void = {}) {
        if let invocation = queued.values.first(where: { $0.execution == execution }) {
            queued[invocation.id] = nil
            invocation.completion = nil
            // A training's worker may be starting already, and ends now that it has nothing to wait for.
            let starting = workers.values.first {
                $0.pool == invocation.pool && pools.entries[$0.pool]?.training != nil
            }
            starting?.onExit = onGone
            event { $0.invocationCancelled(invocation.id, at: $1, into: &$2) }
            if starting == nil { onGone() }
            return
        }
        for (id, live) in workers {
            guard let invocation = live.running.compactMap({ $0 }).first(where: { $0.execution == execution }) else {
                continue
            }
            invocation.completion = nil
            // A worker that others share finishes for them; this one's answer is dropped.
            guard live.running.count == 1 else {
                invocation.completion = { _ in onGone() }
                return
            }
            live.onExit = onGone
            recordStop("execution stopped or paused", id, live)
            markEnding(id, live)
            live.worker?.stop(grace: grace)
            return
        }
        onGone()
    }

    /// Whether the execution's function has answered, and only its worker's end is waited for.
    func hasAnswered(_ execution: Execution.ID) -> Bool {
        workers.values.contains { $0.held?.invocation.execution == execution }
    }

    private func addPool(for route: Catalog.Route) -> PoolID {
        let pool = pools.add(
            .init(
                key: PoolKey(route.function.id, route.version), function: route.function, version: route.version,
                training: nil, model: route.version.model))
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

    /// A function was changed, or is gone (`nil`): what no longer has a route drains. Where a new `$LATEST` takes its
    /// place, or an alias has moved, the workers of the version that is called from now on start at once.
    package func functionChanged(_ id: Function.ID, to entry: Catalog.Entry?, moved: AliasChange? = nil) {
        for pool in pools.pools(of: id) {
            guard let known = pools.entries[pool], known.training == nil else { continue }
            let current = entry?.version(known.version.number)
            guard current.map({ PoolKey(id, $0) }) != known.key else { continue }
            if let entry, let current { prepare(current, of: entry, inPlaceOf: pool) }
            drain(pool)
        }
        if let entry, let from = moved?.from, let to = moved?.to, from.version != to.version,
            let new = entry.version(to.version),
            let old = entry.version(from.version).flatMap({ pools.ids[PoolKey(id, $0)] })
        {
            prepare(new, of: entry, inPlaceOf: old)
        }
        if let entry {
            event { $0.updateFunction(id, reservedConcurrency: entry.function.reservedConcurrency, at: $1, into: &$2) }
            provide(entry)
        }
    }

    private func prepare(_ version: Version, of entry: Catalog.Entry, inPlaceOf old: PoolID) {
        guard version.configuration.settings.trains == nil, let status = scheduler.status(of: old),
            status.starting + status.idle + status.busy > 0
        else { return }
        let route = Catalog.Route(function: entry.function, version: version)
        let pool = pools.ids[PoolKey(entry.function.id, version)] ?? addPool(for: route)
        event { $0.prepare(pool, inPlaceOf: old, at: $1, into: &$2) }
    }

    /// Gives each version of a function the workers that are provisioned for it, and takes what no longer is.
    private func provide(_ entry: Catalog.Entry) {
        let id = entry.function.id
        var wanted: [PoolKey: (version: Version, invocations: Int)] = [:]
        for provisioned in entry.provisionedConcurrency.values {
            guard let version = entry.provisionedVersion(provisioned.qualifier) else { continue }
            wanted[PoolKey(id, version), default: (version, 0)].invocations += provisioned.requested
        }
        for (key, wanted) in wanted where pools.ids[key] == nil {
            _ = addPool(for: .init(function: entry.function, version: wanted.version))
        }
        for pool in pools.pools(of: id) {
            guard let known = pools.entries[pool], known.training == nil else { continue }
            let each = known.version.configuration.settings.workerConcurrency
            let workers = ((wanted[known.key]?.invocations ?? 0) + each - 1) / each
            event { $0.setProvisioned(workers, of: pool, at: $1, into: &$2) }
        }
    }

    /// What there is of the workers that are provisioned for a version.
    package func provision(of function: Function.ID, _ version: Version) -> ProvisionReport {
        guard let pool = pools.ids[PoolKey(function, version)], let status = scheduler.status(of: pool) else {
            return ProvisionReport()
        }
        let each = status.settings.workerConcurrency
        return ProvisionReport(
            allocated: status.kept * each, available: status.keptReady * each, isFailing: status.backoffUntil != nil)
    }

    private func drain(_ pool: PoolID) {
        pools.retire(pool)
        if pools.entries[pool]?.version.number == .latest, pools.entries[pool]?.training == nil { giveBack(pool) }
        event { $0.drainPool(pool, at: $1, into: &$2) }
    }

    /// Executions of `$LATEST` run what it is when their turn comes: those that wait for the old one leave it.
    private func giveBack(_ pool: PoolID) {
        let waiting = queued.values.filter { $0.pool == pool && $0.execution != nil }
        for invocation in waiting.sorted(by: { $0.id < $1.id }) {
            queued[invocation.id] = nil
            invocation.state = .done
            invocation.completion = nil
            event { $0.invocationCancelled(invocation.id, at: $1, into: &$2) }
            if let execution = invocation.execution { onSuperseded?(execution) }
        }
    }

    // MARK: - Shutdown

    /// Refuses what waits, stops what is idle, lets what runs finish; kills what is left after `limit`.
    package func shutDown(within limit: Interval, completion: @escaping () -> Void) {
        let killTimer = LoopTimer(loop: loop) { [unowned self] in
            for live in workers.values { live.worker?.kill(.stopped) }
        }
        killTimer.start(after: limit)
        onAllStopped = { [unowned self] in
            killTimer.close()
            wakeTimer?.close()
            wakeTimer = nil
            memoryTimer?.close()
            memoryTimer = nil
            completion()
        }
        event { $0.shutdown(at: $1, into: &$2) }
    }

    // MARK: - Events and actions

    func event(_ body: (inout Scheduler, Instant, inout ActionBuffer) -> Void) {
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
        case .start(let worker, let pool, let cause): start(worker, pool, cause)
        case .dispatch(let batch, let slot):
            for invocation in actions[batch] { dispatch(invocation, to: slot) }
        case .stop(let worker, let reason):
            guard let live = workers[worker] else { return }
            live.isEnding = true
            recordStop(reason.text, for: reason.beneficiary, worker, live)
            live.worker?.stop(grace: Self.idleStopGrace)
        case .refuse(let invocation, let refusal): refuse(invocation, refusal)
        case .wake(let instant): wakeTimer?.start(at: instant)
        case .poolDrained(let pool):
            history.forget(pool)
            pools.forget(pool)
        case .allStopped: onAllStopped?()
        }
    }

    private func start(_ id: WorkerID, _ pool: PoolID, _ cause: StartCause) {
        guard let entry = pools.entries[pool] else { preconditionFailure("a start for a forgotten pool") }
        let slots = entry.version.configuration.settings.workerConcurrency
        let live = Live(pool: pool, cause: cause, slots: slots, startedAt: loop.now)
        workers[id] = live
        record(.started(cause), id, live)
        metrics.workersStarted += 1
        live.worker = placement.start(
            WorkerStart(
                id: id.value, functionName: entry.function.name, version: entry.version, model: entry.model,
                training: entry.training, isProvisioned: scheduler.status(of: id)?.isKept ?? false), owner: self)
    }

    private func dispatch(_ id: InvocationID, to slot: Slot) {
        // One that was stopped between the decision and now has left its slot unused.
        guard let invocation = take(id) else {
            return event { $0.invocationFinished(slot, at: $1, into: &$2) }
        }
        guard let live = workers[slot.worker], let worker = live.worker else {
            preconditionFailure("a dispatch to an unknown worker")
        }
        let now = loop.now
        invocation.state = .running
        invocation.slot = slot
        invocation.dispatchedAt = now
        if let readyAt = live.readyAt, invocation.arrivedAt < readyAt {
            invocation.initialization = readyAt - max(live.startedAt, invocation.arrivedAt)
            invocation.startCause = live.cause
        }
        live.running[Int(slot.index)] = invocation
        memoryMayChange(live)
        let wantsLog = invocation.wantsLogTail || invocation.execution != nil
        if wantsLog { invocation.beginLog() }
        worker.dispatch(
            WorkerInvocation(
                requestID: invocation.requestID, nonce: UniqueID.random(), functionARN: invocation.functionARN,
                traceID: invocation.traceID, clientContext: invocation.clientContext, payload: invocation.payload,
                timeoutSeconds: invocation.version.configuration.timeoutSeconds, wantsLog: wantsLog, sink: invocation),
            slot: Int(slot.index))
        // The worker holds it as long as it may have to be delivered again.
        invocation.payload = []
        invocation.onDispatch?()
        invocation.onDispatch = nil
    }

    private func refuse(_ id: InvocationID, _ refusal: Refusal) {
        guard let invocation = take(id) else { return }
        invocation.state = .done
        let outcome = invocation.refused(refusal, at: loop.now, initFailures: initFailures)
        complete(invocation, outcome)
    }

    // MARK: - Ends

    private func ended(_ invocation: Invocation, _ ending: Invocation.Ending) {
        guard let slot = invocation.slot, let live = workers[slot.worker] else { return }
        live.running[Int(slot.index)] = nil
        let now = loop.now
        history.append(
            .init(
                arrivedAt: invocation.arrivedAt, duration: now - (invocation.dispatchedAt ?? now), pool: live.pool))
        if invocation.wantsLogTail || invocation.execution != nil || invocation.initialization != nil {
            invocation.peakMegabytes = live.worker?.peakMegabytes
        }
        var outcome = invocation.outcome(ending, at: now)
        if case .answered = ending, pools.entries[live.pool]?.training != nil {
            // A trainer may work in a child, of which the worker's own peak says nothing.
            let peak = max(outcome.peakMegabytes ?? 0, live.measuredMegabytesMax)
            outcome.peakMegabytes = peak > 0 ? peak : nil
            // Its files may change while its worker lives: the outcome waits for the worker's end.
            live.held = (invocation, outcome)
            recordStop("training answered", slot.worker, live)
            markEnding(slot.worker, live)
            live.worker?.stop(grace: .seconds(10))
            return
        }
        complete(invocation, outcome)
    }

    func complete(_ invocation: Invocation, _ outcome: InvocationOutcome) {
        metrics.count(invocation.functionName, outcome)
        if outcome.isNoteworthy || invocation.execution != nil {
            logs.append(invocation.reportLine(outcome, at: EventLoop.wallClock), to: invocation.functionName)
        }
        let completion = invocation.completion
        invocation.completion = nil
        completion?(outcome)
    }

    func markEnding(_ id: WorkerID, _ live: Live) {
        guard !live.isEnding else { return }
        live.isEnding = true
        event { $0.workerStopping(id, at: $1, into: &$2) }
    }

    /// What is known of a pool's workers, while it is there: the most that one was measured to take, and the mean start.
    private func refresh(_ pool: PoolID, _ label: inout InvocationHistory.Label) {
        guard let status = scheduler.status(of: pool) else { return }
        let measured = scheduler.workers(of: pool).filter(\.isMeasured).map(\.memoryMegabytes).max()
        label.memoryMegabytes = measured ?? label.memoryMegabytes
        label.coldStartSeconds = status.coldStartSeconds ?? label.coldStartSeconds
    }

    // MARK: - For people

    /// The host as it is now, for `roost ps`.
    package func report(at now: Instant) -> SchedulingReport {
        let next = scheduler.nextEviction
        return SchedulingReport(
            of: scheduler, pools: pools(at: now),
            nextEviction: next.flatMap { next in
                pools.entries[next.pool].map { entry in
                    .init(
                        function: entry.function.name, version: entry.version.number, status: next,
                        idleSeconds: (now - next.idleSince).seconds)
                }
            })
    }

    /// What workers run on, or would if they were started now, also of versions that are gone; some of it more than once.
    package var artifactsInUse: [Digest] { pools.entries.values.flatMap(\.artifacts) }

    var usedMemoryMegabytes: Int { scheduler.host.memoryMegabytes }

    private func pools(at now: Instant) -> [PoolReport] {
        scheduler.poolIDs.compactMap { id in
            guard let entry = pools.entries[id], let status = scheduler.status(of: id) else { return nil }
            let list = scheduler.workers(of: id).map { worker in
                PoolReport.Worker(
                    status: worker, processIdentifier: workers[worker.id]?.worker?.processIdentifier,
                    sinceSeconds: (now - worker.since).seconds, ageSeconds: (now - worker.startedAt).seconds)
            }
            return PoolReport(
                function: entry.function.name, version: entry.version.number, execution: entry.training?.execution,
                status: status, workers: list)
        }
    }
}
