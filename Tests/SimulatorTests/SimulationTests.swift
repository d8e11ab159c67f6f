import Domain
import Scheduling
import Testing

@testable import Simulator

@Suite("Traces whose outcome was worked out by hand")
struct SimulationTests {
    @Test("a keep-alive shorter than the gap makes every call cold")
    func shortKeepAlive() {
        // Ready at 2, done at 3, idle until 8; ready at 12, done at 13, idle until 18.
        let report = simulate(trace([Call(at: 0, coldStart: 2), Call(at: 10, coldStart: 2)])) {
            $0.keepAlive = .seconds(5)
        }
        #expect(report.finished == 2)
        #expect(report.coldStarts.text == "first 1, keepAlivePassed 1")
        #expect(report.starts.text == "first 1, keepAlivePassed 1")
        #expect(report.starting.seconds == 4)
        #expect(report.idle.seconds == 10)
        #expect(report.busy.seconds == 2)
        #expect(report.waits.p50Seconds == 2)
        #expect(report.waits.maxSeconds == 2)
        #expect(report.spanSeconds == 13)
        #expect(report.workersPeak == 1)
        #expect(report.memoryMegabytesPeak == 1024)
    }

    @Test("a keep-alive longer than the gap makes the second call warm, and costs idle time")
    func longKeepAlive() {
        // Ready at 2, done at 3, idle until 10; done at 11, idle until 26.
        let calls = [Call(at: 0, coldStart: 2), Call(at: 10, coldStart: 2)]
        let report = simulate(trace(calls, memory: [512])) { $0.keepAlive = .seconds(15) }
        #expect(report.coldStarts.text == "first 1")
        #expect(report.idle.seconds == 22)
        #expect(report.idle.gigabyteSeconds == 11)
        #expect(report.busy.gigabyteSeconds == 1)
        #expect(report.waits.p50Seconds == 0)
        #expect(report.waits.p99Seconds == 2)
        #expect(report.spanSeconds == 11)
    }

    @Test("without keep-alive nothing is ever idle")
    func noKeepAlive() {
        let report = simulate(trace((0..<5).map { Call(at: Double($0) * 10) })) { $0.keepAlive = .seconds(0) }
        #expect(report.coldStarts.text == "first 1, keepAlivePassed 4")
        #expect(report.idle.seconds == 0)
        #expect(report.busy.seconds == 5)
    }

    @Test(
        "a call that comes when the keep-alive passes is cold, one just before it is warm",
        arguments: [(11.999, 1), (12, 2), (12.001, 2)])
    func edge(at: Double, coldStarts: Int) {
        // The first ends at 2.
        let report = simulate(trace([Call(at: 0), Call(at: at)])) { $0.keepAlive = .seconds(10) }
        #expect(report.coldStarts.total == coldStarts)
    }

    @Test("time counts from the first arrival")
    func origin() {
        let early = simulate(trace([Call(at: 0), Call(at: 10)]))
        let late = simulate(trace([Call(at: 1_700_000_000), Call(at: 1_700_000_010)]))
        #expect(early == late)
    }

    @Test("calls in any order are replayed by their arrival")
    func order() {
        let calls = (0..<50).map { Call(at: Double($0 * 37 % 50), runs: Double($0 % 7)) }
        #expect(simulate(trace(calls)) == simulate(trace(calls.sorted { $0.at < $1.at })))
    }

    @Test("a worker of four slots takes three calls at once")
    func concurrency() {
        let report = simulate(trace([Call(at: 0, runs: 10), Call(at: 0, runs: 10), Call(at: 0, runs: 10)])) {
            $0.concurrency = 4
            $0.keepAlive = .seconds(5)
        }
        #expect(report.starts.text == "first 1")
        #expect(report.coldStarts.text == "first 3")
        #expect(report.busy.seconds == 10)
        #expect(report.idle.seconds == 5)
        #expect(report.waits.p50Seconds == 1)
        #expect(report.waits.maxSeconds == 1)
    }

    @Test("a function that never ran starts one worker, then those that its long calls make worth their cold start")
    func scaleUp() {
        // The first is ready at 1, so a start is taken to last 1.5 s. Nothing has finished, so the mean is what runs has
        // lasted; a third of a start later the two that wait would wait for longer than one takes, and at two thirds the
        // last one still would.
        let report = simulate(trace([Call(at: 0, runs: 10), Call(at: 0, runs: 10), Call(at: 0, runs: 10)]))
        #expect(report.starts.text == "first 1, scaleUp 2")
        #expect(abs(report.waits.p50Seconds - (1 + 1.5 / 3 + 1)) < 0.01)
        #expect(abs(report.waits.maxSeconds - (1 + 2 * 1.5 / 3 + 1)) < 0.01)
        #expect(report.workersPeak == 3)
        #expect(report.memoryMegabytesPeak == 3072)
        #expect(report.busy.seconds == 30)
    }

