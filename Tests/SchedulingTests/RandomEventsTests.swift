import Domain
import Foundation
import Scheduling
import Testing

/// SplitMix64: the same numbers for the same seed on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &self) < share }
}

/// Depends on the id alone, so that a world needs no generator shared with its test.
private func share(_ value: UInt64, _ salt: UInt64) -> Double {
    var generator = SeededGenerator(seed: value &* 0xD134_2543_DE82_EF95 &+ salt)
    return Double.random(in: 0..<1, using: &generator)
}

@Suite("Random events")
struct RandomEventsTests {
    /// `bench/soak` asks for more.
    static let eventsPerSeed = environment("ROOST_RANDOM_EVENTS") ?? 10_000_000 / 10
    static let firstSeed = UInt64(environment("ROOST_RANDOM_SEED") ?? 1)

    private static func environment(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }

    @Test(
        "no sequence of events breaks an invariant, and in the end every invocation is answered",
        arguments: firstSeed..<firstSeed + 10)
    func randomEvents(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var limits = HostLimits()
        limits.workersMax = Int.random(in: 2...12, using: &random)
        limits.startsInFlightMax = Int.random(in: 1...6, using: &random)
        limits.startsPerSecond = Double.random(in: 2...200, using: &random)
        limits.startsBurst = Int.random(in: 1...20, using: &random)
        limits.memoryMegabytesMax = Int.random(in: 512...3000, using: &random)
        limits.queueCapacity = Int.random(in: 1...40, using: &random)
        limits.trainingConcurrency = Int.random(in: 1...2, using: &random)
        limits.queueWaitMax = .seconds(Double.random(in: 1...30, using: &random))
        limits.yieldAfter = .seconds(Double.random(in: 0...5, using: &random))
        limits.keepAlivePrice = Double.random(in: 1...1000, using: &random)
        limits.crashesMax = Int.random(in: 1...6, using: &random)
        if random.chance(0.2) { limits.eviction = .leastRecentlyUsed }
        limits.scaleUp = [.aware, .aware, .aware, .eachInvocation, .provisionedOnly][Int(seed % 5)]
        let world = World(limits: limits)
        world.checkInterval = 1000
        let salt = seed &* 7919
        let faults = seed.isMultiple(of: 3) ? 0 : 0.02
        // One pool in twelve is slow to start.
        world.timing.coldStart = {
            .seconds((0.02 + share(UInt64($0.value), salt)) * (share(UInt64($0.value), salt + 5) < 1.0 / 12 ? 40 : 1))
        }
        world.timing.service = { .seconds(share($0.value, salt) < 0.02 ? 20 : 0.2 * share($0.value, salt + 1)) }
        world.timing.initFails = { share($0.value, salt + 2) < 5 * faults && $1.value % 2 == 0 }
        world.timing.crashes = { share($0.value, salt + 3) < faults }
        world.timing.timesOut = { share($0.value, salt + 4) < faults }

        var live: [PoolID] = []
        var lastPool: UInt32 = 0
        var recent: [InvocationID] = []
        func addPool() {
            lastPool += 1
            let function = Function.ID(Int64.random(in: 1...6, using: &random))
            let isTraining = function.value == 6
            let settings = PoolSettings(
                function: function,
                reservedConcurrency: random.chance(0.5) ? nil : Int.random(in: 1...6, using: &random),
                workerConcurrency: random.chance(0.6) ? 1 : Int.random(in: 2...8, using: &random),
                keepAlive: random.chance(0.3)
                    ? .learned : .seconds(random.chance(0.2) ? 0 : Double.random(in: 0...20, using: &random)),
                memoryMegabytes: Int.random(in: 64...600, using: &random), isTraining: isTraining)
            world.add(PoolID(lastPool), settings)
            live.append(PoolID(lastPool))
        }
        for _ in 0..<5 { addPool() }

        var rounds = 0
        while world.eventCount < Self.eventsPerSeed, world.violations.isEmpty {
            rounds += 1
            if rounds % 1000 == 0 { world.forgetEnded() }
            switch Int.random(in: 0..<1000, using: &random) {
            case 0..<600:
                let pool = live[min(Int.random(in: 0..<live.count, using: &random), live.count - 1)]
                let burst = random.chance(0.05) ? Int.random(in: 2...30, using: &random) : 1
                for _ in 0..<burst {
                    recent.append(
                        world.arrive(
                            pool,
                            waitMax: random.chance(0.2) ? nil : .seconds(Double.random(in: 0...40, using: &random))))
                }
                if recent.count > 100 { recent.removeFirst(recent.count - 50) }
            case 600..<640: world.cancel(recent.randomElement(using: &random) ?? InvocationID(1))
            case 640..<650:
                if let worker = world.workers.keys.sorted().randomElement(using: &random) { world.crash(worker) }
            case 650..<655:
                if let worker = world.workers.keys.sorted().randomElement(using: &random) { world.kill(worker) }
            case 655..<660:
                if live.count > 2 { world.drain(live.remove(at: Int.random(in: 0..<live.count, using: &random))) }
            case 660..<666: if live.count < 12 { addPool() }
            case 666..<672:
                let function = Function.ID(Int64.random(in: 1...6, using: &random))
                world.reserve(function, random.chance(0.4) ? nil : Int.random(in: 0...6, using: &random))
            case 672..<678:
                let pool = live[Int.random(in: 0..<live.count, using: &random)]
                if world.pools[pool]?.settings.isTraining == false {
                    world.provision(pool, random.chance(0.4) ? 0 : Int.random(in: 1...3, using: &random))
                }
            case 678..<690:  // late, repeated and invented events
                let worker = WorkerID(UInt64.random(in: 1...1_000_000, using: &random) + 1_000_000_000)
                world.raw { scheduler, now, out in
                    scheduler.workerReady(worker, at: now, into: &out)
                    scheduler.invocationFinished(Slot(worker: worker, index: 3), at: now, into: &out)
                    scheduler.workerStopping(worker, at: now, into: &out)
                    scheduler.workerExited(worker, reason: .crashed, at: now, into: &out)
                }
                world.tick()
                if let ready = world.workers.first(where: { $0.value.state == .ready }) {
                    world.raw { scheduler, now, out in
                        scheduler.workerReady(ready.key, at: now, into: &out)
                        for index in UInt16(0)..<70 where ready.value.running[index] == nil {
                            scheduler.invocationFinished(Slot(worker: ready.key, index: index), at: now, into: &out)
                        }
                    }
                }
            case 690..<694: world.advance(.seconds(Double.random(in: 1...100, using: &random)))
            case 694: world.advance(.seconds(Double.random(in: 100...100_000, using: &random)))
            case 695..<700:
                let (new, old) = (live.randomElement(using: &random)!, live.randomElement(using: &random)!)
                world.prepare(new, inPlaceOf: old)
            case 700..<720:
                let worker = world.workers.keys.sorted().randomElement(using: &random) ?? WorkerID(1)
                world.measure(worker, Int.random(in: 0...700, using: &random))
            case 720..<723:
                world.setMemoryBudget(random.chance(0.5) ? .max : Int.random(in: 0...3000, using: &random))
            default: world.advance(.milliseconds(Int.random(in: 0...60, using: &random)))
            }
        }

        // Time passes, nothing new comes: all is answered, and all workers stop, since every keep-alive ends.
        for function in 1...6 { world.reserve(Function.ID(Int64(function)), nil) }
        for pool in live { world.provision(pool, 0) }
        world.setMemoryBudget(.max)
        world.checkInterval = 1
        world.settle()
        let unanswered = world.count {
            if case .queued = $0 { true } else if case .running = $0 { true } else { false }
        }
        #expect(world.violations.prefix(5).isEmpty, "seed \(seed): \(world.violations.prefix(5))")
        #expect(unanswered == 0, "seed \(seed)")
        #expect(world.workers.isEmpty, "seed \(seed)")
        #expect(world.tickCount < world.eventCount, "seed \(seed)")

        for pool in live { world.drain(pool) }
        world.shutdown()
        world.settle()
        #expect(world.pools.isEmpty && world.isAllStopped, "seed \(seed)")
        print("random events: seed \(seed), \(world.eventCount) events, \(world.tickCount) ticks")
    }
}
