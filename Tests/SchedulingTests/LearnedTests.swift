import Domain
import Scheduling
import Testing

@Suite("What is learned, and what memory costs")
struct LearnedTests {
    @Test(
        "gaps fall into eight bins for each doubling",
        arguments: [(0, 0), (0.99, 0), (1, 1), (1.125, 2), (2, 9), (100, 53), (131_072, 137), (.infinity, 137)]
            as [(Double, Int)])
    func bins(seconds: Double, bin: Int) {
        #expect(GapHistogram.bin(seconds) == bin)
        #expect(GapHistogram.edges[bin] <= max(0, seconds))
        if bin < 137 { #expect(seconds < GapHistogram.edges[bin + 1]) }
    }

    private func gaps(_ counts: [Double: Float]) -> GapHistogram {
        var gaps = GapHistogram()
        for (seconds, count) in counts { gaps.add(seconds, weight: count) }
        return gaps
    }

    // 100 s lies in the bin from 96 to 104, and counts as its middle.
    @Test(
        "a worker is kept to the end of its gaps while that is cheaper than their cold starts",
        arguments: [(0, 0.0199, 104), (0, 0.0201, 0), (50, 0.0399, 104), (50, 0.0401, 50)] as [(Double, Double, Double)]
    )
    func limit(age: Double, rent: Double, expected: Double) {
        let plan = IdlePlan(coldCost: 2, rent: rent)
        #expect(plan.limit(gaps([100: 10]), GapHistogram(), from: age) == expected)
        #expect(plan.limit(nil, gaps([100: 8]), from: age) == expected)
    }

    @Test(
        "others' gaps count like four of its own, however many they are",
        arguments: [(0.0141, 104), (0.0142, 0)] as [(Double, Double)])
    func prior(rent: Double, expected: Double) {
        let plan = IdlePlan(coldCost: 2, rent: rent)
        #expect(plan.limit(gaps([100: 10]), gaps([.infinity: 8]), from: 0) == expected)
    }

    @Test("a window is worth its hits, less waiting, misses and the start", arguments: [(1.11, true), (1.12, false)])
    func window(rent: Double, pays: Bool) {
        // 20 gaps x 4 s, 6 misses x 8 s, 26 starts x 2 s: 180 s of rent for 20 cold starts of 10.
        let plan = IdlePlan(coldCost: 10, rent: rent)
        #expect(plan.window(gaps([100: 20]), from: 0, coldStart: 2) == (pays ? 96..<104 : nil))
        // Too late to be ready before it.
        #expect(plan.window(gaps([100: 20]), from: 95, coldStart: 2) == nil)
    }

    private func at(_ seconds: Double) -> Instant { .zero + .seconds(seconds) }

    @Test("each level of the stack has gaps of its own, and their weight halves in a day")
    func levels() {
        var history = UseHistory()
        #expect(history.take(at: .zero) == nil)
        #expect(history.take(at: .zero) == nil)
        history.leave(at: at(10))
        history.leave(at: at(20))
        let first = history.take(at: at(30))
        #expect(first?.gap == 10 && first?.level == 1)
        let second = history.take(at: at(40))
        #expect(second?.gap == 30 && second?.level == 2)
        #expect(history.gaps(level: 1)?.weights[GapHistogram.bin(10)] == 1)
        #expect(history.gaps(level: 2)?.weights[GapHistogram.bin(30)] == 1)
        #expect(history.uses(level: 2) == 1)
        history.leave(at: at(50))
        _ = history.take(at: at(86_400))
        #expect(history.uses(level: 2) == 1.5)
        #expect(history.uses(level: 1) == 1)
    }

    @Test("a function that is called on the hour is asleep in between, and awake when the call comes")
    func prewarmed() {
        var script = Script()
        script.pool(1, memory: 2048)
        var worker: UInt64 = 0
        var startAges: [Int] = []
        for _ in 0..<20 {
            if script.arrive() == ["start w\(worker + 1) p1"] {
                worker += 1
                script.pass(2)
                script.ready(worker)
            }
            script.finish(worker)
            startAges = []
            for step in 1...360 {
                for action in script.after(10) {
                    if action == "stop w\(worker) keep-alive" { script.exit(worker) }
                    if action == "start w\(worker + 1) p1" {
                        worker += 1
                        startAges.append(step * 10)
                        script.pass(2)
                        script.ready(worker)
                        script.pass(-2)
                    }
                }
            }
        }
        #expect(startAges.count == 1 && (3560...3590).contains(startAges.first ?? 0), "\(startAges)")
        #expect(script.arrive().first?.hasSuffix("w\(worker)") == true)
    }

    private func threeIdle(_ eviction: HostLimits.Eviction) -> Script {
        var script = Script {
            $0.memoryMegabytesMax = 300
            $0.eviction = eviction
        }
        for pool in 1...4 { script.pool(UInt32(pool), keepAlive: 10_000, memory: 100) }
        for pool in 1...3 {
            script.arrive(UInt32(pool))
            script.pass(1)
            script.ready(UInt64(pool))
            script.finish(UInt64(pool))
            guard pool == 1 else { continue }
            for _ in 0..<3 {
                script.pass(5)
                script.arrive(1)
                script.finish(1)
            }
        }
        script.pass(1)
        return script
    }

    @Test("what is needed often stays; of those that are not, the longest idle goes first")
    func evictionOrder() {
        var greedy = threeIdle(.greedyDual)
        #expect(greedy.arrive(4) == ["stop w2 evicted for p4"])
        var recent = threeIdle(.leastRecentlyUsed)
        #expect(recent.arrive(4) == ["stop w1 evicted for p4"])
    }

    @Test("a lowered budget evicts what is idle, in turn, until the rest fits; what runs stays")
    func budget() {
        var script = threeIdle(.leastRecentlyUsed)
        script.arrive(2)
        #expect(
            script.run { $0.setMemoryBudget(megabytes: 150, at: $1, into: &$2) }
                == ["stop w1 over budget", "stop w3 over budget"])
        #expect(script.scheduler.host.memoryMegabytesMax == 150)
        script.exit(1)
        script.exit(3)
        #expect(script.run { $0.setMemoryBudget(megabytes: 50, at: $1, into: &$2) } == [])
        #expect(script.finish(2) == ["stop w2 over budget"])
        #expect(script.run { $0.setMemoryBudget(megabytes: 1000, at: $1, into: &$2) } == [])
        #expect(script.scheduler.host.memoryMegabytesMax == 300)
    }

    @Test("a worker counts for what it was measured to take, and so do the next of its pool")
    func measured() {
        var script = threeIdle(.leastRecentlyUsed)
        // 100 + 100 + 150: the longest idle has to go.
        #expect(
            script.run { $0.workerMeasured(WorkerID(3), memoryMegabytes: 150, at: $1, into: &$2) }
                == ["stop w1 over budget"])
        script.exit(1)
        #expect(script.scheduler.host.memoryMegabytes == 250)
        #expect(script.scheduler.status(of: WorkerID(3))?.isMeasured == true)
        // Down by an eighth of the difference: 150 - (150 - 70) / 8.
        script.run { $0.workerMeasured(WorkerID(3), memoryMegabytes: 70, at: $1, into: &$2) }
        #expect(script.scheduler.host.memoryMegabytes == 170)
        script.run { $0.workerExited(WorkerID(3), reason: .crashed, at: $1, into: &$2) }
        #expect(script.arrive(3) == ["start w4 p3"])
        #expect(script.scheduler.status(of: WorkerID(4))?.memoryMegabytes == 140)
    }
}
