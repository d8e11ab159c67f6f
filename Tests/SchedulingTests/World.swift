import Domain
import Scheduling

/// A host of simulated workers around the real scheduler, on a virtual clock. Checks each action, and after each event the
/// pools that it touched and what all take together, against a model of its own that shares no code with the scheduler.
final class World {
    struct Timing {
        var coldStart: (PoolID) -> Interval = { _ in .milliseconds(200) }
        var service: (InvocationID) -> Interval = { _ in .milliseconds(50) }
        /// From `stop` to the exit.
        var exit: Interval = .milliseconds(10)
        /// Shares of starts that fail, of invocations whose worker crashes, of invocations whose worker is killed.
        var initFails: (WorkerID, PoolID) -> Bool = { _, _ in false }
        var crashes: (InvocationID) -> Bool = { _ in false }
        var timesOut: (InvocationID) -> Bool = { _ in false }
    }

    enum Outcome: Equatable {
        case queued
        case running(Slot)
        case finished
        case failed
        case cancelled
        case refused(Refusal)
    }

    struct Record {
        let pool: PoolID
        let arrivedAt: Instant
        let isUnlimited: Bool
        var outcome = Outcome.queued
    }

    struct LiveWorker {
        enum State { case starting, ready, stopping }
        let pool: PoolID
        var memoryMegabytes: Int
        var state = State.starting
        var running: [UInt16: InvocationID] = [:]
    }

    struct PoolModel {
        let settings: PoolSettings
        var queue: [InvocationID] = []
        var head = 0
        var workers: Set<WorkerID> = []
        var isDraining = false
        var provisioned = 0
        var measuredMegabytes: Int?
    }

    enum Event {
        case ready(WorkerID)
        case finish(Slot, InvocationID)
        case exit(WorkerID, ExitReason)
        case kill(WorkerID)
    }

    var scheduler: Scheduler
    let limits: HostLimits
    var timing = Timing()
    private(set) var now = Instant.zero
    private(set) var records: [InvocationID: Record] = [:]
    private(set) var workers: [WorkerID: LiveWorker] = [:]
    private(set) var pools: [PoolID: PoolModel] = [:]
    private(set) var reserved: [Function.ID: Int?] = [:]
    private(set) var starts: [(worker: WorkerID, pool: PoolID, at: Instant)] = []
    private(set) var stops: [(worker: WorkerID, reason: StopReason, at: Instant)] = []
    private(set) var drained: [PoolID] = []
    private(set) var isAllStopped = false
    private(set) var violations: [String] = []
    private(set) var eventCount = 0
    private(set) var tickCount = 0
    /// Full checks happen after each so many events.
    var checkInterval = 1
    private(set) var memoryBudget: Int
    private var memoryMegabytes = 0
    /// By this event.
    private var touched: [PoolID] = []
    private(set) var wakeAt: Instant?
    private var agenda: [(at: Instant, order: Int, event: Event)] = []
    private var agendaOrder = 0
    private var buffer = ActionBuffer()
    private var lastInvocation: UInt64 = 0
    private var lastDispatched: [PoolID: InvocationID] = [:]
    private var lastWorker = WorkerID(0)

    init(limits: HostLimits = HostLimits()) {
        self.limits = limits
        memoryBudget = limits.memoryMegabytesMax
        scheduler = Scheduler(limits: limits)
    }

    // MARK: - Events

    func add(_ id: PoolID, _ settings: PoolSettings) {
        pools[id] = PoolModel(settings: settings)
        reserved[settings.function] = .some(settings.reservedConcurrency)
        event { scheduler.addPool(id, settings: settings, at: now, into: &$0) }
    }

    @discardableResult
    func arrive(_ pool: PoolID, waitMax: Interval? = .seconds(30)) -> InvocationID {
        lastInvocation += 1
        let id = InvocationID(lastInvocation)
        records[id] = Record(pool: pool, arrivedAt: now, isUnlimited: waitMax == nil)
        pools[pool]?.queue.append(id)
        touched.append(pool)
        event { scheduler.invocationArrived(id, pool: pool, waitMax: waitMax, at: now, into: &$0) }
        return id
    }

    func cancel(_ id: InvocationID) {
        if let record = records[id], record.outcome == .queued {
            records[id]?.outcome = .cancelled
            touched.append(record.pool)
        }
        event { scheduler.invocationCancelled(id, at: now, into: &$0) }
    }

    func drain(_ pool: PoolID) {
        pools[pool]?.isDraining = true
        pools[pool]?.provisioned = 0
        event { scheduler.drainPool(pool, at: now, into: &$0) }
    }

