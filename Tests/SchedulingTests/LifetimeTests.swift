import Domain
import Scheduling
import Testing

@Suite("Keep-alive, failures and ends")
struct LifetimeTests {
    @Test(
        "an idle worker is stopped when its keep-alive has passed, and not before",
        arguments: [
            (1.0, 0.999, []), (1, 1, ["stop w1 keep-alive"]), (nil, 511, []), (nil, 512, ["stop w1 keep-alive"]),
        ]
            as [(Double?, Double, [String])])
    func keepAlive(seconds: Double?, idle: Double, expected: [String]) {
        var script = Script()
        script.pool(1, keepAlive: seconds)
        script.arrive(waitMax: nil)  // with a limit, its wake would still be there
        script.ready(1)
        script.pass(5)
        script.finish(1)
        // 512 s is what is learned from nothing.
        #expect(script.wake == script.now + .seconds(seconds ?? 512))
        #expect(script.after(idle) == expected)
    }

    @Test("keep-alive 0 stops a worker as soon as nothing is queued")
    func keepAliveZero() {
        var script = Script()
        script.pool(1, keepAlive: 0)
        script.arrive()
        script.arrive()
        script.ready(1)
        #expect(script.finish(1) == ["run 2 w1"])
        #expect(script.finish(1) == ["stop w1 keep-alive"])
    }

    @Test("keep-alive counts from the last use, with one wake for many invocations")
    func lastUse() {
        var script = Script()
        script.pool(1, keepAlive: 10)
        script.arrive()
        script.ready(1)
        script.finish(1)
        script.pass(9)
        script.arrive()
        #expect(script.wake == nil)
        script.finish(1)
        #expect(script.wake == nil)
        #expect(script.after(1) == [])
        #expect(script.wake == script.now + .seconds(9))
        #expect(script.after(9) == ["stop w1 keep-alive"])
    }

    @Test("a tick before its time asks for the same wake again")
    func earlyTick() {
        var script = Script()
        script.pool(1)
        script.arrive()
        #expect(script.wake == .zero + .seconds(30))
        #expect(script.after(29) == [])
        #expect(script.wake == .zero + .seconds(30))
    }

    @Test("the worker is replaced after a crash only when something is queued", arguments: [false, true])
    func crash(isQueued: Bool) {
        var script = Script()
        script.pool(1)
        script.arrive()
        script.ready(1)
        if isQueued { script.arrive() }
        #expect(script.exit(1, .crashed) == (isQueued ? ["start w2 p1"] : []))
        if !isQueued { #expect(script.arrive() == ["start w2 p1"]) }
    }

    @Test("a worker that the caller kills takes nothing more and counts until its exit")
    func killed() {
        var script = Script()
        script.pool(1, reserved: 1)
        script.arrive()
        script.ready(1)
        script.arrive()
        #expect(script.run { $0.workerStopping(WorkerID(1), at: $1, into: &$2) } == [])
        #expect(script.finish(1) == [])
        #expect(script.exit(1) == ["start w2 p1"])
    }

    @Test(
        "an exit before ready is a failed init unless the worker was told to stop",
        arguments: [
            (ExitReason.initFailed, false, true), (.crashed, false, true), (.stopped, false, true),
            (.initFailed, true, true), (.crashed, true, false), (.stopped, true, false),
        ])
    func initFailure(reason: ExitReason, isTold: Bool, isFailure: Bool) {
        var script = Script { $0.startsInFlightMax = 1 }
        script.pool(1, reserved: 1)
        script.arrive()
        script.arrive(waitMax: nil)
        if isTold { script.run { $0.workerStopping(WorkerID(1), at: $1, into: &$2) } }
        #expect(
            script.exit(1, reason)
                == (isFailure ? ["refuse 1 init failed w1", "refuse 2 init failed w1"] : ["start w2 p1"]))
    }