    @Test("an idle worker makes room for another function, and a start after that has this cause")
    func eviction() {
        let calls = [Call(at: 0), Call(function: 1, at: 10), Call(at: 20)]
        let report = simulate(trace(calls, memory: [1024, 1024])) {
            $0.limits.memoryMegabytesMax = 1024
            $0.keepAlive = .seconds(100)
        }
        #expect(report.finished == 3)
        #expect(report.evictions == 2)
        #expect(report.starts.text == "first 2, evicted 1")
        #expect(report.coldStarts.text == "first 2, evicted 1")
        #expect(report.idle.seconds == 8 + 8 + 100)
        #expect(report.memoryMegabytesPeak == 1024)
        #expect(report.waits.maxSeconds == 1)
    }

    @Test("a worker counts until it has gone, so the one that it makes room for starts later")
    func exitTime() {
        let calls = [Call(at: 0), Call(function: 1, at: 10)]
        let report = simulate(trace(calls, memory: [1024, 1024])) {
            $0.limits.memoryMegabytesMax = 1500
            $0.exitTime = .milliseconds(250)
        }
        #expect(report.waits.maxSeconds == 1.25)
        #expect(report.memoryMegabytesPeak == 1024)
    }

    @Test("a function larger than the budget is refused")
    func neverFits() {
        let report = simulate(trace([Call(at: 0), Call(at: 1)])) { $0.limits.memoryMegabytesMax = 1023 }
        #expect(report.refused == RefusalCounts(neverFits: 2))
        #expect(report.starts.total == 0)
        #expect(report.waits.maxSeconds == 0)
    }

    @Test("who waits behind a full queue is refused at once, and who waits for too long is refused then")
    func refusals() {
        let calls = [Call(at: 0, runs: 100), Call(at: 2), Call(at: 3)]
        let report = simulate(trace(calls)) {
            $0.limits.workersMax = 1
            $0.limits.queueCapacity = 1
            $0.limits.queueWaitMax = .seconds(5)
        }
        #expect(report.refused == RefusalCounts(queueFull: 1, waitedTooLong: 1))
        #expect(report.finished == 1)
        #expect(report.spanSeconds == 101)
        #expect(report.waits.maxSeconds == 1)
    }

    @Test("a start takes as long as the newest call says")
    func changingColdStart() {
        let calls = [Call(at: 0, coldStart: 1), Call(at: 100, coldStart: 3), Call(at: 200, coldStart: 0.5)]
        let report = simulate(trace(calls)) { $0.keepAlive = .seconds(0) }
        #expect(report.starting.seconds == 4.5)
        #expect(report.waits.p50Seconds == 1)
        #expect(report.waits.maxSeconds == 3)
    }

    @Test(
        "when every init fails, who waits is refused, so is who comes in the pause after it, and then one more is tried"
    )
    func initFailures() {
        let report = simulate(trace([Call(at: 0), Call(at: 1.5), Call(at: 10)])) { $0.faultRate = 1 }
        #expect(report.refused == RefusalCounts(initFailed: 2, initBackoff: 1))
        #expect(report.initFailures == 2)
        #expect(report.starts.text == "first 1, crashed 1")
        #expect(report.starting.seconds == 2)
        #expect(report.workersPeak == 1)
    }

    @Test("a crash fails what runs on the worker, and the next call needs a new one")
    func crashes() {
        // The first seed of which the start succeeds, the first call crashes, and the next two draws succeed.
        let seed = (1...10_000).first { seed in
            var random = RandomSource(seed: UInt64(seed))
            let draws = (0..<5).map { _ in random.uniform() }
            return draws[0] > 0.5 && draws[1] < 0.5 && draws[3] > 0.5 && draws[4] > 0.5
        }!
        var random = RandomSource(seed: UInt64(seed))
        let part = (0..<3).map { _ in random.uniform() }[2]
        let report = simulate(trace([Call(at: 0, runs: 4), Call(at: 20)])) {
            $0.faultRate = 0.5
            $0.seed = UInt64(seed)
            $0.keepAlive = .seconds(0)
        }
        #expect(report.failed == 1)
        #expect(report.finished == 1)
        #expect(report.crashes == 1)
        #expect(report.starts.text == "first 1, crashed 1")
        #expect(abs(report.busy.seconds - (4 * part + 1)) < 1e-5)
    }

