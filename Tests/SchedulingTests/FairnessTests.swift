import Domain
import Scheduling
import Testing

@Suite("Fairness and admission")
struct FairnessTests {
    private func world(workers: Int, _ change: (inout HostLimits) -> Void = { _ in }) -> World {
        var limits = HostLimits()
        limits.workersMax = workers
        change(&limits)
        return World(limits: limits)
    }

    private func busy(_ world: World, _ pool: UInt32) -> Int {
        world.workers.values.count { $0.pool == PoolID(pool) && !$0.running.isEmpty }
    }

    @Test("a burst of one function does not keep another waiting: it gets its half within a few of the burst's calls")
    func burst() {
        let world = world(workers: 8)
        world.timing.service = { _ in .milliseconds(500) }
        for id in UInt32(1)...2 { world.add(PoolID(id), PoolSettings(function: .init(Int64(id)))) }
        for _ in 0..<400 { world.arrive(PoolID(1), waitMax: nil) }
        world.advance(.seconds(10))
        #expect(busy(world, 1) == 8)
        let first = world.arrive(PoolID(2))
        for _ in 0..<100 { world.arrive(PoolID(2), waitMax: nil) }
        world.advance(.seconds(2))
        #expect(world.outcome(first) == .finished)
        world.advance(.seconds(2))
        #expect(busy(world, 1) == 4)
        #expect(busy(world, 2) == 4)
        #expect(world.stops.count { $0.reason == .yielded(to: PoolID(2)) } == 4)
        world.advance(.seconds(2))
        #expect(world.stops.count == 4, "the places stay where they are")
        #expect(world.violations.isEmpty, "\(world.violations)")
    }

    @Test("two functions share a single place in turn, and not at every call")
    func singlePlace() {
        let world = world(workers: 1)
        world.timing.service = { _ in .milliseconds(100) }
        for id in UInt32(1)...2 { world.add(PoolID(id), PoolSettings(function: .init(Int64(id)))) }
        var ids: [[InvocationID]] = [[], []]
        for _ in 0..<1000 {
            for id in 0..<2 { ids[id].append(world.arrive(PoolID(UInt32(id + 1)), waitMax: nil)) }
        }
        world.advance(.seconds(60))
        let served = ids.map { $0.count { world.outcome($0) == .finished } }
        #expect(served.min()! > 200, "\(served)")
        #expect(abs(served[0] - served[1]) < 40, "\(served)")
        #expect((10...60).contains(world.starts.count), "\(world.starts.count)")
        #expect(world.violations.isEmpty, "\(world.violations)")
    }

    @Test("memory counts as well as places: who needs four times as much gets a quarter of the workers")
    func memory() {
        let world = world(workers: 100) { $0.memoryMegabytesMax = 1600 }
        world.timing.service = { _ in .milliseconds(500) }
        for (id, memory) in [(1, 100), (2, 400)] {
            world.add(PoolID(UInt32(id)), PoolSettings(function: .init(Int64(id)), memoryMegabytes: memory))
        }
        for _ in 0..<600 { for id in UInt32(1)...2 { world.arrive(PoolID(id), waitMax: nil) } }
        world.advance(.seconds(20))
        #expect(busy(world, 1) == 8)
        #expect(busy(world, 2) == 2)
        #expect(world.violations.isEmpty, "\(world.violations)")
    }

    @Test("what a function had while nobody waited gives others no claim")
    func noClaim() {
        let world = world(workers: 4)
        world.timing.service = { _ in .milliseconds(500) }
        for id in UInt32(1)...2 { world.add(PoolID(id), PoolSettings(function: .init(Int64(id)))) }
        for _ in 0..<800 { world.arrive(PoolID(1), waitMax: nil) }
        world.advance(.seconds(60))
        for _ in 0..<200 { world.arrive(PoolID(2), waitMax: nil) }
        world.advance(.seconds(10))
        #expect(busy(world, 1) == 2)
        #expect(busy(world, 2) == 2)
    }

    @Test("trainings leave the room of the largest inference worker, one place and one start")
    func training() {
        var script = Script {
            $0.memoryMegabytesMax = 1000
            $0.trainingConcurrency = 3
            $0.startsInFlightMax = 2
        }
        script.pool(1, memory: 300)
        for id in UInt32(2)...3 { script.pool(id, memory: 400, isTraining: true) }
        #expect(script.arrive(2, waitMax: nil) == ["start w1 p2"])
        script.ready(1)
        #expect(script.arrive(3, waitMax: nil) == [], "800 + 300 MB are more than there are")
        #expect(script.arrive(1) == ["start w2 p1"])
        script.pool(4, memory: 900, isTraining: true)
        script.ready(2)
        script.finish(2)
        #expect(script.finish(1) == ["stop w1 evicted for p3"])
        #expect(script.exit(1) == ["start w3 p3"])
        #expect(script.arrive(2, waitMax: nil) == [])
    }