    func reserve(_ function: Function.ID, _ concurrency: Int?) {
        reserved[function] = .some(concurrency)
        event { scheduler.updateFunction(function, reservedConcurrency: concurrency, at: now, into: &$0) }
    }

    func provision(_ pool: PoolID, _ count: Int) {
        pools[pool]?.provisioned = count
        event { scheduler.setProvisioned(count, of: pool, at: now, into: &$0) }
    }

    func prepare(_ pool: PoolID, inPlaceOf old: PoolID) {
        event { scheduler.prepare(pool, inPlaceOf: old, at: now, into: &$0) }
    }

    func measure(_ worker: WorkerID, _ megabytes: Int) {
        if let live = workers[worker] {
            memoryMegabytes += megabytes - live.memoryMegabytes
            workers[worker]?.memoryMegabytes = megabytes
            let known = pools[live.pool]?.measuredMegabytes ?? 0
            pools[live.pool]?.measuredMegabytes = max(megabytes, known - (known - megabytes) / 8)
        }
        event { scheduler.workerMeasured(worker, memoryMegabytes: megabytes, at: now, into: &$0) }
    }

    func setMemoryBudget(_ megabytes: Int) {
        memoryBudget = min(megabytes, limits.memoryMegabytesMax)
        event { scheduler.setMemoryBudget(megabytes: megabytes, at: now, into: &$0) }
    }

    func shutdown() { event { scheduler.shutdown(at: now, into: &$0) } }

    /// A tick at a time that nobody asked for.
    func tick() {
        wakeAt = nil
        event { scheduler.tick(at: now, into: &$0) }
    }

    /// An event that the scheduler must ignore or survive: late, repeated, of a worker that never was.
    func raw(_ body: (inout Scheduler, Instant, inout ActionBuffer) -> Void) {
        event { body(&scheduler, now, &$0) }
    }

    func crash(_ worker: WorkerID) { handle(.exit(worker, .crashed)) }
    func kill(_ worker: WorkerID) { handle(.kill(worker)) }

    /// Runs all that happens until `now + interval`.
    func advance(_ interval: Interval) {
        let end = now + interval
        while let at = nextAt, at <= end { step() }
        now = end
    }

    /// Runs until nothing is going to happen any more.
    func settle(steps: Int = 1_000_000) {
        for _ in 0..<steps {
            guard nextAt != nil else { return }
            step()
        }
        violations.append("no end after \(steps) steps")
    }

    private var nextAt: Instant? {
        switch (agenda.first?.at, wakeAt) {
        case (let event?, let wake?): min(event, wake)
        case (let event, let wake): event ?? wake
        }
    }

    private func step() {
        if let wake = wakeAt, agenda.first.map({ wake <= $0.at }) ?? true {
            now = max(now, wake)
            wakeAt = nil
            tickCount += 1
            event { scheduler.tick(at: now, into: &$0) }
            if let next = wakeAt, next <= now { violations.append("a tick asks for a tick at once") }
        } else {
            let next = popAgenda()
            now = max(now, next.at)
            handle(next.event)
        }
    }

    private func handle(_ happened: Event) {
        switch happened {
        case .ready(let id):
            guard workers[id]?.state == .starting else { return }
            workers[id]?.state = .ready
            touched.append(workers[id]!.pool)
            event { scheduler.workerReady(id, at: now, into: &$0) }
        case .finish(let slot, let invocation):
            guard workers[slot.worker]?.running[slot.index] == invocation else { return }
            workers[slot.worker]?.running[slot.index] = nil
            records[invocation]?.outcome = .finished
            touched.append(workers[slot.worker]!.pool)
            event { scheduler.invocationFinished(slot, at: now, into: &$0) }
        case .kill(let id):
            guard let worker = workers[id], worker.state != .stopping else { return }
            workers[id]?.state = .stopping
            schedule(.exit(id, .stopped), after: timing.exit)
            event { scheduler.workerStopping(id, at: now, into: &$0) }
        case .exit(let id, let reason):
            guard let worker = workers.removeValue(forKey: id) else { return }
            memoryMegabytes -= worker.memoryMegabytes
            pools[worker.pool]?.workers.remove(id)
            for invocation in worker.running.values { records[invocation]?.outcome = .failed }
            event { scheduler.workerExited(id, reason: reason, at: now, into: &$0) }
        }
    }

    // MARK: - Actions

