internal import Artifacts
package import Domain
internal import JSON
package import Loop
package import Management
package import Registry
package import Workers

/// Asynchronous invocations: accepted onto the disk, run, retried, stopped, and resumed after the host was killed.
/// Lives on the loop.
///
/// The registry has the truth. Memory has a place in line for each execution that waits (`ExecutionQueue`), and a head for
/// each that is in hand: in the window, or being stopped, paused or resumed. An execution is
///
///     waiting  -> running   a place of the window is free and its time has come; it is read from the registry
///     running  -> waiting   the attempt failed and another is allowed, or nothing could be started
///     running  -> ended     in one commit with all that its end brings (for a training: the new version)
///     waiting, running -> ended   by `stop`, which is on the disk before the worker hears of it
///     waiting, running <-> paused   see Executions+Pausing.swift
///
/// Invariants:
/// 1. What `accept` answered is on the disk.
/// 2. The registry refuses to change an execution that has ended. So of a stop and a finish that race, the one whose
///    commit comes first holds, and what was to be committed with the other is not.
/// 3. An attempt that was cut off by the host's end is followed by another one, which is not counted as a retry.
package final class Executions {
    package struct Settings: Sendable {
        /// Pauses before the retries of an execution that is no training; their number is the number of retries.
        package var retryDelays = [Interval.seconds(60), .seconds(120)]
        /// From SIGTERM to SIGKILL of a worker whose execution was stopped, and at the host's shutdown.
        package var stopGrace = Interval.seconds(30)
        /// For how long an execution is kept after its end, with its history.
        package var retention = Interval.seconds(30 * 86_400)
        /// Executions that are with the scheduler at the same time, running or queued there; the others wait here.
        package var windowMax = 1024
        /// Of them, those of one function.
        package var windowOfFunctionMax = 256
        /// ... of one training function: no more than can run, since the others' turn may be days away.
        package var windowOfTrainingMax = 1
        /// An event of more bytes is a file of the artifact store.
        package var inlineEventBytesMax = 1 << 20
        /// No more are taken into the window while the events of those in it have so many bytes.
        package var windowBytesMax = 256 << 20
        /// Executions that have not ended; more are refused.
        package var liveMax = 4_000_000
        /// Clients that wait for the end of an execution; more are refused.
        package var waitersMax = 10_000
        /// How often progress is written to the disk.
        package var progressInterval = Interval.milliseconds(250)
        /// Reports kept between two writes; more are dropped, the oldest first.
        package var progressPendingMax = 64

        package init() {}
    }

    /// One execution that has not ended, and is in hand.
    final class Live {
        var head: ExecutionHead
        var isRunning = false
        /// Of its event, while it is in the window.
        var eventBytes = 0
        /// Its end is being committed, or it was stopped: what still comes from its worker is dropped.
        var isEnding = false
        var progress: [(at: Timestamp, report: [UInt8])] = []
        var droppedReports = 0
        /// The last value of each metric that this attempt reported.
        var metrics = JSONObject()
        /// How often in a row it could not be started.
        var refusals = 0
        /// Ascends when what is under way is given up: what comes of an earlier epoch is dropped.
        var epoch = 0
        /// Its attempt has ended, and what follows of that is being decided and stored.
        var isSettling = false
        /// Its worker was told to end for a pause, and has not gone yet.
        var isWorkerLeaving = false
        /// It was resumed before its worker had gone.
        var isGoingOn = false
        /// Called when that worker has gone.
        var onWorkerGone: (() -> Void)?

        init(head: ExecutionHead) { self.head = head }
    }

    let loop: EventLoop
    let registry: Registry
    let management: Management
    let dispatcher: Dispatcher
    let deliveries: Deliveries
    let placement: any Placement
    let settings: Settings
    /// For failures that nobody waits to hear of.
    let report: (String) -> Void

    /// Those in hand.
    var live: [Execution.ID: Live] = [:]
    /// All that have not ended, in hand or not.
    var liveCount = 0
    /// Who waits for the end of which.
    var waiters: [Execution.ID: [CheckedContinuation<Void, Never>]] = [:]
    var waitersCount = 0
    var queue = ExecutionQueue()
    var inWindow = 0
    var inWindowOfFunction: [Function.ID: Int] = [:]
    var windowBytes = 0
    /// A task takes from `queue`.
    var isStarting = false
    /// Those that are being read because they are not in hand.
    private var lookups: [Execution.ID: Lookup] = [:]
    var delayTimer: LoopTimer?
    private var progressTimer: LoopTimer?
    var retentionTimer: LoopTimer?
    /// Pauses and their ends, one at a time.
    let switches = SerialGate(waitersMax: 256)
    var isShuttingDown = false
    var onWindowEmpty: CheckedContinuation<Void, Never>?

    package init(
        loop: EventLoop, registry: Registry, management: Management, dispatcher: Dispatcher,
        deliveries: Deliveries, placement: any Placement, settings: Settings = Settings(),
        report: @escaping (String) -> Void
    ) {
        self.loop = loop
        self.registry = registry
        self.management = management
        self.dispatcher = dispatcher
        self.deliveries = deliveries
        self.placement = placement
        self.settings = settings
        self.report = report
        delayTimer = LoopTimer(loop: loop) { [unowned self] in
            delayTimerFired()
        }
        progressTimer = LoopTimer(loop: loop) { [unowned self] in storeProgress() }
        retentionTimer = LoopTimer(loop: loop) { [unowned self] in retentionTimerFired() }
        dispatcher.onSuperseded = { [unowned self] id in superseded(id) }
        dispatcher.onProgress = { [unowned self] id, report in progressed(id, report) }
    }

    // MARK: - Accepting

    /// Stores an execution; it is on the disk when this returns.
    ///
    /// Another try of the same call, and the same name with the same event, are the same execution: it is answered as it
    /// is, and nothing new happens.
    package func accept(
        _ request: ExecutionRequest
    ) async throws(ManagementError) -> (execution: ExecutionHead, isNew: Bool) {
        try await accept(request, chainDepth: 0) { _ in [] }
    }

    /// - Parameter more: what else is stored with it.
    func accept(
        _ request: ExecutionRequest, chainDepth: Int, _ more: (Execution) -> [Change]
    ) async throws(ManagementError) -> (execution: ExecutionHead, isNew: Bool) {
        guard liveCount < settings.liveMax else { throw .overloaded(limit: settings.liveMax) }
        // Its channels, and an event that is a file, are referred to once it is stored.
        let use = management.artifacts.beginUse()
        defer { use.end() }
        let (execution, changes) = try await make(request, chainDepth: chainDepth)
        let name = execution.name
        do throws(RegistryError) {
            try await registry.commit(changes + more(execution))
        } catch .conflict(.executionRetry(let key)) {
            // The client did not hear the answer to its first try.
            let stored = try await read { registry throws(RegistryError) in try await registry.execution(retryKey: key)
            }
            guard let stored else { throw .executionNotFound(name.text) }
            return (ExecutionHead(stored), false)
        } catch .conflict(.datasetRemoved(let dataset)) {
            throw .datasetRemoved(dataset)
        } catch .conflict(.executionName) {
            return (try await existing(execution.function, name, payload: request.payload), false)
        } catch {
            throw .registry(error)
        }
        FaultPoint.accepted.pass()
        takeUp(execution)
        return (ExecutionHead(execution), true)
    }

    /// A new execution, and the changes that store it.
    ///
    /// - Parameter chainDepth: as in `Execution`.
    func make(
        _ request: ExecutionRequest, chainDepth: Int = 0
    ) async throws(ManagementError) -> (execution: Execution, changes: [Change]) {
        let function = request.route.function
        var directives: TrainingDirectives?
        var base: VersionNumber?
        var channels: [Execution.Channel] = []
        if let trained = request.route.version.configuration.settings.trains {
            do throws(TrainingDirectives.Invalid) {
                directives = try TrainingDirectives(event: request.payload)
            } catch {
                throw .invalid(error.description)
            }
            // Resolved once: all attempts start from the same version, wherever an alias moves meanwhile.
            base = try management.catalog.route(trained, directives!.base).version.number
            for channel in directives!.channels { channels.append(try await resolved(channel)) }
        }
        var input = Payload.inline(request.payload)
        if input.sizeBytes > settings.inlineEventBytesMax { input = try await management.store(request.payload) }
        let id = Execution.ID(UniqueID.random())
        let name = request.name ?? ExecutionName(id.text)!
        let now = EventLoop.wallClock
        let execution = Execution(
            id: id, name: name, function: function.id, functionName: function.name, qualifier: request.qualifier,
            version: request.route.version.number, input: input, baseVersion: base,
            channels: channels, promote: directives?.promote?.alias, acceptedAt: now,
            retryKey: request.retryKey, chainDepth: chainDepth,
            priority: request.priority)
        var changes: [Change] = [
            .addExecution(execution), .addEvents(id, [ExecutionEvent(kind: .accepted, at: now)]),
        ]
        // A training changes a function; other executions are recorded by themselves.
        if base != nil {
            changes.append(
                .addAudit(
                    AuditEntry(
                        at: now, caller: request.caller, operation: "Train", function: function.name,
                        subject: id.text)))
        }
        return (execution, changes)
    }

    /// The files of a channel, of a dataset's newest version as it is now: all attempts use the same.
    private func resolved(
        _ channel: TrainingDirectives.Channel
    ) async throws(ManagementError) -> Execution.Channel {
        var resolved: Execution.Channel
        switch channel.source {
        case .artifact(let artifact): resolved = .init(name: channel.name, artifact: artifact)
        case .dataset(let reference):
            let version = try await management.dataset(reference)
            resolved = .init(
                name: channel.name, artifact: version.artifact,
                dataset: DatasetReference(name: version.name, number: version.number))
        }
        do throws(ManagementError) {
            _ = try await management.manifest(resolved.artifact)
        } catch .artifact(let error) {
            throw .invalid("channel '\(channel.name)': \(error)")
        }
        return resolved
    }

    /// A new execution is stored, and waits for its turn.
    func takeUp(_ execution: Execution) {
        liveCount += 1
        queue.add(execution.id, of: execution.function, priority: execution.priority)
        startWaiting()
    }

    private func existing(
        _ function: Function.ID, _ name: ExecutionName, payload: [UInt8]
    ) async throws(ManagementError) -> ExecutionHead {
        let stored = try await read { registry throws(RegistryError) in
            try await registry.execution(function: function, name: name)
        }
        guard let stored, stored.input.sizeBytes == payload.count,
            try await management.bytes(of: stored.input) == payload
        else { throw .executionExists(name) }
        return ExecutionHead(stored)
    }

    // MARK: - Reading

    /// - Throws: `executionNotFound`.
    package func execution(_ id: Execution.ID) async throws(ManagementError) -> Execution {
        let stored = try await read { registry throws(RegistryError) in try await registry.execution(id) }
        guard let stored else { throw .executionNotFound(id.text) }
        return stored
    }

    package func list(_ query: ExecutionQuery) async throws(ManagementError) -> ExecutionPage {
        try await read { registry throws(RegistryError) in try await registry.executions(query) }
    }

    package func events(
        of id: Execution.ID, newestFirst: Bool, after: Int?, limit: Int
    ) async throws(ManagementError) -> [ExecutionEvent] {
        try await read { registry throws(RegistryError) in
            try await registry.events(of: id, isNewestFirst: newestFirst, after: after, limit: limit)
        }
    }

    /// A part of the event or answer of an execution; none behind its end.
    package func bytes(of payload: Payload, from offset: Int, count: Int) async throws(ManagementError) -> [UInt8] {
        try await management.bytes(of: payload, from: offset, count: count)
    }

    func read<Value>(
        _ body: (Registry) async throws(RegistryError) -> Value
    ) async throws(ManagementError) -> Value {
        do throws(RegistryError) { return try await body(registry) } catch { throw .registry(error) }
    }

    // MARK: - In hand

    final class Lookup {
        var count = 0
        /// It has ended since.
        var isOutdated = false
    }

    /// An execution as the registry has it, which is as it is: what ends while it is read is read again.
    func lookUp(_ id: Execution.ID) async throws(ManagementError) -> Execution? {
        while true {
            let lookup = lookups[id] ?? Lookup()
            lookups[id] = lookup
            lookup.count += 1
            defer {
                lookup.count -= 1
                if lookup.count == 0, lookups[id] === lookup { lookups[id] = nil }
            }
            let stored = try await read { registry throws(RegistryError) in try await registry.execution(id) }
            if !lookup.isOutdated { return stored }
            if lookups[id] === lookup { lookups[id] = nil }
        }
    }

    /// An execution that has not ended, taken in hand; `nil` when it has ended or is about to.
    ///
    /// - Throws: `executionNotFound`.
    func inHand(_ id: Execution.ID) async throws(ManagementError) -> Live? {
        if let known = live[id] { return known.isEnding ? nil : known }
        guard let stored = try await lookUp(id) else { throw .executionNotFound(id.text) }
        if let known = live[id] { return known.isEnding ? nil : known }
        guard !stored.status.isEnded else { return nil }
        let execution = Live(head: ExecutionHead(stored))
        live[id] = execution
        return execution
    }

    // MARK: - Stopping

    /// Stops an execution for good. Idempotent: one that has ended keeps its state.
    ///
    /// - Parameter failure: what it then failed with, as its stopper sees it; `nil` says that it was stopped.
    /// - Returns: when it ended.
    package func stop(
        _ id: Execution.ID, _ failure: Execution.Failure? = nil, by caller: Caller
    ) async throws(ManagementError) -> Timestamp {
        guard let execution = try await inHand(id) else {
            // Ended, or about to.
            guard let endedAt = try await completion(of: id).endedAt else {
                throw .conflict("The end of the execution could not be stored; it goes on at the host's next start.")
            }
            return endedAt
        }
        execution.isEnding = true
        // Its destination may be a training, and events may be files.
        let use = management.artifacts.beginUse()
        defer { use.end() }
        let notification = await notification(of: execution.head, Conclusion(condition: .stopped))
        let now = EventLoop.wallClock
        var head = execution.head
        head.status = .stopped
        head.pausedAt = nil
        head.endedAt = now
        head.failure = failure ?? .init(type: "Execution.Stopped", message: "The execution was stopped")
        do throws(RegistryError) {
            try await registry.commit(
                [.updateExecution(head.update), .addEvents(id, [.init(kind: .stopRequested, at: now)])]
                    + notification.changes + [
                        .addEvents(id, [.init(kind: .ended, at: now, detail: head.endDetail)]),
                        .addAudit(
                            AuditEntry(
                                at: now, caller: caller, operation: "StopDurableExecution",
                                function: head.functionName, subject: id.text)),
                    ])
        } catch .executionEnded {
            return try await self.execution(id).endedAt ?? now
        } catch {
            execution.isEnding = false
            // What came of its attempt meanwhile was dropped, or its turn was.
            if !execution.isRunning, [.queued, .running].contains(execution.head.status) {
                execution.head.status = .queued
                enqueue(execution.head)
                startWaiting()
            }
            throw .registry(error)
        }
        execution.head = head
        remove(id)
        // Its worker may still write a checkpoint.
        let discard = { [unowned self] in loop.spawn { await self.placement.discardScratch(of: id) } }
        if execution.isWorkerLeaving {
            execution.onWorkerGone = discard
        } else {
            dispatcher.stop(id, grace: settings.stopGrace, onGone: discard)
        }
        leaveWindow(execution)
        carryOut(notification)
        return now
    }

    // MARK: - Progress

    private func progressed(_ id: Execution.ID, _ report: [UInt8]) {
        guard let execution = live[id], !execution.isEnding else { return }
        if execution.progress.count >= settings.progressPendingMax {
            execution.progress.removeFirst()
            execution.droppedReports += 1
        }
        execution.progress.append((EventLoop.wallClock, report))
        if progressTimer?.isActive == false { progressTimer?.start(after: settings.progressInterval) }
    }

    private func storeProgress() {
        for execution in live.values where !execution.progress.isEmpty && !execution.isEnding {
            let changes = takeProgress(execution)
            loop.spawn { await self.store(changes, execution) }
        }
    }

    /// The changes that store what was reported since the last time.
    func takeProgress(_ execution: Live) -> [Change] {
        guard let last = execution.progress.last else { return [] }
        execution.noteMetrics()
        let events = execution.progress.map {
            ExecutionEvent(kind: .progress, at: $0.at, detail: String(decoding: $0.report, as: UTF8.self))
        }
        execution.progress = []
        execution.head.progress = String(decoding: last.report, as: UTF8.self)
        return [.updateExecution(execution.head.update), .addEvents(execution.head.id, events)]
    }

    // MARK: - Shutdown

    /// Starts nothing more, and tells trainings to write a checkpoint and end: they are resumed at the next start, and
    /// the attempt is not counted. Other executions finish, if their workers are given the time.
    package func shutDown() {
        isShuttingDown = true
        // What does not run does not end any more while somebody can be told.
        for id in waiters.keys where live[id]?.isRunning != true { endWaiting(for: id) }
        for execution in live.values where execution.isRunning && execution.head.baseVersion != nil {
            // Its end may be on its way to the disk already.
            guard !execution.isEnding else { continue }
            execution.isEnding = true
            dispatcher.stop(execution.head.id, grace: settings.stopGrace)
            leaveWindow(execution)
        }
    }

    /// After `shutDown`, when no worker is left: returns when the last end is on the disk.
    package func close() async {
        if inWindow > 0 { await withCheckedContinuation { onWindowEmpty = $0 } }
        delayTimer?.close()
        progressTimer?.close()
        retentionTimer?.close()
        for id in waiters.keys { endWaiting(for: id) }
    }

    // MARK: - Parts

    /// It has ended, or was set aside.
    func remove(_ id: Execution.ID) {
        if live.removeValue(forKey: id) != nil { liveCount -= 1 }
        lookups[id]?.isOutdated = true
        endWaiting(for: id)
    }

    func commit(_ changes: [Change]) async throws(ManagementError) {
        do throws(RegistryError) { try await registry.commit(changes) } catch { throw .registry(error) }
    }

    /// For what nobody waits for.
    func store(_ changes: [Change], _ execution: Live) async {
        do throws(ManagementError) { try await commit(changes) } catch { failedToStore(execution, error) }
    }

    func failedToStore(_ execution: Live, _ error: ManagementError) {
        // Stopped meanwhile: the registry keeps its end.
        if case .registry(.executionEnded) = error { return }
        report("execution \(execution.head.id): \(error.description)")
    }
}
