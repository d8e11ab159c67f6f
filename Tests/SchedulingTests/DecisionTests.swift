import AllocationCount
import Domain
import Foundation
import Scheduling
import Testing

/// A scheduler with 10,000 functions and 1,000 workers, whose actions are carried out at once.
struct Crowd {
    static let functions = 10_000
    static let workers = 1_000

    var scheduler: Scheduler
    var now = Instant.zero
    private var buffer = ActionBuffer()
    private var random = SeededGenerator(seed: 1)
    private(set) var running: [Slot] = []
    private(set) var events = 0
    private var lastInvocation: UInt64 = 0
    private var starting: [WorkerID] = []
    private var stopping: [WorkerID] = []

    init() {
        var limits = HostLimits()
        limits.workersMax = Self.workers
        limits.memoryMegabytesMax = Self.workers * 256
        limits.startsInFlightMax = 64
        limits.startsPerSecond = 1e9
        limits.startsBurst = 1_000_000
        limits.queueCapacity = 1_000_000
        scheduler = Scheduler(limits: limits)
        for id in 1...Self.functions {
            let settings = PoolSettings(
                function: Function.ID(Int64(id)), keepAlive: .seconds(.infinity),
                memoryMegabytes: [64, 128, 256, 512][id % 4])
            scheduler.addPool(PoolID(UInt32(id)), settings: settings, at: now, into: &buffer)
        }
        buffer.removeAll()
        running.reserveCapacity(Self.workers)
    }

    mutating func function(_ range: ClosedRange<Int>) -> PoolID {
        PoolID(UInt32(Int.random(in: range, using: &random)))
    }

    mutating func arrive(_ pool: PoolID, waitMax: Interval? = nil) {
        lastInvocation += 1
        event { [lastInvocation] scheduler, now, out in
            scheduler.invocationArrived(InvocationID(lastInvocation), pool: pool, waitMax: waitMax, at: now, into: &out)
        }
    }

    /// Any of those that run.
    mutating func finish() {
        guard !running.isEmpty else { return }
        running.swapAt(Int.random(in: running.indices, using: &random), running.count - 1)
        let slot = running.removeLast()
        event { $0.invocationFinished(slot, at: $1, into: &$2) }
    }

    /// What was started is ready, what was stopped has gone.
    mutating func settle() {
        while !starting.isEmpty || !stopping.isEmpty {
            if let worker = stopping.popLast() {
                event { $0.workerExited(worker, reason: .stopped, at: $1, into: &$2) }
            }
            if let worker = starting.popLast() { event { $0.workerReady(worker, at: $1, into: &$2) } }
        }
    }

    private mutating func event(_ body: (inout Scheduler, Instant, inout ActionBuffer) -> Void) {
        now = now + .milliseconds(1)
        events += 1
        body(&scheduler, now, &buffer)
        for action in buffer.actions {
            switch action {
            case .start(let worker, _, _): starting.append(worker)
            case .stop(let worker, _): stopping.append(worker)
            case .dispatch(_, let slot): running.append(slot)
            case .refuse, .wake, .poolDrained, .allStopped: break
            }
        }
        buffer.removeAll()
    }
}

@Suite("The cost of a decision", .serialized)
struct DecisionTests {
    /// A worker for each of the first functions, so that calls to them are warm.
    private func warm() -> (crowd: Crowd, functions: ClosedRange<Int>) {
        var crowd = Crowd()
        let functions = 1...1000
        for _ in 0..<3 {
            for id in functions {
                crowd.arrive(PoolID(UInt32(id)))
                crowd.settle()
                crowd.finish()
            }
        }
        return (crowd, functions)
    }

    @Test("a warm invocation allocates nothing")
    func allocations() {
        var (crowd, functions) = warm()
        func run(_ count: Int) {
            for _ in 0..<count {
                crowd.arrive(crowd.function(functions))
                crowd.finish()
            }
        }
        run(100_000)  // what grows has grown
        allocation_count_begin()
        run(10_000)
        #expect(allocation_count_end() == 0)

        // The count does count.
        allocation_count_begin()
        let box = [Int](repeating: 1, count: crowd.events)
        #expect(allocation_count_end() > 0)
        #expect(box.count == crowd.events)
    }

    /// For `bench/decisions`: prints, and asserts nothing about time.
    @Test("how long decisions take", .enabled(if: ProcessInfo.processInfo.environment["ROOST_BENCH"] != nil))
    func cost() {
        func measure(_ name: String, _ crowd: inout Crowd, _ count: Int, _ body: (inout Crowd) -> Void) {
            var best = Double.infinity
            for _ in 0..<5 {
                let before = crowd.events
                let clock = ContinuousClock()
                let elapsed = clock.measure { for _ in 0..<count { body(&crowd) } }
                let events = Double(crowd.events - before)
                let (seconds, attoseconds) = elapsed.components
                best = min(best, (Double(seconds) * 1e9 + Double(attoseconds) / 1e9) / events)
            }
            print("\(name): \(Int(best.rounded())) ns for each event")
        }
        var (crowd, functions) = warm()
        measure("warm: a call comes and ends", &crowd, 200_000) {
            $0.arrive($0.function(functions))
            $0.finish()
        }
        measure("cold: nine calls of ten start a worker and evict another", &crowd, 20_000) {
            $0.arrive($0.function(1...Crowd.functions))
            $0.settle()
            $0.finish()
        }
        var full = Crowd()
        for _ in 0..<5000 { full.arrive(full.function(1...Crowd.functions), waitMax: nil) }
        full.settle()
        measure("short: all places are taken, thousands of functions wait", &full, 20_000) {
            $0.arrive($0.function(1...Crowd.functions))
            $0.finish()
            $0.settle()
        }
        print("queued in the end: \(full.scheduler.host.queued), waiting: \(full.scheduler.host.poolsWaitingForStart)")
    }
}
