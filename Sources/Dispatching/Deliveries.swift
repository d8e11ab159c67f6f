internal import Artifacts
package import Domain
internal import JSON
package import Loop
package import Registry
internal import Signing
internal import Transfers

/// Tells targets of executions' ends. Lives on the loop.
///
/// A delivery is stored in the commit of the end that it tells of (`Executions.notification`), and this takes it from there:
///
///     stored -> being tried -> told       the target has it; then it is removed, and the execution's history says so
///                           -> stored     it failed, and is tried again after a pause
///                           -> given up   it is too old for that; removed, and the history says why
///
/// 1. A delivery is removed only after its target has it, or with the reason in its execution's history. So a host that is
///    killed between the two tells the target twice, under the same name.
/// 2. No delivery is tried twice at the same time. Of one target at most `widthMax` tries are under way, and one after a
///    failure of the target, until one succeeds.
/// 3. They are told in no particular order.
package final class Deliveries {
    package struct Settings: Sendable {
        package var policy = DeliveryPolicy()
        /// That are stored, to all targets together; what comes then is not stored, and the execution's history says so.
        package var waitingMax = 1_000_000
        /// Files that are written into a directory between two flushes, and the bytes that they may have together.
        package var batchMax = 64
        package var batchBytesMax = 16 << 20
        package init() {}
    }

    /// What is told to one target.
    private final class Lane {
        let target: DeliveryTarget
        var timer: LoopTimer?
        var inTry: Set<Int64> = []
        /// Tried while the registry was read, which may say what they were before.
        var tried: Set<Int64> = []
        var tries = 0
        /// The registry is being asked what comes next.
        var isLooking = false
        /// Something came meanwhile.
        var isStale = false
        /// How often in a row the target could not be told, for a reason of its own.
        var failures = 0
        /// Nothing is tried until the timer fires.
        var isPausing = false

        init(_ target: DeliveryTarget) { self.target = target }

        /// Tries at the same time; all that go into a directory together are one.
        var widthMax: Int {
            switch target.place {
            case .directory: 1
            case .webhook: 8
            }
        }

        /// For more tries; may be below 0.
        var room: Int { (failures > 0 ? 1 : widthMax) - tries }
    }

    private enum Outcome {
        case told
        /// - Parameter isOfTarget: the others would fail too.
        case failed(reason: String, isOfTarget: Bool, retryAfter: Interval?)
        /// The host is ending.
        case cancelled
    }

    private let loop: EventLoop
    private let registry: Registry
    private let metrics: Metrics
    /// Room for all tries of as many targets as there may be.
    private let transfers = TransferLoop(waitingMax: 1024)
    private let settings: Settings
    private let report: (String) -> Void
    private var lanes: [TargetARN: Lane] = [:]
    private var waiting = 0
    private var isClosing = false
    private var busy = 0
    private var onQuiet: CheckedContinuation<Void, Never>?

    package init(
        loop: EventLoop, registry: Registry, targets: [DeliveryTarget], metrics: Metrics,
        settings: Settings = Settings(),
        report: @escaping (String) -> Void
    ) {
        self.loop = loop
        self.registry = registry
        self.metrics = metrics
        self.settings = settings
        self.report = report
        for target in targets {
            let lane = Lane(target)
            lane.timer = LoopTimer(loop: loop) { [unowned self, unowned lane] in
                lane.isPausing = false
                look(lane)
            }
            lanes[target.name] = lane
        }
    }

    /// Takes up what is stored. Called once, before anything is added.
    package func start() async throws(RegistryError) {
        for (target, count) in try await registry.deliveryCounts() {
            waiting += count
            metrics.deliveries[target, default: .init()].waiting = count
            if let lane = lanes[target] {
                look(lane)
            } else {
                report("\(count) deliveries wait for \(target), which the configuration does not name any more")
            }
        }
    }

    /// Why a target cannot be told now; `nil` when it can.
    func refusal(of target: TargetARN) -> String? {
        if lanes[target] == nil { return "the configuration of the host does not name it" }
        if waiting >= settings.waitingMax { return "\(settings.waitingMax) deliveries wait already" }
        return nil
    }

    /// A delivery was stored.
    package func added(_ delivery: Delivery) {
        waiting += 1
        metrics.deliveries[delivery.target, default: .init()].waiting += 1
        if let lane = lanes[delivery.target] { look(lane) }
    }

    /// Ends the tries, and returns when none is under way.
    package func close() async {
        isClosing = true
        transfers.close()
        if busy > 0 { await withCheckedContinuation { onQuiet = $0 } }
        for lane in lanes.values { lane.timer?.close() }
    }

    // MARK: - What comes next

    private func look(_ lane: Lane) {
        guard !isClosing, !lane.isPausing else { return }
        guard !lane.isLooking else { return lane.isStale = true }
        lane.isLooking = true
        run { await self.takeNext(lane) }
    }

    private func takeNext(_ lane: Lane) async {
        // What is added while the registry is read may not be in the answer: whatever came of that, it is read again.
        repeat {
            lane.isStale = false
            await startDue(lane)
        } while lane.isStale
        lane.isLooking = false
    }

    private func startDue(_ lane: Lane) async {
        func isReady() -> Bool { lane.room > 0 && !isClosing && !lane.isPausing }
        guard isReady() else { return }
        lane.tried = []
        let stored: [Delivery]
        do throws(RegistryError) {
            stored = try await registry.deliveries(to: lane.target.name, limit: lane.inTry.count + settings.batchMax)
        } catch {
            report("deliveries to \(lane.target.name) cannot be read, and are tried again in 5 s: \(error)")
            return pause(lane, for: .seconds(5))
        }
        // A try that failed meanwhile has made a pause.
        guard isReady() else { return }
        let now = EventLoop.wallClock
        let rest = stored.filter { !lane.inTry.contains($0.sequence) && !lane.tried.contains($0.sequence) }
        let due = rest.filter { DeliveryPolicy.hasCome($0.notBefore, at: now) }
        guard !due.isEmpty else {
            if let next = rest.first { pauseUntil(next.notBefore, lane) }
            return
        }
        switch lane.target.place {
        case .directory(let directory):
            start(Array(due.prefix(settings.batchMax)), lane) { await self.write($0, to: directory) }
        case .webhook(let webhook):
            for delivery in due.prefix(lane.room) {
                start([delivery], lane) { ($0, await self.post($0[0], to: webhook)) }
            }
        }
    }

    /// What is added meanwhile is looked at at once.
    private func pauseUntil(_ time: Timestamp, _ lane: Lane) {
        let milliseconds = time.millisecondsSince1970 - EventLoop.wallClock.millisecondsSince1970
        lane.timer?.start(after: .milliseconds(Int(max(1, min(milliseconds, 3_600_000)))))
    }

    private func pause(_ lane: Lane, for interval: Interval) {
        lane.isPausing = true
        lane.timer?.start(after: interval)
    }

    private func start(
        _ deliveries: [Delivery], _ lane: Lane,
        _ tell: nonisolated(nonsending) @escaping ([Delivery]) async -> (told: [Delivery], outcome: Outcome)
    ) {
        lane.inTry.formUnion(deliveries.map(\.sequence))
        lane.tries += 1
        run {
            let (tried, outcome) = await tell(deliveries)
            await self.store(outcome, of: tried, lane)
            lane.inTry.subtract(deliveries.map(\.sequence))
            if lane.isLooking { lane.tried.formUnion(deliveries.map(\.sequence)) }
            lane.tries -= 1
            self.look(lane)
        }
    }

    /// A task that `close` waits for.
    private func run(_ body: nonisolated(nonsending) @escaping () async -> Void) {
        busy += 1
        loop.spawn {
            await body()
            self.busy -= 1
            if self.busy == 0 {
                self.onQuiet?.resume()
                self.onQuiet = nil
            }
        }
    }

    // MARK: - Trying

    /// - Returns: those that were tried, which are the first ones.
    private func write(
        _ deliveries: [Delivery], to directory: SpoolDirectory
    ) async -> (told: [Delivery], outcome: Outcome) {
        var files: [(name: String, bytes: [UInt8])] = []
        var tried: [Delivery] = []
        var bytes = 0
        do {
            for delivery in deliveries where bytes < settings.batchBytesMax {
                guard let document = try await registry.document(ofDelivery: delivery.sequence) else { continue }
                files.append((delivery.name + ".json", document))
                tried.append(delivery)
                bytes += document.count
            }
            let batch = files
            try await loop.offload { try directory.add(batch) }
            return (tried, .told)
        } catch {
            return (tried.isEmpty ? deliveries : tried, .failed(reason: "\(error)", isOfTarget: true, retryAfter: nil))
        }
    }

    private func post(_ delivery: Delivery, to webhook: DeliveryTarget.Webhook) async -> Outcome {
        do {
            guard let document = try await registry.document(ofDelivery: delivery.sequence) else { return .cancelled }
            let signed = webhook.secret.headers(id: delivery.name, timestamp: EventLoop.wallClock, body: document)
            let answer = try await transfers.send(
                TransferRequest(
                    url: webhook.url, headers: [("Content-Type", "application/json")] + signed, body: document,
                    timeout: webhook.timeout, caFile: webhook.caFile))
            if (200..<300).contains(answer.status) { return .told }
            // Other refusals are of this document; the next may be welcome.
            let isOfTarget = answer.status >= 500 || [401, 403, 404, 408, 410, 429].contains(answer.status)
            // Of foreign text nothing may begin a line of the host's own log.
            let text = String(decoding: answer.body.prefix(200), as: UTF8.self).unicodeScalars.map {
                $0.properties.generalCategory == .control ? " " : String($0)
            }.joined()
            return .failed(
                reason: "it answered \(answer.status)" + (text.isEmpty ? "" : ": \(text)"), isOfTarget: isOfTarget,
                retryAfter: answer.retryAfter)
        } catch TransferError.closed {
            return .cancelled
        } catch {
            return .failed(reason: "\(error)", isOfTarget: true, retryAfter: nil)
        }
    }

    // MARK: - The outcome

    private func store(_ outcome: Outcome, of deliveries: [Delivery], _ lane: Lane) async {
        let now = EventLoop.wallClock
        var changes: [Change] = []
        var over = 0
        switch outcome {
        case .cancelled: return
        case .told:
            FaultPoint.told.pass()
            lane.failures = 0
            over = deliveries.count
            changes = deliveries.map { .endDelivery($0, event(.delivered, $0, at: now)) }
            metrics.deliveries[lane.target.name, default: .init()].told += deliveries.count
        case .failed(let reason, let isOfTarget, let retryAfter):
            metrics.deliveries[lane.target.name, default: .init()].failures += deliveries.count
            for var delivery in deliveries {
                delivery.failures += 1
                if settings.policy.isOver(delivery, at: now) {
                    over += 1
                    changes.append(.endDelivery(delivery, event(.undelivered, delivery, reason, at: now)))
                    metrics.deliveries[lane.target.name, default: .init()].givenUp += 1
                    report("execution \(delivery.execution): \(lane.target.name) is not told of its end: \(reason)")
                } else {
                    let pause = DeliveryPolicy.pause(afterFailures: delivery.failures, asked: retryAfter)
                    let milliseconds = pause.seconds * 1000 * Double.random(in: 1...1.1)
                    delivery.notBefore = Timestamp(
                        millisecondsSince1970: now.millisecondsSince1970 + Int64(milliseconds))
                    changes.append(.postponeDelivery(delivery))
                }
            }
            // Tries that were under way together fail together, and count once.
            if isOfTarget, !lane.isPausing {
                lane.failures += 1
                if lane.failures == 1 { report("\(lane.target.name) cannot be told of executions' ends: \(reason)") }
                pause(lane, for: DeliveryPolicy.pause(afterFailures: lane.failures, asked: retryAfter))
            }
        }
        do throws(RegistryError) {
            try await registry.commit(changes)
            waiting -= over
            metrics.deliveries[lane.target.name, default: .init()].waiting -= over
        } catch {
            report("what became of deliveries to \(lane.target.name) is not stored; they are tried again: \(error)")
            pause(lane, for: .seconds(5))
        }
    }

    private func event(
        _ kind: ExecutionEvent.Kind, _ delivery: Delivery, _ reason: String? = nil, at now: Timestamp
    ) -> ExecutionEvent {
        var detail: JSONObject = ["target": .string(delivery.target.text)]
        if delivery.content == .deadLetter { detail["content"] = .string(delivery.content.rawValue) }
        if delivery.failures > 0 { detail["failures"] = .integer(Int64(delivery.failures)) }
        if let reason { detail["reason"] = .string(reason) }
        return ExecutionEvent(kind: kind, at: now, detail: JSONValue.object(detail).text())
    }
}