    private func event(_ body: (inout ActionBuffer) -> Void) {
        buffer.removeAll()
        body(&buffer)
        eventCount += 1
        let taken = buffer
        for action in taken.actions { carryOut(action, taken) }
        let host = scheduler.host
        if host.workers != workers.count || host.memoryMegabytes != memoryMegabytes {
            violations.append("\(now.nanoseconds): the host's workers or memory are not what they take")
        }
        for pool in touched { checkPool(pool) }
        touched.removeAll(keepingCapacity: true)
        if eventCount % checkInterval == 0 {
            for violation in scheduler.checkInvariants(at: now) {
                violations.append("\(now.nanoseconds): \(violation)")
            }
            for pool in pools.keys { checkPool(pool) }
        }
        buffer = taken
    }

    private func carryOut(_ action: Action, _ buffer: ActionBuffer) {
        switch action {
        case .start(let worker, let pool, let cause): started(worker, pool, cause)
        case .dispatch(let batch, let slot): for id in buffer[batch] { dispatched(id, slot) }
        case .stop(let worker, let reason):
            guard workers[worker] != nil, workers[worker]?.running.isEmpty == true, workers[worker]?.state != .stopping
            else { return violations.append("stop of busy, stopping or unknown \(worker)") }
            workers[worker]?.state = .stopping
            stops.append((worker, reason, now))
            // One that yields was draining already, and not counted.
            if reason != .shutdown, !isYield(reason), let model = pools[workers[worker]!.pool] {
                let left = model.workers.count(where: isAlive)
                if left < model.provisioned { violations.append("stop of \(worker), which is provisioned: \(reason)") }
            }
            schedule(.exit(worker, .stopped), after: timing.exit)
        case .refuse(let id, let refusal):
            guard records[id]?.outcome == .queued else { return violations.append("refused \(id) is not waiting") }
            records[id]?.outcome = .refused(refusal)
        case .wake(let at):
            if let wakeAt, wakeAt <= at { violations.append("a wake that moves nothing") }
            wakeAt = at
        case .poolDrained(let pool):
            guard let model = pools[pool], model.isDraining, model.workers.isEmpty, waiting(pool) == nil else {
                return violations.append("\(pool) is not drained")
            }
            pools[pool] = nil
            lastDispatched[pool] = nil
            drained.append(pool)
        case .allStopped:
            if !workers.isEmpty || isAllStopped { violations.append("not all stopped") }
            isAllStopped = true
        }
    }

    private func started(_ id: WorkerID, _ pool: PoolID, _ cause: StartCause) {
        guard id > lastWorker, let model = pools[pool] else { return violations.append("\(id) is used again") }
        lastWorker = id
        if case .some(.some(let limit)) = reserved[model.settings.function], slots(model.settings.function) >= limit {
            violations.append("start beyond reserved concurrency")
        }
        if workers.values.filter({ $0.state == .starting }).count >= limits.startsInFlightMax {
            violations.append("start beyond starts in flight")
        }
        // A hand-over starts as many as the other version had in use.
        if limits.scaleUp == .provisionedOnly, cause != .redeploy,
            model.workers.count(where: isAlive) >= max(1, model.provisioned)
        {
            violations.append("start beyond what is provisioned")
        }
        if model.settings.isTraining, trainingSlots >= limits.trainingConcurrency {
            violations.append("start beyond training concurrency")
        }
        let counted = min(
            model.measuredMegabytes ?? model.settings.memoryMegabytes, limits.memoryMegabytesMax)
        workers[id] = LiveWorker(pool: pool, memoryMegabytes: counted)
        memoryMegabytes += counted
        pools[pool]?.workers.insert(id)
        if workers.count > limits.workersMax { violations.append("more workers than may be") }
        if memoryMegabytes > memoryBudget { violations.append("a start beyond the memory that there is") }
        starts.append((id, pool, now))
        if starts.count > limits.startsBurst {
            let earlier = starts[starts.count - 1 - limits.startsBurst].at
            if (now - earlier).seconds * limits.startsPerSecond < 0.999 { violations.append("start beyond the rate") }
        }
        if timing.initFails(id, pool) {
            schedule(.exit(id, .initFailed), after: timing.coldStart(pool))
        } else {
            schedule(.ready(id), after: timing.coldStart(pool))
        }
    }