    @Test("after a failed init calls are refused and executions wait, for 1 s, then 2 s, up to 60 s")
    func backoff() {
        var script = Script()
        script.pool(1)
        script.arrive(waitMax: nil)
        var worker: UInt64 = 1
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] as [Double] {
            script.exit(worker, .initFailed)
            let refused = script.arrive().first ?? ""
            let until = Int(script.now.nanoseconds / 1_000_000) + Int(pause * 1000)
            #expect(refused.hasSuffix("backoff until \(until)"))
            #expect(script.arrive(waitMax: nil) == [])
            #expect(script.after(pause - 0.001) == [])
            worker += 1
            #expect(script.after(0.001) == ["start w\(worker) p1"])
        }
        script.ready(worker)
        script.exit(worker, .crashed)
        script.arrive()
        #expect(script.exit(worker + 1, .initFailed).count == 1)
        #expect(script.scheduler.status(of: PoolID(1))?.backoffUntil == script.now + .seconds(1))
    }

    @Test("a failed start beside a ready worker refuses nothing")
    func failureBesideReady() {
        var script = Script()
        script.pool(1)
        script.arrive()
        script.pass(0.1)
        script.ready(1)
        script.arrive()
        #expect(script.after(1) == ["start w2 p1"])
        #expect(script.exit(2, .initFailed) == [])
        #expect(script.arrive() == [])
        #expect(script.finish(1) == ["run 2 w1"])
    }

    @Test("workers that fail together are one failure")
    func failTogether() {
        var script = Script()
        script.pool(1)
        script.arrive()
        script.pass(0.1)
        script.ready(1)
        script.pass(1)
        script.finish(1)
        script.exit(1, .crashed)
        for _ in 0..<3 { script.arrive() }  // 1 s of service, 0.1 s to start: each gets a worker
        #expect(script.scheduler.host.startsInFlight == 3)
        script.pass(0.1)
        for worker in UInt64(2)...4 { script.exit(worker, .initFailed) }
        #expect(script.scheduler.status(of: PoolID(1))?.backoffUntil == script.now + .seconds(1))
    }

    @Test("a draining pool answers what is queued, stops its workers and is gone")
    func drain() {
        var script = Script()
        script.pool(1)
        for _ in 1...2 { script.arrive() }
        #expect(script.run { $0.drainPool(PoolID(1), at: $1, into: &$2) } == [])
        #expect(script.arrive() == ["refuse 3 gone"])
        script.ready(1)
        #expect(script.finish(1) == ["run 2 w1"])
        #expect(script.exit(1, .crashed) == ["drained p1"])
        #expect(script.scheduler.poolIDs.isEmpty)
        #expect(script.pool(1) == [])
    }

    @Test("a draining pool stops idle and starting workers at once, and starts one for what is queued")
    func drainIdle() {
        var script = Script()
        script.pool(1)
        script.pool(2)
        script.arrive(1)
        script.ready(1)
        script.finish(1)
        script.arrive(2)
        script.run { $0.invocationCancelled(InvocationID(2), at: $1, into: &$2) }
        #expect(script.run { $0.drainPool(PoolID(1), at: $1, into: &$2) } == ["stop w1 drain"])
        #expect(script.run { $0.drainPool(PoolID(2), at: $1, into: &$2) } == ["stop w2 drain"])
        #expect(script.exit(1) == ["drained p1"])
        #expect(script.exit(2, .crashed) == ["drained p2"])
    }

    @Test("shutdown refuses what is queued, stops what is idle, lets the rest finish, and says when all have stopped")
    func shutdown() {
        var script = Script()
        for id in UInt32(1)...3 { script.pool(id) }
        script.arrive(1)
        script.ready(1)
        script.arrive(1)
        script.arrive(2)
        script.ready(2)
        script.finish(2)
        script.arrive(3)
        #expect(
            script.run { $0.shutdown(at: $1, into: &$2) }
                == ["refuse 2 shutdown", "stop w2 shutdown", "refuse 4 shutdown", "stop w3 shutdown"])
        #expect(script.arrive(1) == ["refuse 5 shutdown"])
        #expect(script.exit(2) + script.exit(3) == [])
        #expect(script.finish(1) == ["stop w1 shutdown"])
        #expect(script.exit(1) == ["all stopped"])
    }

    @Test("shutdown without workers is done at once")
    func shutdownEmpty() {
        var script = Script()
        #expect(script.run { $0.shutdown(at: $1, into: &$2) } == ["all stopped"])
    }

    @Test("a pool and its workers can be looked at")
    func inspection() {
        var script = Script()
        script.pool(1)
        script.arrive()
        script.arrive()
        script.pass(0.5)
        script.ready(1)
        let status = script.scheduler.status(of: PoolID(1))
        #expect(status?.queued == 1 && status?.running == 1 && status?.busy == 1 && status?.coldStartSeconds == 0.5)
        #expect(script.scheduler.workers(of: PoolID(1)).map(\.state) == [.busy(running: 1)])
        #expect(script.scheduler.status(of: WorkerID(1))?.since == .zero + .milliseconds(500))
    }
}