    @Test("a training that fits only alone may have all")
    func largeTraining() {
        var script = Script { $0.memoryMegabytesMax = 1000 }
        script.pool(1, memory: 300)
        script.pool(2, memory: 900, isTraining: true)
        #expect(script.arrive(2, waitMax: nil) == ["start w1 p2"])
    }

    @Test("who would wait longer than it may is refused at once, and who would not is not")
    func admission() {
        var script = Script()
        script.pool(1, reserved: 1)
        script.arrive(1)
        script.ready(1)
        script.pass(2)
        script.finish(1)
        // One runs for 2 s, the second waits for 2 s, the third for 4 s.
        #expect(script.arrive(1, waitMax: 5) == ["run 2 w1"])
        #expect(script.arrive(1, waitMax: 5) == [])
        #expect(script.arrive(1, waitMax: 5) == [])
        #expect(script.arrive(1, waitMax: 5) == ["refuse 5 would wait 6.0"])
        #expect(script.arrive(1, waitMax: 7) == [])
        #expect(script.arrive(1, waitMax: nil) == [])
        script.pass(1)
        #expect(script.arrive(1, waitMax: 8) == ["refuse 8 would wait 9.0"])
    }

    @Test("nobody is refused for a wait that another worker would end")
    func admissionWithRoom() {
        var script = Script()
        script.pool(1)
        script.arrive(1)
        script.pass(0.5)
        script.ready(1)
        script.pass(60)
        script.finish(1)
        script.arrive(1)
        #expect(script.arrive(1, waitMax: 2) == ["start w2 p1"])
        #expect(script.arrive(1, waitMax: 2) == ["start w3 p1"])
        #expect(script.arrive(1, waitMax: 2) == ["start w4 p1"])
    }
}

@Suite("Breaker and hand-over")
struct BreakerTests {
    @Test(
        "workers that crash one after the other stop the starts; one is tried after each pause, and an answer ends it")
    func crashLoop() {
        var script = Script { $0.crashesMax = 3 }
        script.pool(1)
        for worker in UInt64(1)...3 {
            #expect(script.arrive() == ["start w\(worker) p1"])
            script.ready(worker)
            #expect(script.exit(worker, .crashed) == [])
        }
        #expect(script.arrive() == ["refuse 4 backoff until 1000"])
        #expect(script.arrive(waitMax: nil) == [], "an execution waits for the pause to end")
        #expect(script.after(0.999) == [])
        #expect(script.after(0.001) == ["start w4 p1"])
        #expect(script.arrive() == [], "half-open: one is tried")
        script.pass(1)
        #expect(script.ready(4) == ["run 5 w4"])
        #expect(script.exit(4, .crashed) == ["refuse 6 backoff until 4000"])
        #expect(script.arrive() == ["refuse 7 backoff until 4000"])
        script.pass(2)
        #expect(script.arrive() == ["start w5 p1"])
        #expect(script.ready(5) == ["run 8 w5"])
        script.finish(5)
        script.arrive()
        script.exit(5, .crashed)
        #expect(script.arrive() == ["start w6 p1"], "an answer has ended the pause, and the count")
    }

    @Test("an answer in between ends the count")
    func counted() {
        var script = Script { $0.crashesMax = 2 }
        script.pool(1)
        for worker in UInt64(1)...6 {
            #expect(script.arrive() == ["start w\(worker) p1"])
            script.ready(worker)
            script.finish(worker)
            script.arrive()
            script.exit(worker, .crashed)
        }
    }

    @Test("after a redeploy as many workers start as the old version had in use, and what they lack in room is left")
    func handOver() {
        var script = Script { $0.workersMax = 5 }
        script.pool(1, function: 7)
        for worker in UInt64(1)...2 {
            script.arrive(1)
            if worker == 2 { script.after(1) }
            script.ready(worker)
        }
        script.pool(2, function: 7)
        #expect(
            script.run { $0.prepare(PoolID(2), inPlaceOf: PoolID(1), at: $1, into: &$2) } == [
                "start w3 p2", "start w4 p2",
            ])
        #expect(script.scheduler.status(of: WorkerID(3))?.cause == .redeploy)
        script.run { $0.drainPool(PoolID(1), at: $1, into: &$2) }
        script.ready(3)
        script.ready(4)
        #expect(script.after(59) == [], "they are kept for a minute")
        #expect(script.arrive(2) == ["run 3 w4"])
    }

    @Test("a start that nobody waited for fails unseen, and the next call gets its own")
    func failsUnseen() {
        var script = Script()
        script.pool(1, function: 7)
        script.arrive(1)
        script.ready(1)
        script.finish(1)
        script.pool(2, function: 7)
        script.run { $0.prepare(PoolID(2), inPlaceOf: PoolID(1), at: $1, into: &$2) }
        script.exit(2, .initFailed)
        #expect(script.arrive(2) == ["start w3 p2"])
        #expect(script.exit(3, .initFailed) == ["refuse 2 init failed w3"])
    }
}
