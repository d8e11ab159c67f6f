import Domain
import Scheduling

/// A scheduler driven by hand: each event returns its actions as short text, wakes apart.
struct Script {
    var scheduler: Scheduler
    var now = Instant.zero
    /// What the last event asked for.
    private(set) var wake: Instant?
    private var buffer = ActionBuffer()
    private var lastInvocation: UInt64 = 0

    init(_ change: (inout HostLimits) -> Void = { _ in }) {
        var limits = HostLimits()
        change(&limits)
        scheduler = Scheduler(limits: limits)
    }

    @discardableResult
    mutating func pool(
        _ id: UInt32, function: Int64? = nil, reserved: Int? = nil, concurrency: Int = 1, keepAlive: Double? = nil,
        memory: Int = 128, isTraining: Bool = false, capacity: Int? = nil
    ) -> [String] {
        let settings = PoolSettings(
            function: Function.ID(function ?? Int64(id)), reservedConcurrency: reserved, workerConcurrency: concurrency,
            keepAlive: keepAlive.map { .seconds($0) } ?? .learned, memoryMegabytes: memory, isTraining: isTraining,
            queueCapacity: capacity)
        return run { $0.addPool(PoolID(id), settings: settings, at: $1, into: &$2) }
    }

    /// Invocations are numbered from 1.
    @discardableResult
    mutating func arrive(_ pool: UInt32 = 1, waitMax: Double? = 30) -> [String] {
        lastInvocation += 1
        let id = InvocationID(lastInvocation)
        let waitMax = waitMax.map { Interval.seconds($0) }
        return run { $0.invocationArrived(id, pool: PoolID(pool), waitMax: waitMax, at: $1, into: &$2) }
    }

    @discardableResult
    mutating func ready(_ worker: UInt64) -> [String] { run { $0.workerReady(WorkerID(worker), at: $1, into: &$2) } }

    @discardableResult
    mutating func finish(_ worker: UInt64, slot: UInt16 = 0) -> [String] {
        run { $0.invocationFinished(Slot(worker: WorkerID(worker), index: slot), at: $1, into: &$2) }
    }

    @discardableResult
    mutating func exit(_ worker: UInt64, _ reason: ExitReason = .stopped) -> [String] {
        run { $0.workerExited(WorkerID(worker), reason: reason, at: $1, into: &$2) }
    }

    @discardableResult
    mutating func provision(_ count: Int, _ pool: UInt32 = 1) -> [String] {
        run { $0.setProvisioned(count, of: PoolID(pool), at: $1, into: &$2) }
    }

    @discardableResult
    mutating func tick() -> [String] { run { $0.tick(at: $1, into: &$2) } }

    /// Lets time pass and ticks at its end.
    @discardableResult
    mutating func after(_ seconds: Double) -> [String] {
        pass(seconds)
        return tick()
    }

    mutating func pass(_ seconds: Double) { now = now + .seconds(seconds) }

    @discardableResult
    mutating func run(_ event: (inout Scheduler, Instant, inout ActionBuffer) -> Void) -> [String] {
        buffer.removeAll()
        wake = nil
        event(&scheduler, now, &buffer)
        let violations = scheduler.checkInvariants(at: now)
        precondition(violations.isEmpty, "\(violations)")
        return buffer.actions.compactMap { action in
            switch action {
            case .start(let worker, let pool, _): return "start w\(worker.value) p\(pool.value)"
            case .dispatch(let batch, let slot):
                let ids = buffer[batch].map { "\($0.value)" }.joined(separator: "+")
                return "run \(ids) w\(slot.worker.value)" + (slot.index == 0 ? "" : ".\(slot.index)")
            case .stop(let worker, let reason): return "stop w\(worker.value) \(Self.text(reason))"
            case .refuse(let id, let refusal): return "refuse \(id.value) \(Self.text(refusal))"
            case .poolDrained(let pool): return "drained p\(pool.value)"
            case .allStopped: return "all stopped"
            case .wake(let at):
                wake = at
                return nil
            }
        }
    }

    private static func text(_ reason: StopReason) -> String {
        switch reason {
        case .keepAlivePassed: "keep-alive"
        case .overBudget: "over budget"
        case .evicted(let pool): "evicted for p\(pool.value)"
        case .yielded(let pool): "yielded to p\(pool.value)"
        case .reservedConcurrencyLowered: "lowered"
        case .poolDrained: "drain"
        case .shutdown: "shutdown"
        }
    }

    private static func text(_ refusal: Refusal) -> String {
        switch refusal {
        case .queueFull(let limit): "queue full \(limit)"
        case .waitedTooLong: "waited"
        case .wouldWaitTooLong(let wait, _): "would wait \(wait.seconds)"
        case .reservedConcurrencyZero: "reserved zero"
        case .initFailed(let worker): "init failed w\(worker.value)"
        case .initBackoff(let until): "backoff until \(until.nanoseconds / 1_000_000)"
        case .neverFits(let memory, let limit): "never fits \(memory) \(limit)"
        case .poolGone: "gone"
        case .shutdown: "shutdown"
        }
    }
}
