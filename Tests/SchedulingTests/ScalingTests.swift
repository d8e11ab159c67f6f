import Domain
import Scheduling
import Testing

@Suite("Scaling and limits")
struct ScalingTests {
    @Test("a hundred calls to a sleeping function with reserved concurrency 4 are all answered by at most 4 workers")
    func burst() {
        let world = World()
        world.add(PoolID(1), PoolSettings(function: .init(1), reservedConcurrency: 4))
        for _ in 0..<100 { world.arrive(PoolID(1)) }
        #expect(world.starts.count == 1)
        world.advance(.seconds(5))
        #expect(world.count { $0 == .finished } == 100)
        #expect((2...4).contains(world.starts.count))
        #expect(world.violations.isEmpty, "\(world.violations)")
    }

    @Test("a hundred calls that one worker serves before another is ready cause one cold start")
    func oneColdStart() {
        let world = World()
        world.timing.coldStart = { _ in .seconds(1) }
        world.timing.service = { _ in .milliseconds(5) }
        world.add(PoolID(1), PoolSettings(function: .init(1)))
        for _ in 0..<100 { world.arrive(PoolID(1)) }
        world.advance(.seconds(5))
        #expect(world.count { $0 == .finished } == 100)
        #expect(world.starts.count == 1)
    }

    @Test("a second call beside one that runs long gets a worker of its own, although no service time is known")
    func unknownServiceTime() {
        let world = World()
        world.timing.service = { _ in .seconds(10) }
        world.add(PoolID(1), PoolSettings(function: .init(1)))
        let first = world.arrive(PoolID(1))
        let second = world.arrive(PoolID(1))
        world.advance(.seconds(1))
        #expect(world.starts.count == 2)
        for id in [first, second] {
            if case .running? = world.outcome(id) {} else { Issue.record("\(id) does not run") }
        }
        world.advance(.seconds(60))
        #expect(world.starts.count == 2)
    }

    @Test("one long invocation is noticed although the mean is short")
    func stuck() {
        let world = World()
        world.timing.service = { $0.value == 21 ? .seconds(20) : .milliseconds(10) }
        world.add(PoolID(1), PoolSettings(function: .init(1)))
        for _ in 0..<20 {
            world.arrive(PoolID(1))
            world.advance(.seconds(1))
        }
        #expect(world.starts.count == 1)
        world.arrive(PoolID(1))
        let behind = world.arrive(PoolID(1))
        world.advance(.seconds(1))
        #expect(world.outcome(behind) == .finished)
        #expect(world.starts.count == 2)
    }

    @Test("starting workers are never more than the queued invocations could use", arguments: [1, 4])
    func noUselessStarts(concurrency: Int) {
        let world = World()
        world.timing.service = { _ in .seconds(30) }
        world.add(PoolID(1), PoolSettings(function: .init(1), workerConcurrency: concurrency))
        for _ in 0..<(3 * concurrency) { world.arrive(PoolID(1)) }
        world.advance(.seconds(5))
        #expect(world.starts.count == 3)
    }

    @Test("starts in flight and the start rate are limited, and the rate wakes the scheduler")
    func startLimits() {
        var script = Script {
            $0.startsInFlightMax = 2
            $0.startsPerSecond = 1
            $0.startsBurst = 3
        }
        for id in UInt32(1)...5 { script.pool(id) }
        #expect(script.arrive(1) + script.arrive(2) + script.arrive(3) == ["start w1 p1", "start w2 p2"])
        script.arrive(4)
        script.arrive(5)
        #expect(script.ready(1) == ["run 1 w1", "start w3 p3"])
        #expect(script.ready(2) == ["run 2 w2"])
        #expect(script.wake == .zero + .seconds(1))
        #expect(script.after(0.999) == [])
        #expect(script.after(0.001) == ["start w4 p4"])
        #expect(script.ready(3) == ["run 3 w3"])
        #expect(script.after(1) == ["start w5 p5"])
    }

    @Test("the host's worker limit evicts the longest idle worker of another pool, and the start waits for its exit")
    func workersMax() {
        var script = Script { $0.workersMax = 2 }
        for id in UInt32(1)...3 {
            script.pool(id)
            script.pass(1)
        }
        for id in UInt64(1)...2 {
            script.arrive(UInt32(id))
            script.ready(id)
        }
        #expect(script.arrive(3) == [])  // both busy: it waits
        script.finish(2)
        #expect(script.scheduler.host.poolsWaitingForStart == 1)
        #expect(script.exit(2) == ["start w3 p3"])
    }

    @Test("memory: only as many idle workers are evicted as the start needs, least recently used first")
    func memory() {
        var script = Script { $0.memoryMegabytesMax = 1000 }
        for id in UInt32(1)...3 {
            script.pool(id, memory: 300)
            script.arrive(id)
            script.ready(UInt64(id))
            script.pass(1)
            script.finish(UInt64(id))
        }
        script.pool(4, memory: 600)
        #expect(script.arrive(4) == ["stop w1 evicted for p4", "stop w2 evicted for p4"])
        #expect(script.exit(2) == [])
        #expect(script.exit(1) == ["start w4 p4"])
    }

