import Domain

/// Makes traces: functions as different as those of a production system, each with a process of arrivals of its own.
///
/// - Of each function are drawn, independently: invocations per day, coefficient of variation of its gaps, duration and
///   memory, all from `QuantileTable`. Cold start = 0.2 s + 2 ms per MB.
/// - A tenth are **timers**: their gaps are all the same. The gaps of the others are a **renewal process** with gamma
///   distributed gaps, stationary from the start: there is no invocation at 0 that all functions share.
/// - A third follow the **day**: their rate is 1 + 0.8 sin(2 pi t / 24 h) times the mean, by stretching the time of their
///   renewal process. Timers do not.
/// - An invocation's duration is drawn from within 2.5 percentage points of the function's place in the table.
///
/// Three things are cut. The rate is at most `invocationsPerDayMax`, which is the 95th percentile: the busiest twentieth
/// would be nearly all of the trace (uncut, the mean is 36,765 a day), and says little about cold starts. It is also at
/// most what keeps `workersMax` workers busy on the average, because rate and duration are drawn independently, and one
/// function that is both frequent and slow would fill a host. And the coefficient of variation is at most the square root
/// of the invocations per day, which is about the highest that so many gaps can have, and at most `variationMax`, the
/// 99th percentile.
///
/// The same seed makes the same trace on every machine, and more functions leave the first ones as they were; more hours,
/// too, but for what is after them.
package struct Synthesis {
    package static let invocationsPerDayMax = 20_000.0
    package static let workersMax = 10.0
    package static let variationMax = 33.0
    static let secondsPerDay = 86_400.0

    /// One invocation, as it is written.
    package struct Row: Equatable, Sendable {
        /// Index of the function, from 0.
        package let function: Int
        package let arrivalMicroseconds: Int64
        package let durationMicroseconds: Int64
        package let memoryMegabytes: Int
        package let coldStartMilliseconds: Int
    }

    /// What was drawn for a function.
    struct Profile: Sendable {
        let invocationsPerDay: Double
        let variation: Double
        let isTimer: Bool
        let isDaily: Bool
        /// Place in the table of durations.
        let durationShare: Double
        let memoryMegabytes: Int
    }

    private struct Stream: Sendable {
        let profile: Profile
        var random: RandomSource
        let gaps: RenewalProcess
        /// In the stretched time of the renewal process.
        var position: Double
        var arrivalMicroseconds: Int64

        mutating func advance() { position += gaps.next(&random) }
    }

    private let endMicroseconds: Int64
    private var streams: [Stream] = []
    private var queue = EventQueue<Int>()
    private let names: [[UInt8]]

    /// - Parameters:
    ///   - functions: at most `Trace.Limit.functions`.
    ///   - hours: the length of the trace, at most `Trace.Limit.spanDays`.
    package init(functions: Int, hours: Double, seed: UInt64) {
        endMicroseconds = Int64(hours * 3.6e9)
        let digits = String(functions).count
        names = (1...functions).map { number in
            let text = String(number)
            return Array(("f" + String(repeating: "0", count: digits - text.count) + text).utf8)
        }
        var seeds = SplitMix64(seed)
        for _ in 0..<functions {
            var random = RandomSource(seed: seeds.next())
            let profile = Profile(&random)
            let gaps = RenewalProcess(
                mean: Self.secondsPerDay / profile.invocationsPerDay, variation: profile.isTimer ? 0 : profile.variation
            )
            let first = gaps.first(&random)
            streams.append(
                Stream(profile: profile, random: random, gaps: gaps, position: first, arrivalMicroseconds: 0))
        }
        for index in streams.indices { schedule(index) }
    }

    /// The mean over many seeds of what functions with these rates make.
    package var expectedInvocations: Double {
        streams.reduce(0) { $0 + $1.profile.invocationsPerDay } * Double(endMicroseconds) / (Self.secondsPerDay * 1e6)
    }

    var profiles: [Profile] { streams.map(\.profile) }

    /// The rows by arrival; `nil` at the end.
    package mutating func next() -> Row? {
        guard let entry = queue.popFirst() else { return nil }
        let index = entry.event
        let profile = streams[index].profile
        let share = profile.durationShare + (streams[index].random.uniform() - 0.5) * 0.05
        let milliseconds = max(1, QuantileTable.durationMilliseconds.value(at: share))
        let row = Row(
            function: index, arrivalMicroseconds: streams[index].arrivalMicroseconds,
            durationMicroseconds: Int64(milliseconds * 1000), memoryMegabytes: profile.memoryMegabytes,
            coldStartMilliseconds: 200 + 2 * profile.memoryMegabytes)
        streams[index].advance()
        schedule(index)
        return row
    }

    private mutating func schedule(_ index: Int) {
        let position = streams[index].position
        let seconds = streams[index].profile.isDaily ? DailyRhythm.time(ofWork: position) : position
        guard seconds * 1e6 < Double(endMicroseconds) else { return }
        // Rounding in the rhythm's inverse must not turn an order around.
        let arrival = max(streams[index].arrivalMicroseconds, Int64(seconds * 1e6))
        streams[index].arrivalMicroseconds = arrival
        queue.add(index, at: Instant(nanoseconds: arrival * 1000))
    }

    /// The row as a line of a trace, after `Trace.header`.
    package func appendLine(_ row: Row, to text: inout [UInt8]) {
        let comma = UInt8(ascii: ",")
        text += names[row.function]
        text.append(comma)
        Self.append(row.arrivalMicroseconds, digits: 6, to: &text)
        text.append(comma)
        Self.append(row.durationMicroseconds, digits: 6, to: &text)
        text.append(comma)
        Self.append(Int64(row.memoryMegabytes), digits: 0, to: &text)
        text.append(comma)
        Self.append(Int64(row.coldStartMilliseconds), digits: 3, to: &text)
        text.append(UInt8(ascii: "\n"))
    }

    /// A number that is not negative, with its last digits after a point.
    private static func append(_ number: Int64, digits: Int, to text: inout [UInt8]) {
        var rest = number
        var written = 0
        let start = text.count
        repeat {
            if written == digits, digits > 0 { text.append(UInt8(ascii: ".")) }
            text.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
            written += 1
        } while rest > 0 || written <= digits
        text[start...].reverse()
    }
}

