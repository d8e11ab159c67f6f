import Dispatching
import Domain
import Testing
import Workers

struct MemoryPressurePolicyTests {
    private static let high = MemoryPressure(some: 30, full: 0)
    private static let middle = MemoryPressure(some: 10, full: 0)

    private static func at(_ seconds: Int) -> Instant { .zero + .seconds(seconds) }

    @Test(
        "pressure that is high by either measure lowers the budget below what is used; less does not",
        arguments: [(20, 0, 540), (0, 5, 540), (19.9, 4.9, nil), (0, 0, nil)] as [(Double, Double, Int?)])
    func lowers(some: Double, full: Double, expected: Int?) {
        var policy = MemoryPressurePolicy(limitMegabytes: 1000)
        #expect(
            policy.sampled(MemoryPressure(some: some, full: full), usedMegabytes: 600, at: Self.at(0)) == expected)
        #expect(policy.isLowered == (expected != nil))
    }

    @Test("it is lowered again every 10 s, never raised by pressure, and not below a tenth of the limit")
    func lowersAgain() {
        var policy = MemoryPressurePolicy(limitMegabytes: 1000)
        #expect(policy.sampled(Self.high, usedMegabytes: 600, at: Self.at(0)) == 540)
        #expect(policy.sampled(Self.high, usedMegabytes: 500, at: Self.at(9)) == nil)
        #expect(policy.sampled(Self.high, usedMegabytes: 500, at: Self.at(10)) == 450)
        // What runs does not stop: more is used than may be.
        #expect(policy.sampled(Self.high, usedMegabytes: 800, at: Self.at(20)) == 405)
        #expect(policy.sampled(Self.high, usedMegabytes: 20, at: Self.at(30)) == 100)
        #expect(policy.sampled(Self.high, usedMegabytes: 20, at: Self.at(40)) == nil)
        #expect(policy.budgetMegabytes == 100)
    }

    @Test("it is raised by a tenth for every 30 s without pressure, up to the limit")
    func recovers() {
        var policy = MemoryPressurePolicy(limitMegabytes: 1000)
        _ = policy.sampled(Self.high, usedMegabytes: 900, at: Self.at(0))
        #expect(policy.budgetMegabytes == 810)
        var raised: [Int: Int] = [:]
        for second in stride(from: 5, through: 200, by: 5) {
            raised[second] = policy.sampled(.none, usedMegabytes: 100, at: Self.at(second))
        }
        #expect(raised == [35: 910, 65: 1000])
        #expect(!policy.isLowered)
    }

    @Test("some pressure in between starts the 30 s again")
    func interrupted() {
        var policy = MemoryPressurePolicy(limitMegabytes: 1000)
        _ = policy.sampled(Self.high, usedMegabytes: 500, at: Self.at(0))
        #expect(policy.sampled(.none, usedMegabytes: 0, at: Self.at(10)) == nil)
        #expect(policy.sampled(Self.middle, usedMegabytes: 0, at: Self.at(30)) == nil)
        #expect(policy.sampled(.none, usedMegabytes: 0, at: Self.at(40)) == nil)
        #expect(policy.sampled(.none, usedMegabytes: 0, at: Self.at(69)) == nil)
        #expect(policy.sampled(.none, usedMegabytes: 0, at: Self.at(70)) == 550)
    }

    @Test("a budget of any size has steps")
    func sizes() {
        for limit in [1, 5, 64, Int.max] {
            var policy = MemoryPressurePolicy(limitMegabytes: limit)
            _ = policy.sampled(Self.high, usedMegabytes: 0, at: Self.at(0))
            #expect(policy.budgetMegabytes == max(1, limit / 10))
            for minute in 1...15 { _ = policy.sampled(.none, usedMegabytes: 0, at: Self.at(60 * minute)) }
            #expect(!policy.isLowered)
        }
    }
}