    @Test("nothing is evicted for a start that would not fit even then")
    func memoryInUse() {
        var script = Script { $0.memoryMegabytesMax = 1000 }
        script.pool(1, memory: 300)
        script.pool(2, memory: 300)
        script.arrive(1)
        script.arrive(2)
        script.ready(1)
        script.ready(2)
        script.finish(2)
        script.pool(3, memory: 800)
        #expect(script.arrive(3) == [])
        #expect(script.finish(1) == ["stop w2 evicted for p3", "stop w1 evicted for p3"])
    }

    @Test("a large start that cannot fit lets smaller ones pass while a training or an execution is in its way")
    func passesBy() {
        var script = Script { $0.memoryMegabytesMax = 1000 }
        script.pool(1, memory: 600, isTraining: true)
        script.arrive(1, waitMax: nil)
        script.ready(1)
        script.pool(2, memory: 500)
        script.pool(3, memory: 100)
        #expect(script.arrive(2, waitMax: nil) == [])
        #expect(script.after(100) == [])
        #expect(script.arrive(3) == ["start w2 p3"])
        script.ready(2)
        #expect(script.finish(1) == ["stop w1 evicted for p2"])
        #expect(script.exit(1) == ["start w3 p2"])
    }

    @Test("smaller starts pass one whose callers wait for memory in use, but only for a while")
    func passesByForAWhile() {
        var script = Script { $0.memoryMegabytesMax = 1000 }
        script.pool(1, memory: 600)
        script.arrive(1)
        script.ready(1)
        script.pool(2, memory: 500)
        for id in UInt32(3)...4 { script.pool(id, memory: 100) }
        script.arrive(2)
        script.pass(4.9)
        #expect(script.arrive(3) == ["start w2 p3"])
        script.ready(2)
        script.pass(0.1)
        #expect(script.arrive(4) == [])
        #expect(script.finish(1) == ["stop w1 evicted for p2", "start w3 p4"])
        #expect(script.exit(1) == ["start w4 p2"])
    }

    @Test("after an alias move the old version's idle workers make room within the reserved concurrency")
    func aliasMove() {
        var script = Script()
        script.pool(1, function: 7, reserved: 1)
        script.arrive(1)
        script.ready(1)
        script.finish(1)
        script.pool(2, function: 7, reserved: 1)
        #expect(script.arrive(2) == ["stop w1 evicted for p2"])
        #expect(script.exit(1) == ["start w2 p2"])
        #expect(script.ready(2) == ["run 2 w2"])
    }

    @Test("an old version's busy worker makes room as soon as it is idle")
    func aliasMoveWhileBusy() {
        var script = Script()
        script.pool(1, function: 7, reserved: 1)
        script.arrive(1)
        script.ready(1)
        script.pool(2, function: 7, reserved: 1)
        #expect(script.arrive(2) == [])
        #expect(script.finish(1) == ["stop w1 evicted for p2"])
        #expect(script.exit(1) == ["start w2 p2"])
    }

    @Test("a version that is always busy gives up its worker for one that waits without any", arguments: [1, 2])
    func yields(concurrency: Int) {
        let world = World()
        world.timing.service = { _ in .seconds(1) }
        for id in UInt32(1)...2 {
            world.add(
                PoolID(id),
                PoolSettings(function: .init(7), reservedConcurrency: concurrency, workerConcurrency: concurrency))
        }
        world.arrive(PoolID(1))
        let other = world.arrive(PoolID(2))
        for _ in 0..<60 {
            for _ in 0..<concurrency { world.arrive(PoolID(1), waitMax: nil) }
            world.advance(.milliseconds(500))
        }
        #expect(world.outcome(other) == .finished)
        #expect(world.stops.contains { $0.reason == .yielded(to: PoolID(2)) })
        #expect(world.violations.isEmpty, "\(world.violations)")
    }

    @Test("pools that wait for room take turns")
    func turns() {
        let world = World(
            limits: {
                var limits = HostLimits(); limits.workersMax = 4; return limits
            }())
        world.timing.service = { _ in .seconds(2) }
        for id in UInt32(1)...2 { world.add(PoolID(id), PoolSettings(function: .init(Int64(id)))) }
        for id in UInt32(1)...2 { for _ in 0..<20 { world.arrive(PoolID(id)) } }
        world.advance(.seconds(3))
        #expect(world.starts.map(\.pool.value).sorted() == [1, 1, 2, 2])
    }

    @Test("trainings have a limit of their own, take turns, and evict no inference worker")
    func training() {
        var script = Script { $0.memoryMegabytesMax = 1000 }
        script.pool(1, memory: 500)
        script.arrive(1)
        script.ready(1)
        script.finish(1)
        for id in UInt32(2)...3 { script.pool(id, memory: 600, isTraining: true) }
        #expect(script.arrive(2, waitMax: nil) == [])
        #expect(script.arrive(3, waitMax: nil) == [])
        #expect(script.arrive(2, waitMax: nil) == [])
        #expect(script.after(300) == ["stop w1 keep-alive"])
        #expect(script.exit(1) == ["start w2 p2"])
        #expect(script.ready(2) == ["run 2 w2"])
        #expect(script.finish(2) == ["stop w2 yielded to p3"])
        #expect(script.exit(2) == ["start w3 p3"])
        script.ready(3)
        #expect(script.finish(3) == ["stop w3 evicted for p2"])
        #expect(script.exit(3) == ["start w4 p2"])
    }
}