    @Test("a million invocations all end")
    func million() {
        let count = 1_000_000
        let calls = trace(
            (0..<count).map { Call(function: $0 % 100, at: Double($0) / 100, runs: 0.02, coldStart: 0.1) },
            memory: Array(repeating: 128, count: 100))
        let report = simulate(calls)
        #expect(report.finished == count)
        // Each function is called once a second, and is kept.
        #expect(report.starts.text == "first 100")
        #expect(report.coldStarts.text == "first 100")
        #expect(report.workersPeak == 100)
        #expect(abs(report.busy.hours * 3600 - 20_000) < 0.001)
    }
}

@Suite("Random traces")
struct RandomTraceTests {
    /// A trace and settings that bring out much: bursts, little memory, few workers, faults.
    static func sample(_ seed: Int) -> (Trace, Simulation.Settings) {
        var random = RandomSource(seed: UInt64(seed))
        func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
        let functions = 1 + below(8)
        var at = 0.0
        let calls = (0..<400).map { _ in
            at += below(3) == 0 ? Double(below(4000)) / 100 : 0
            return Call(
                function: below(functions), at: at, runs: Double(below(5000)) / 1000,
                coldStart: Double(below(3000)) / 1000)
        }
        var settings = Simulation.Settings()
        settings.keepAlive = .seconds([0, 3, 60][below(3)])
        settings.concurrency = [1, 1, 4][below(3)]
        settings.limits.workersMax = 1 + below(12)
        settings.limits.queueCapacity = 1 + below(50)
        if below(2) == 0 { settings.limits.memoryMegabytesMax = 300 + below(2000) }
        settings.faultRate = [0, 0.02, 0.3, 1][below(4)]
        settings.seed = random.next()
        settings.exitTime = .milliseconds([0, 10, 2000][below(3)])
        return (trace(calls, memory: (0..<functions).map { _ in 100 + below(400) }), settings)
    }

    @Test("nothing is lost, no limit is passed, and the same seed does the same", arguments: 1...300)
    func conservation(seed: Int) {
        let (trace, settings) = Self.sample(seed)
        let report = Simulation.run(trace, settings)
        #expect(report.finished + report.failed + report.refused.total == 400)
        #expect(report.workersPeak <= settings.limits.workersMax)
        #expect(report.memoryMegabytesPeak <= settings.limits.memoryMegabytesMax)
        #expect(report.initFailures + report.crashes + report.evictions + report.yields <= report.starts.total)
        #expect(report.coldStarts.total <= report.finished + report.failed)
        #expect(report.waits.maxSeconds <= settings.limits.queueWaitMax.seconds)
        #expect(report.failed >= report.crashes)
        let arrivals = trace.invocations.map(\.arrivalNanoseconds)
        #expect(report.spanSeconds >= Double(arrivals.last! - arrivals[0]) / 1e9)
        #expect(Simulation.run(trace, settings) == report)

        if settings.faultRate == 0 {
            #expect(report.failed + report.initFailures + report.crashes == 0)
            if settings.concurrency == 1, report.refused.total == 0 {
                let seconds = trace.invocations.reduce(0) { $0 + Double($1.durationNanoseconds) / 1e9 }
                #expect(abs(report.busy.hours * 3600 - seconds) < 1e-6)
            }
        }
    }

    @Test("the samples reach everything that can happen")
    func coverage() {
        var (starts, refused) = (Set<StartCause>(), RefusalCounts())
        for seed in 1...300 {
            let (trace, settings) = Self.sample(seed)
            let report = Simulation.run(trace, settings)
            for cause in StartCause.allCases where report.starts[cause] > 0 { starts.insert(cause) }
            refused.queueFull += report.refused.queueFull
            refused.waitedTooLong += report.refused.waitedTooLong
            refused.initFailed += report.refused.initFailed
            refused.initBackoff += report.refused.initBackoff
            refused.neverFits += report.refused.neverFits
        }
        #expect(starts.isSuperset(of: [.first, .scaleUp, .keepAlivePassed, .evicted, .yielded, .crashed]))
        #expect(
            min(refused.queueFull, refused.waitedTooLong, refused.initFailed, refused.initBackoff, refused.neverFits)
                > 0)
    }
}
