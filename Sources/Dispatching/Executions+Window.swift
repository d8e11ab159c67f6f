internal import Domain
internal import JSON
internal import Loop
internal import Management
internal import Registry
internal import Workers

/// The window: the executions that are with the scheduler, or being handed to it. Those that wait are in `queue`.
extension Executions {
    func enqueue(_ head: ExecutionHead) {
        enqueue(head.id, of: head.function, priority: head.priority, notBefore: head.notBefore)
    }

    func enqueue(
        _ id: Execution.ID, of function: Function.ID, priority: Int, notBefore: Timestamp?
    ) {
        if let notBefore, !hasCome(notBefore) {
            queue.add(id, of: function, priority: priority, notBefore: notBefore)
            startDelayTimer()
        } else {
            queue.add(id, of: function, priority: priority)
        }
    }

    func delayTimerFired() {
        queue.release(at: EventLoop.wallClock)
        startDelayTimer()
        startWaiting()
    }

    private func startDelayTimer() {
        guard let next = queue.nextDue else { return }
        let milliseconds = next.millisecondsSince1970 - EventLoop.wallClock.millisecondsSince1970
        // An hour at the most: civil time may be set.
        delayTimer?.start(after: .milliseconds(Int(max(0, min(milliseconds, 3_600_000)))))
    }

    func startWaiting() {
        guard !isStarting else { return }
        isStarting = true
        loop.spawn { await self.startAll() }
    }

    /// One after the other, because each is read from the registry first: so they keep their order.
    private func startAll() async {
        while !isShuttingDown, inWindow < settings.windowMax, inWindow == 0 || windowBytes < settings.windowBytesMax,
            let next = queue.take({ inWindowOfFunction[$0, default: 0] < windowMax(of: $0) })
        {
            await start(next)
        }
        isStarting = false
    }

    private func windowMax(of function: Function.ID) -> Int {
        let isTraining = management.catalog.entry(function)?.function.latest.configuration.settings.trains != nil
        return isTraining ? settings.windowOfTrainingMax : settings.windowOfFunctionMax
    }

    private func start(_ next: ExecutionQueue.Place) async {
        let (id, function) = (next.id, next.function)
        let stored: Execution?
        do throws(ManagementError) {
            stored = try await lookUp(id)
        } catch {
            report("execution \(id) cannot be read, and is tried again in 5 s: \(error)")
            let later = Timestamp(millisecondsSince1970: EventLoop.wallClock.millisecondsSince1970 + 5000)
            return enqueue(id, of: function, priority: next.priority, notBefore: later)
        }
        // It was stopped while it waited, or deleted after that.
        guard let stored, !stored.status.isEnded else { return }
        let execution = live[id] ?? Live(head: ExecutionHead(stored))
        guard !isShuttingDown, !execution.isRunning, !execution.isEnding, isDue(execution) else { return }
        live[id] = execution
        execution.isRunning = true
        execution.eventBytes = stored.input.sizeBytes
        inWindow += 1
        inWindowOfFunction[function, default: 0] += 1
        windowBytes += stored.input.sizeBytes
        await start(execution, stored)
    }

    /// One that was paused and resumed may be in line twice, or in line before its time.
    private func isDue(_ execution: Live) -> Bool {
        guard execution.head.status == .queued, !execution.isWorkerLeaving else { return false }
        return execution.head.notBefore.map(hasCome) ?? true
    }

    /// Whether the time for the next attempt has come. One that is further ahead than any pause was set by another clock
    /// than today's, and has.
    private func hasCome(_ notBefore: Timestamp) -> Bool {
        let ahead = notBefore.millisecondsSince1970 - EventLoop.wallClock.millisecondsSince1970
        let pauseMax = max(300, settings.retryDelays.map(\.seconds).max() ?? 0) * 1.1
        return ahead <= 0 || Double(ahead) > pauseMax * 1000
    }

    private func start(_ execution: Live, _ stored: Execution) async {
        let epoch = execution.epoch
        do throws(ManagementError) {
            if await expireIfTooLate(execution) { return leaveWindow(execution) }
            let event = try await management.bytes(of: stored.input)
            guard execution.epoch == epoch else { return }
            guard !execution.isEnding else { return leaveWindow(execution) }
            var stored = stored
            stored.input = .inline(event)
            let loaded = stored
            let start = try start(of: loaded, event)
            dispatcher.run(
                start, onDispatch: { [unowned self] in dispatched(execution, attempt: start.attempt) },
                completion: { [unowned self] outcome in ended(execution, epoch: epoch, loaded, outcome) })
        } catch {
            // The function, version or base it was accepted for is gone, or its event.
            guard execution.epoch == epoch else { return }
            leaveWindow(execution)
            await fail(
                execution, .failed, .init(type: "Roost.NotRunnable", message: error.description),
                Conclusion(condition: .retriesExhausted))
        }
    }

    private func start(
        of stored: Execution, _ event: [UInt8]
    ) throws(ManagementError) -> ExecutionStart {
        guard let entry = management.catalog.entry(stored.function), let version = entry.version(stored.version) else {
            throw .functionNotFound(stored.functionName, .version(stored.version))
        }
        let request = InvocationRequest(
            route: .init(function: entry.function, version: version), qualifier: stored.qualifier,
            requestID: stored.id.text, payload: event)
        var start = ExecutionStart(id: stored.id, attempt: stored.attempt + 1, request: request, training: nil)
        if let trained = version.configuration.settings.trains {
            let base = try management.catalog.route(trained, .version(stored.baseVersion ?? .latest))
            start.training = .init(channels: stored.channels, model: base.version.model)
        }
        return start
    }

    func dispatched(_ execution: Live, attempt: Int) {
        let now = EventLoop.wallClock
        let earlier = takeProgress(execution)
        execution.head.status = .running
        execution.head.attempt = attempt
        execution.head.startedAt = now
        execution.head.notBefore = nil
        execution.refusals = 0
        execution.metrics = JSONObject()
        let event = ExecutionEvent(
            kind: .attemptStarted, at: now, detail: JSONValue.object(["attempt": .integer(Int64(attempt))]).text())
        let changes = earlier + [.updateExecution(execution.head.update), .addEvents(execution.head.id, [event])]
        // Nobody was promised this: should the host end before it is stored, the attempt is made again.
        loop.spawn { await self.store(changes, execution) }
    }

    func superseded(_ id: Execution.ID) {
        guard let execution = live[id], !execution.isEnding else { return }
        leaveWindow(execution)
        enqueue(execution.head)
        startWaiting()
    }

    func leaveWindow(_ execution: Live) {
        guard execution.isRunning else { return }
        execution.isRunning = false
        let function = execution.head.function
        inWindow -= 1
        windowBytes -= execution.eventBytes
        inWindowOfFunction[function]! -= 1
        if inWindowOfFunction[function] == 0 { inWindowOfFunction[function] = nil }
        if isShuttingDown { endWaiting(for: execution.head.id) }
        if inWindow == 0 {
            onWindowEmpty?.resume()
            onWindowEmpty = nil
        }
        startWaiting()
    }
}
