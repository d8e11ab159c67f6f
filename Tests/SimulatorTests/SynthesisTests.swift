import Glibc
import Testing

@testable import Simulator

@Suite("Random numbers")
struct RandomTests {
    @Test("the generators give the numbers of their authors' code")
    func vectors() {
        var mixer = SplitMix64(1_234_567)
        #expect(
            (0..<5).map { _ in mixer.next() } == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
        var random = RandomSource(state: (1, 2, 3, 4))
        #expect(
            (0..<4).map { _ in random.next() } == [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240])
    }

    @Test("logarithm, exponential and sine agree with the C library's")
    func functions() {
        var random = RandomSource(seed: 1)
        var worst = (log: 0.0, exp: 0.0, sine: 0.0)
        for _ in 0..<100_000 {
            let x = (random.uniform() - 0.5) * 1400
            worst.exp = max(worst.exp, abs(Exact.exp(x) / exp(x) - 1))
            let y = exp(x / 2)
            worst.log = max(worst.log, abs(Exact.log(y) - log(y)) / max(1, abs(log(y))))
            let turns = x / 100
            let reduced = turns - turns.rounded()
            worst.sine = max(worst.sine, abs(Exact.sine(turns: turns) - sin(reduced * 2 * Double.pi)))
        }
        #expect(worst.log < 1e-15)
        #expect(worst.exp < 1e-14)
        #expect(worst.sine < 1e-15)
        #expect(Exact.exp(-1e9) == 0)
        #expect(Exact.log(1) == 0)
    }

    @Test("gamma distributed numbers have their mean and variation", arguments: [0.1, 0.25, 0.9, 1, 1.5, 4, 100, 1e6])
    func gamma(shape: Double) {
        var random = RandomSource(seed: 7)
        let count = 100_000
        var (sum, squares) = (0.0, 0.0)
        for _ in 0..<count {
            let value = random.gamma(shape: shape) / shape
            sum += value
            squares += value * value
        }
        let mean = sum / Double(count)
        let variation = (squares / Double(count) - mean * mean).squareRoot() / mean
        let expected = 1 / shape.squareRoot()
        // Four standard errors of each; that of the variation follows from the kurtosis, 3 + 6 / shape.
        #expect(abs(mean - 1) < 4 * expected / Double(count).squareRoot())
        #expect(abs(variation / expected - 1) < 4 * ((2 + 6 / shape) / Double(4 * count)).squareRoot())
    }

    @Test(
        "a share of the gamma distributed numbers lies below 1 as it should",
        arguments: [(0.5, 0.842_701), (1, 0.632_121), (3, 0.080_301)])
    func gammaShare(shape: Double, share: Double) {
        var random = RandomSource(seed: 8)
        let below = (0..<100_000).count { _ in random.gamma(shape: shape) < 1 }
        #expect(abs(Double(below) / 100_000 - share) < 0.006)
    }

    @Test("a renewal process has its rate from the start", arguments: [0, 0.5, 1, 3])
    func renewal(variation: Double) {
        let process = RenewalProcess(mean: 100, variation: variation)
        var random = RandomSource(seed: 9)
        var events = 0
        for _ in 0..<20_000 {
            var at = process.first(&random)
            while at < 1000 {
                events += 1
                at += process.next(&random)
            }
        }
        // Were the first event at 0 or after a whole gap, variation 3 would be off by 4.
        #expect(abs(Double(events) / 20_000 - 10) < 0.3)
    }

    @Test("the daily rhythm can be turned around, and is fastest after six hours")
    func rhythm() {
        for step in 0...5000 {
            let time = Double(step) * 61.7
            #expect(abs(DailyRhythm.time(ofWork: DailyRhythm.work(until: time)) - time) < 1e-6)
        }
        let day = 86_400.0
        #expect(abs(DailyRhythm.work(until: day) - day) < 1e-6)
        // The integral of 1 + 0.8 sin over the first half of a day.
        #expect(abs(DailyRhythm.work(until: day / 2) - day * (0.5 + 0.8 / Double.pi)) < 1e-6)
    }
}

@Suite("Traces that are made up")
struct SynthesisTests {
    static func text(functions: Int, hours: Double, seed: UInt64) -> [UInt8] {
        var synthesis = Synthesis(functions: functions, hours: hours, seed: seed)
        var text = Array((Trace.header + "\n").utf8)
        while let row = synthesis.next() { synthesis.appendLine(row, to: &text) }
        return text
    }

    @Test("profiles come from their tables, a tenth are timers, and a third follow the day")
    func profiles() {
        let profiles = Synthesis(functions: 10_000, hours: 1, seed: 5).profiles
        func median(_ value: (Synthesis.Profile) -> Double) -> Double { profiles.map(value).sorted()[5000] }
        #expect((60...90).contains(median(\.invocationsPerDay)))
        #expect((135...145).contains(median { Double($0.memoryMegabytes) }))
        #expect(abs(median(\.durationShare) - 0.5) < 0.02)
        #expect(abs(Double(profiles.count { $0.isTimer }) / 10_000 - 0.1) < 0.012)
        #expect(abs(Double(profiles.count { $0.isDaily }) / 10_000 - 1.0 / 3) < 0.02)
        #expect(!profiles.contains { $0.isTimer && $0.isDaily })
        #expect(profiles.allSatisfy { (1...20_000).contains($0.invocationsPerDay) })
        #expect(profiles.allSatisfy { (0...33).contains($0.variation) })
        #expect(profiles.allSatisfy { $0.variation * $0.variation <= $0.invocationsPerDay * 1.000001 })
        #expect((0.4...0.55).contains(median(\.variation)))
    }

