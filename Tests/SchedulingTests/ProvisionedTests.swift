import Domain
import Scheduling
import Testing

@Suite("Provisioned workers")
struct ProvisionedTests {
    @Test("they are started before anybody calls, run what comes, and do not expire")
    func ahead() {
        var script = Script()
        script.pool(1, keepAlive: 1)
        #expect(script.provision(2) == ["start w1 p1", "start w2 p1"])
        script.ready(1)
        script.ready(2)
        #expect(script.after(10_000) == [])
        #expect(script.arrive() == ["run 1 w2"])
        #expect(script.finish(2) == [])
        #expect(script.after(10_000) == [])
        let status = script.scheduler.status(of: PoolID(1))
        #expect(status?.idle == 2)
        #expect(status?.keptReady == 2)
    }

    @Test("a keep-alive of zero stops those beyond the provision only")
    func zeroKeepAlive() {
        var script = Script()
        script.pool(1, keepAlive: 0)
        script.provision(1)
        script.ready(1)
        script.arrive()
        script.pass(10)
        #expect(script.arrive() == ["start w2 p1"])
        #expect(script.ready(2) == ["run 2 w2"])
        #expect(script.finish(2) == ["stop w2 keep-alive"])
        #expect(script.finish(1) == [])
        #expect(script.after(1000) == [])
    }

    @Test("workers that are there already are kept, and released ones expire")
    func adopted() {
        var script = Script()
        script.pool(1, keepAlive: 5)
        #expect(script.arrive() == ["start w1 p1"])
        script.ready(1)
        script.finish(1)
        #expect(script.provision(2) == ["start w2 p1"])
        script.ready(2)
        #expect(script.after(100) == [])
        #expect(script.provision(1) == [])
        #expect(script.after(4.9) == [])
        #expect(script.after(0.2) == ["stop w2 keep-alive"])
        #expect(script.provision(0) == [])
        #expect(script.after(5.1) == ["stop w1 keep-alive"])
    }

    @Test("they make no room for other pools, on the host and within a function")
    func notEvicted() {
        var script = Script { $0.workersMax = 2 }
        script.pool(1)
        script.provision(2)
        script.ready(1)
        script.ready(2)
        script.pool(2)
        #expect(script.arrive(2) == [])
        #expect(script.after(31) == ["refuse 1 waited"])
        #expect(script.provision(1) == [])
        #expect(script.arrive(2) == ["stop w2 evicted for p2"])
        #expect(script.exit(2) == ["start w3 p2"])
    }

    @Test("they need room themselves: idle workers of others are evicted, limits and the start rate hold")
    func room() {
        var script = Script {
            $0.workersMax = 3
            $0.startsInFlightMax = 1
        }
        script.pool(1)
        script.pool(2)
        script.arrive(2)
        script.ready(1)
        script.finish(1)
        #expect(script.provision(3) == ["start w2 p1"])
        #expect(script.ready(2) == ["start w3 p1"])
        #expect(script.ready(3) == ["stop w1 evicted for p1"])
        #expect(script.exit(1) == ["start w4 p1"])
    }

    @Test("reserved concurrency holds for them, and an old version's idle workers leave")
    func reserved() {
        var script = Script()
        script.pool(1, function: 7, reserved: 2)
        script.arrive()
        script.arrive()
        script.ready(1)
        script.finish(1)
        script.pool(2, function: 7, reserved: 2)
        #expect(script.provision(2, 2) == ["start w2 p2"])
        script.ready(2)
        #expect(script.finish(1) == ["stop w1 evicted for p2"])
        #expect(script.exit(1) == ["start w3 p2"])
    }

    @Test("one that ends is replaced, after the pause of a failed init if it never was ready")
    func replaced() {
        var script = Script()
        script.pool(1)
        script.provision(1)
        script.ready(1)
        #expect(script.exit(1, .crashed) == ["start w2 p1"])
        #expect(script.exit(2, .initFailed) == [])
        #expect(script.after(0.9) == [])
        #expect(script.after(0.2) == ["start w3 p1"])
        #expect(script.exit(3, .initFailed) == [])
        #expect(script.scheduler.status(of: PoolID(1))?.backoffUntil != nil)
        #expect(script.after(1.9) == [])
        #expect(script.after(0.2) == ["start w4 p1"])
        script.ready(4)
        // Killed by the caller, as after a timeout.
        #expect(script.run { $0.workerStopping(WorkerID(4), at: $1, into: &$2) } == ["start w5 p1"])
    }

    @Test("an ordinary worker takes the place of one that ends")
    func adoptedAtExit() {
        var script = Script()
        script.pool(1, keepAlive: 5)
        script.provision(1)
        script.ready(1)
        script.arrive()
        script.pass(10)
        #expect(script.arrive() == ["start w2 p1"])
        script.ready(2)
        script.finish(2)
        #expect(script.exit(1, .crashed) == [])
        #expect(script.after(100) == [])
    }

    @Test("a pool that drains, and a host that ends, keep nothing")
    func ends() {
        var script = Script()
        script.pool(1)
        script.pool(2)
        script.provision(1)
        script.provision(1, 2)
        script.ready(1)
        #expect(script.run { $0.drainPool(PoolID(1), at: $1, into: &$2) } == ["stop w1 drain"])
        #expect(script.exit(1) == ["drained p1"])
        #expect(script.provision(3) == [])
        #expect(script.run { $0.shutdown(at: $1, into: &$2) } == ["stop w2 shutdown"])
        #expect(script.provision(2, 2) == [])
        #expect(script.exit(2) == ["all stopped"])
    }

    @Test("what never fits is not tried")
    func neverFits() {
        var script = Script { $0.memoryMegabytesMax = 100 }
        script.pool(1, memory: 128)
        #expect(script.provision(1) == [])
        #expect(script.after(100) == [])
    }
}