extension Synthesis.Profile {
    init(_ random: inout RandomSource) {
        durationShare = random.uniform()
        let durationSeconds = max(1, QuantileTable.durationMilliseconds.value(at: durationShare)) / 1000
        invocationsPerDay = min(
            QuantileTable.invocationsPerDay.value(at: random.uniform()), Synthesis.invocationsPerDayMax,
            Synthesis.workersMax * Synthesis.secondsPerDay / durationSeconds)
        variation = min(
            QuantileTable.gapVariation.value(at: random.uniform()), Synthesis.variationMax,
            invocationsPerDay.squareRoot())
        memoryMegabytes = Int(QuantileTable.memoryMegabytes.value(at: random.uniform()).rounded())
        let kind = random.uniform()
        isTimer = kind < 0.1
        isDaily = !isTimer && kind < 0.1 + 1.0 / 3
    }
}

/// Gaps that are independent of each other and gamma distributed.
struct RenewalProcess: Sendable {
    let mean: Double
    /// 1 / variation^2, and mean / shape; `nil` when all gaps are the same.
    private let gamma: (shape: Double, scale: Double)?

    /// - Parameters:
    ///   - mean: in seconds.
    ///   - variation: standard deviation / mean; 0, or so little that it does not matter, makes all gaps the same.
    init(mean: Double, variation: Double) {
        self.mean = mean
        gamma = variation < 0.001 ? nil : (1 / (variation * variation), mean * variation * variation)
    }

    func next(_ random: inout RandomSource) -> Double {
        guard let gamma else { return mean }
        return gamma.scale * random.gamma(shape: gamma.shape)
    }

    /// From a moment that has nothing to do with the process until its next event: somewhere in a gap that was drawn in
    /// proportion to its length, which makes gamma(a) into gamma(a + 1).
    func first(_ random: inout RandomSource) -> Double {
        let place = random.uniform()
        guard let gamma else { return mean * place }
        return place * gamma.scale * random.gamma(shape: gamma.shape + 1)
    }
}

/// A rate of 1 + 0.8 sin(2 pi t / day).
enum DailyRhythm {
    private static let day = 86_400.0
    private static let amplitude = 0.8

    /// The integral of the rate from 0.
    static func work(until time: Double) -> Double {
        time + swing / 2 * (1 - Exact.cosine(turns: time / day))
    }

    /// What work is ahead of time at the most.
    private static var swing: Double { amplitude * day / Double.pi }

    /// The inverse of `work`, to less than a microsecond: Newton's method, with bisection where it leaves the bracket.
    static func time(ofWork work: Double) -> Double {
        var (low, high) = (max(0, work - swing), work)
        var time = (low + high) / 2
        for _ in 0..<60 {
            let error = self.work(until: time) - work
            if error > 0 { high = time } else { low = time }
            let step = error / (1 + amplitude * Exact.sine(turns: time / day))
            let following = time - step
            if abs(step) < 1e-7 { return following }
            time = following >= low && following <= high ? following : (low + high) / 2
        }
        return time
    }
}