    @Test("a table's ends and the points between its quantiles")
    func table() {
        let table = QuantileTable.memoryMegabytes
        for table in [QuantileTable.memoryMegabytes, .durationMilliseconds, .invocationsPerDay, .gapVariation] {
            #expect(table.values.count == 101)
            #expect(table.values == table.values.sorted())
        }
        #expect(table.value(at: 0) == 30)
        #expect(table.value(at: 1) == 1460)
        #expect(table.value(at: 0.5) == 140)
        #expect(abs(table.value(at: 0.505) - 142.5) < 1e-9)
        #expect(table.value(at: -1) == 30)
        #expect(table.value(at: 2) == 1460)
    }

    @Test("rows are in order, within the hours, and each function is what was drawn for it")
    func rows() {
        var synthesis = Synthesis(functions: 300, hours: 24, seed: 3)
        let profiles = synthesis.profiles
        let expected = synthesis.expectedInvocations
        var arrivals = [[Int64]](repeating: [], count: 300)
        var last: Int64 = 0
        var count = 0
        var isRight = true
        while let row = synthesis.next() {
            isRight = isRight && row.arrivalMicroseconds >= last && row.arrivalMicroseconds < 86_400_000_000
            isRight = isRight && row.memoryMegabytes == profiles[row.function].memoryMegabytes
            isRight = isRight && row.coldStartMilliseconds == 200 + 2 * row.memoryMegabytes
            isRight = isRight && (1000...1_571_585_000).contains(row.durationMicroseconds)
            last = row.arrivalMicroseconds
            arrivals[row.function].append(row.arrivalMicroseconds)
            count += 1
        }
        #expect(isRight)
        #expect(abs(Double(count) / expected - 1) < 0.2)
        for (profile, arrivals) in zip(profiles, arrivals) where profile.isTimer {
            let gap = 86_400e6 / profile.invocationsPerDay
            #expect(abs(Double(arrivals.count) - profile.invocationsPerDay) <= 1)
            for index in arrivals.indices.dropFirst() {
                #expect(abs(Double(arrivals[index] - arrivals[index - 1]) - gap) <= 1)
            }
        }
    }

    @Test("those that follow the day are three times as busy in its first half, the others are not")
    func daily() {
        var synthesis = Synthesis(functions: 2000, hours: 24, seed: 11)
        let profiles = synthesis.profiles
        var halves = [[0.0, 0.0], [0.0, 0.0]]
        while let row = synthesis.next() {
            let profile = profiles[row.function]
            guard profile.variation < 2 else { continue }
            halves[profile.isDaily ? 1 : 0][row.arrivalMicroseconds < 43_200_000_000 ? 0 : 1] += 1
        }
        #expect(abs(halves[0][0] / halves[0][1] - 1) < 0.1)
        #expect(abs(halves[1][0] / halves[1][1] - (0.5 + 0.8 / Double.pi) / (0.5 - 0.8 / Double.pi)) < 0.3)
    }

    @Test("the same seed makes the same bytes, another one others, and they are a trace")
    func bytes() throws {
        let text = Self.text(functions: 50, hours: 6, seed: 1)
        #expect(text == Self.text(functions: 50, hours: 6, seed: 1))
        #expect(text != Self.text(functions: 50, hours: 6, seed: 2))
        let trace = try TraceReaderTests.read(text)
        #expect(trace.invocations.count == text.count { $0 == UInt8(ascii: "\n") } - 1)
        var synthesis = Synthesis(functions: 50, hours: 6, seed: 1)
        for invocation in trace.invocations {
            let row = synthesis.next()!
            #expect(invocation.arrivalNanoseconds == row.arrivalMicroseconds * 1000)
            #expect(invocation.durationNanoseconds == row.durationMicroseconds * 1000)
            #expect(invocation.coldStartMicroseconds == UInt32(row.coldStartMilliseconds) * 1000)
        }
        #expect(synthesis.next() == nil)
    }

    @Test("more functions leave the first ones as they were, more hours what was before")
    func prefixes() {
        func rows(_ functions: Int, _ hours: Double) -> [Synthesis.Row] {
            var synthesis = Synthesis(functions: functions, hours: hours, seed: 4)
            var rows: [Synthesis.Row] = []
            while let row = synthesis.next() { rows.append(row) }
            return rows
        }
        let few = rows(20, 6)
        #expect(!few.isEmpty)
        #expect(rows(40, 6).filter { $0.function < 20 } == few)
        #expect(rows(20, 12).filter { $0.arrivalMicroseconds < 6 * 3_600_000_000 } == few)
    }
}
