import Domain
import Scheduling
import Testing

@Suite("Dispatch and queues")
struct DispatchTests {
    @Test("a cold pool starts one worker, and its first ready slot takes the first in the queue")
    func coldStart() {
        var script = Script()
        script.pool(1)
        #expect(script.arrive() == ["start w1 p1"])
        #expect(script.arrive() == [])
        #expect(script.ready(1) == ["run 1 w1"])
        #expect(script.finish(1) == ["run 2 w1"])
        #expect(script.finish(1) == [])
        #expect(script.arrive() == ["run 3 w1"])
    }

    @Test("the most recently used idle worker is first")
    func mostRecentlyUsed() {
        var script = Script()
        script.pool(1)
        script.arrive()
        script.pass(0.1)
        script.ready(1)
        script.arrive()
        #expect(script.after(1) == ["start w2 p1"])
        script.ready(2)
        script.finish(1)
        script.finish(2)
        #expect(script.arrive() == ["run 3 w2"])
        #expect(script.arrive() == ["run 4 w1"])
        script.finish(2)
        script.finish(1)
        #expect(script.arrive() == ["run 5 w1"])
    }

    @Test("a worker with several slots takes several at once, and no more than reserved concurrency allows")
    func slots() {
        var script = Script()
        script.pool(1, reserved: 3, concurrency: 4)
        script.arrive()
        for _ in 2...4 { script.arrive() }
        #expect(script.ready(1) == ["run 1 w1", "run 2 w1.1", "run 3 w1.2"])
        #expect(script.after(20) == [])  // a second worker would be of no use
        #expect(script.finish(1, slot: 1) == ["run 4 w1.1"])
    }

    @Test("a full queue refuses at once, for calls and executions apart")
    func queueFull() {
        var script = Script()
        script.pool(1, capacity: 2)
        for _ in 1...2 { script.arrive() }
        #expect(script.arrive() == ["refuse 3 queue full 2"])
        script.arrive(waitMax: nil)
        script.arrive(waitMax: nil)
        #expect(script.arrive(waitMax: nil) == ["refuse 6 queue full 2"])
    }

    @Test(
        "an invocation is refused when the limit to its wait has passed, and not before",
        arguments: [(1.0, 0.999, []), (1, 1, ["refuse 1 waited"]), (100, 29.9, []), (100, 30, ["refuse 1 waited"])]
            as [(Double, Double, [String])])
    func queueWait(waitMax: Double, passed: Double, expected: [String]) {
        var script = Script()
        script.pool(1)
        script.arrive(waitMax: waitMax)
        #expect(script.wake == .zero + .seconds(min(waitMax, 30)))
        #expect(script.after(passed) == expected)
    }

    @Test("an execution waits without limit")
    func unlimited() {
        var script = Script()
        script.pool(1)
        script.arrive(waitMax: nil)
        #expect(script.wake == nil)
        #expect(script.after(1_000_000) == [])
        #expect(script.ready(1) == ["run 1 w1"])
    }

    @Test("a cancelled invocation is forgotten, and the next one is first")
    func cancelled() {
        var script = Script()
        script.pool(1)
        script.arrive()
        script.arrive()
        #expect(script.run { $0.invocationCancelled(InvocationID(1), at: $1, into: &$2) } == [])
        #expect(script.ready(1) == ["run 2 w1"])
        #expect(script.run { $0.invocationCancelled(InvocationID(2), at: $1, into: &$2) } == [])
    }

    @Test("reserved concurrency 0 refuses at once, and what was queued when it is set")
    func reservedZero() {
        var script = Script()
        script.pool(1, function: 7, reserved: 0)
        #expect(script.arrive() == ["refuse 1 reserved zero"])
        script.run { $0.updateFunction(.init(7), reservedConcurrency: 2, at: $1, into: &$2) }
        #expect(script.arrive() == ["start w1 p1"])
        #expect(
            script.run { $0.updateFunction(.init(7), reservedConcurrency: 0, at: $1, into: &$2) }
                == ["refuse 2 reserved zero"])
    }

    @Test("lowered reserved concurrency stops idle workers above it, and lets busy ones finish")
    func reservedLowered() {
        var script = Script()
        script.pool(1, function: 7, reserved: 3)
        script.arrive()
        script.pass(0.1)
        script.ready(1)
        script.arrive()
        #expect(script.after(1) == ["start w2 p1"])
        script.ready(2)
        script.finish(1)
        #expect(
            script.run { $0.updateFunction(.init(7), reservedConcurrency: 1, at: $1, into: &$2) } == ["stop w1 lowered"]
        )
        script.exit(1)
        #expect(script.finish(2) == [])
        #expect(script.arrive() == ["run 3 w2"])
    }

    @Test("an invocation that can never fit, or has no pool, is refused")
    func neverFits() {
        var script = Script { $0.memoryMegabytesMax = 1000 }
        script.pool(1, memory: 1001)
        #expect(script.arrive() == ["refuse 1 never fits 1001 1000"])
        #expect(script.arrive(9) == ["refuse 2 gone"])
    }

    @Test("late, repeated and invented events change nothing")
    func strayEvents() {
        var script = Script()
        script.pool(1)
        script.arrive()
        #expect(script.finish(1) == [])
        script.ready(1)
        #expect(script.ready(1) == [])
        script.finish(1)
        #expect(script.finish(1) == [])
        #expect(script.finish(1, slot: 65) == [])
        #expect(script.exit(9, .crashed) == [])
        script.exit(1, .crashed)
        #expect(script.exit(1, .crashed) == [])
        #expect(script.scheduler.host.workers == 0)
    }
}