    private func dispatched(_ id: InvocationID, _ slot: Slot) {
        guard let record = records[id], record.outcome == .queued else {
            return violations.append("dispatched \(id) is not waiting")
        }
        guard let worker = workers[slot.worker], worker.pool == record.pool, worker.state == .ready,
            worker.running[slot.index] == nil, Int(slot.index) < pools[record.pool]!.settings.workerConcurrency
        else { return violations.append("dispatch to \(slot), which is dead, stopping or busy") }
        if waiting(record.pool) != id { violations.append("\(id) is not the first of its pool") }
        records[id]?.outcome = .running(slot)
        workers[slot.worker]?.running[slot.index] = id
        touched.append(record.pool)
        let settings = pools[record.pool]!.settings
        if case .some(.some(let limit)) = reserved[settings.function], running(settings.function) > limit {
            violations.append("more runs than reserved concurrency")
        }
        let service = timing.service(id)
        if timing.crashes(id) {
            schedule(.exit(slot.worker, .crashed), after: service)
        } else if timing.timesOut(id) {
            schedule(.kill(slot.worker), after: service)
        } else {
            schedule(.finish(slot, id), after: service)
        }
    }

    /// The first invocation that waits in this pool.
    func waiting(_ pool: PoolID) -> InvocationID? {
        guard var model = pools[pool] else { return nil }
        pools[pool]?.queue = []
        while model.head < model.queue.count, records[model.queue[model.head]]?.outcome != .queued { model.head += 1 }
        if model.head > 64, model.head * 2 > model.queue.count {
            model.queue.removeFirst(model.head)
            model.head = 0
        }
        pools[pool] = model
        return model.head < model.queue.count ? model.queue[model.head] : nil
    }

    /// No invocation waits beside a free slot that it may have.
    private func checkPool(_ id: PoolID) {
        guard let model = pools[id], waiting(id) != nil else { return }
        let settings = model.settings
        if case .some(.some(let limit)) = reserved[settings.function], running(settings.function) >= limit { return }
        if settings.isTraining, trainingRunning >= limits.trainingConcurrency { return }
        let isFree = model.workers.contains { worker in
            workers[worker]!.state == .ready && workers[worker]!.running.count < settings.workerConcurrency
                && scheduler.status(of: worker).map { !isDraining($0.state) } ?? false
        }
        if isFree { violations.append("\(now.nanoseconds): \(id): an invocation waits beside a free slot") }
    }

    private func isYield(_ reason: StopReason) -> Bool {
        if case .yielded = reason { true } else { false }
    }

    /// Neither told to stop nor about to be.
    private func isAlive(_ id: WorkerID) -> Bool {
        workers[id]!.state != .stopping && scheduler.status(of: id).map { !isDraining($0.state) } ?? false
    }

    private func isDraining(_ state: WorkerStatus.State) -> Bool {
        if case .draining = state { true } else { false }
    }

    func outcome(_ id: InvocationID) -> Outcome? { records[id]?.outcome }
    func count(_ test: (Outcome) -> Bool) -> Int { records.values.count { test($0.outcome) } }
    /// Forgets invocations that have ended, so that long runs stay small.
    func forgetEnded() {
        records = records.filter { record in
            switch record.value.outcome {
            case .queued, .running: true
            case .finished, .failed, .cancelled, .refused: false
            }
        }
        if starts.count > 10_000 { starts.removeFirst(starts.count - 1000) }
        stops.removeAll(keepingCapacity: true)
    }

    private var trainingSlots: Int {
        workers.values.reduce(0) {
            $0 + (pools[$1.pool]!.settings.isTraining ? pools[$1.pool]!.settings.workerConcurrency : 0)
        }
    }
    private var trainingRunning: Int {
        workers.values.reduce(0) { $0 + (pools[$1.pool]!.settings.isTraining ? $1.running.count : 0) }
    }
    private func slots(_ function: Function.ID) -> Int {
        workers.values.reduce(0) {
            let settings = pools[$1.pool]!.settings
            return $0 + (settings.function == function ? settings.workerConcurrency : 0)
        }
    }
    private func running(_ function: Function.ID) -> Int {
        workers.values.reduce(0) { $0 + (pools[$1.pool]!.settings.function == function ? $1.running.count : 0) }
    }

    // MARK: - The agenda, a binary heap

    private func schedule(_ event: Event, after delay: Interval) {
        agendaOrder += 1
        agenda.append((now + delay, agendaOrder, event))
        var child = agenda.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            agenda.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func popAgenda() -> (at: Instant, order: Int, event: Event) {
        agenda.swapAt(0, agenda.count - 1)
        let first = agenda.removeLast()
        var parent = 0
        while 2 * parent + 1 < agenda.count {
            var child = 2 * parent + 1
            if child + 1 < agenda.count, isBefore(child + 1, child) { child += 1 }
            guard isBefore(child, parent) else { break }
            agenda.swapAt(child, parent)
            parent = child
        }
        return first
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        (agenda[left].at, agenda[left].order) < (agenda[right].at, agenda[right].order)
    }
}
