import ArgumentParser
import Domain
import Glibc
import Scheduling
import Simulator

struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replay invocations on the scheduler: of a trace, or a host's own of late; or make up a trace.",
        discussion: """
            A trace is CSV with the header function,arrival_seconds,duration_seconds,memory_mb,cold_start_seconds and one \
            invocation per line. docs/SCHEDULING.md says what is simulated, and what a real host has besides.
            """)

    @Option(help: ArgumentHelp("Replay this trace; - is standard input.", valueName: "file"))
    var trace: String?

    @Flag(
        help: "Replay what has run on a host lately, under several policies and budgets: what would each have cost?")
    var fromHistory = false

    @Option(
        help: ArgumentHelp(
            """
            How long idle workers are kept: learned, fixed:SECONDS (0 to 86400), none; lru and greedy-dual keep them until \
            memory is short. Default: learned, as a host's. With --from-history it may be repeated.
            """,
            valueName: "policy"))
    var policy: [String] = []

    @Option(
        help: ArgumentHelp(
            "When more workers start: aware, a host's own rule; lambda, one for each concurrent invocation; kpa, as "
                + "Knative's autoscaler says, which then decides about keep-alive as well. Default: aware.",
            valueName: "rule"))
    var scaleUp: String?

    @Option(
        help: ArgumentHelp(
            "The budget that workers' memory adds up to at most. Default: 0, unlimited. With --from-history it may be "
                + "repeated; default: a half, all and twice of the host's, and unlimited.", valueName: "n"))
    var memoryMb: [Int] = []

    @Option(help: ArgumentHelp("Workers alive at the same time, at most. Default: 256, as a host's.", valueName: "n"))
    var workers: Int?

    @Option(
        help: ArgumentHelp(
            "Workers that start at the same time, 1 to 1000. Default: 16; a host's is the number of its processors.",
            valueName: "n"))
    var startsInFlight: Int?

    @Option(help: ArgumentHelp("Invocations that one worker takes at once, 1 to 64. Default: 1.", valueName: "n"))
    var concurrency: Int?

    @Option(
        help: ArgumentHelp(
            "The probability, 0 to 1, with which each init fails and each invocation crashes its worker. Default: 0.",
            valueName: "rate"))
    var faults: Double?

    @Flag(help: "Make up a trace and print it.")
    var synthesize = false

    @Option(help: ArgumentHelp("How many functions to make up.", valueName: "n"))
    var functions: Int?

    @Option(help: ArgumentHelp("For how many hours to make up invocations, at most 8784.", valueName: "h"))
    var hours: Double?

    @Option(
        help: ArgumentHelp("What random numbers begin with, for --faults and --synthesize. Default: 1.", valueName: "s")
    )
    var seed: UInt64?

    @Option(help: ArgumentHelp("Write the trace that is made up here. Default: standard output.", valueName: "file"))
    var output: String?

    @OptionGroup var client: ClientOptions

    func validate() throws {
        guard [trace != nil, synthesize, fromHistory].count(where: { $0 }) == 1 else {
            throw ValidationError("give one of --trace FILE, --from-history and --synthesize")
        }
        for (name, isGiven) in [("--endpoint", client.endpoint != nil), ("--profile", client.profile != nil)]
        where isGiven && !fromHistory { throw ValidationError("\(name) is for --from-history") }
        if !fromHistory {
            for (name, count) in [("--policy", policy.count), ("--memory-mb", memoryMb.count)] where count > 1 {
                throw ValidationError("\(name) may be repeated with --from-history only")
            }
        }
        if synthesize {
            for (name, isGiven) in [
                ("--policy", !policy.isEmpty), ("--scale-up", scaleUp != nil), ("--memory-mb", !memoryMb.isEmpty),
                ("--workers", workers != nil), ("--starts-in-flight", startsInFlight != nil),
                ("--concurrency", concurrency != nil), ("--faults", faults != nil), ("--json", client.json),
            ] where isGiven { throw ValidationError("\(name) is for --trace") }
            guard let functions, let hours else { throw ValidationError("--synthesize needs --functions and --hours") }
            guard (1...Trace.Limit.functions).contains(functions) else {
                throw ValidationError("--functions is a number from 1 to \(Trace.Limit.functions)")
            }
            guard hours > 0, hours <= Double(Trace.Limit.spanDays * 24) else {
                throw ValidationError("--hours is above 0 and at most \(Trace.Limit.spanDays * 24)")
            }
        } else {
            for (name, isGiven) in [
                ("--functions", functions != nil), ("--hours", hours != nil), ("--output", output != nil),
            ] where isGiven { throw ValidationError("\(name) is for --synthesize") }
            for (name, isGiven) in [("--scale-up", scaleUp != nil), ("--faults", faults != nil)]
            where isGiven && fromHistory { throw ValidationError("\(name) is for --trace") }
            if seed != nil, faults == nil { throw ValidationError("--seed needs --faults or --synthesize") }
        }
        for policy in policy { _ = try settings(policy: policy, memoryMb: nil) }
        for memoryMb in memoryMb { _ = try settings(policy: nil, memoryMb: memoryMb) }
        _ = try settings(policy: policy.first, memoryMb: memoryMb.first)
    }

    /// - Parameters:
    ///   - policy: `nil` is the default, as is `memoryMb`.
    ///   - base: what is not said by an option.
    func settings(
        policy: String?, memoryMb: Int?, base: Simulation.Settings = Simulation.Settings()
    ) throws -> Simulation.Settings {
        var settings = base
        if let policy { try Simulate.set(policy, in: &settings) }
        if let scaleUp {
            guard let rule = Simulation.Settings.ScaleUp(rawValue: scaleUp) else {
                throw ValidationError("--scale-up is 'aware', 'lambda' or 'kpa'")
            }
            if rule == .knative, policy != nil {
                throw ValidationError("--scale-up kpa decides itself how long workers are kept: leave out --policy")
            }
            settings.scaleUp = rule
        }
        if let memoryMb {
            guard (0...Trace.Limit.memoryMegabytes).contains(memoryMb) else {
                throw ValidationError("--memory-mb is a number from 0 to \(Trace.Limit.memoryMegabytes)")
            }
            settings.limits.memoryMegabytesMax = memoryMb > 0 ? memoryMb : .max
        }
        if let concurrency {
            guard (1...64).contains(concurrency) else {
                throw ValidationError("--concurrency is a number from 1 to 64")
            }
            settings.concurrency = concurrency
        }
        if let workers {
            let most = min(100_000, Simulation.Settings.slotsMax / settings.concurrency)
            guard (1...most).contains(workers) else {
                throw ValidationError(
                    "--workers is a number from 1 to \(most)"
                        + (most < 100_000 ? " when each takes \(settings.concurrency) at once" : ""))
            }
            settings.limits.workersMax = workers
        }
        if let startsInFlight {
            guard (1...1000).contains(startsInFlight) else {
                throw ValidationError("--starts-in-flight is a number from 1 to 1000")
            }
            settings.limits.startsInFlightMax = startsInFlight
        }
        if let faults {
            guard (0...1).contains(faults) else { throw ValidationError("--faults is a number from 0 to 1") }
            settings.faultRate = faults
        }
        if let seed { settings.seed = seed }
        return settings
    }

    static func set(_ policy: String, in settings: inout Simulation.Settings) throws {
        switch policy {
        case "learned": settings.keepAlive = .learned
        case "none": settings.keepAlive = .seconds(0)
        case "lru", "greedy-dual":
            settings.keepAlive = .seconds(.infinity)
            settings.limits.eviction = policy == "lru" ? .leastRecentlyUsed : .greedyDual
        default: settings.keepAlive = .seconds(try fixedSeconds(policy))
        }
    }

    private static func fixedSeconds(_ policy: String) throws -> Double {
        let prefix = "fixed:"
        // `Double` also reads `nan`, `inf` and hexadecimal.
        if policy.hasPrefix(prefix),
            policy.utf8.dropFirst(prefix.utf8.count).allSatisfy({ "0123456789.".utf8.contains($0) }),
            let seconds = Double(policy.dropFirst(prefix.count)), seconds <= 86_400
        {
            return seconds
        }
        throw ValidationError(
            "--policy is 'learned', 'fixed:SECONDS' with 0 to 86400 seconds, 'none', 'lru' or 'greedy-dual'")
    }

    func run() throws {
        if fromHistory { return try replayHistory() }
        guard let trace else { return try writeTrace() }
        let clock = ContinuousClock()
        let begin = clock.now
        let read = try Simulate.read(trace)
        let readAt = clock.now
        let settings = try settings(policy: policy.first, memoryMb: memoryMb.first)
        let report = Simulation.run(read, settings)
        let view = SimulationView(
            report: report, settings: settings, readSeconds: (readAt - begin) / .seconds(1),
            simulateSeconds: (clock.now - readAt) / .seconds(1))
        if client.json { Terminal.print(view.json) } else { Terminal.print(view.text) }
    }

    static func read(_ path: String) throws(CommandError) -> Trace {
        let name = path == "-" ? "standard input" : path
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .io(path: path, operation: "open", errno: errno) }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        var reader = TraceReader()
        var piece = [UInt8](repeating: 0, count: 1 << 18)
        do {
            while true {
                let count = Glibc.read(descriptor, &piece, piece.count)
                if count == 0 { return try reader.finish() }
                if count > 0 {
                    try reader.read(Array(piece[..<count]))
                } else if errno != EINTR {
                    throw CommandError.io(path: name, operation: "read", errno: errno)
                }
            }
        } catch let error as TraceError {
            throw .trace(path: name, error)
        } catch let error as CommandError {
            throw error
        } catch {
            preconditionFailure("reading a trace throws nothing else")
        }
    }

    private func writeTrace() throws {
        guard let functions, let hours else { preconditionFailure("validated") }
        var synthesis = Synthesis(functions: functions, hours: hours, seed: seed ?? 1)
        guard synthesis.expectedInvocations <= Double(Trace.Limit.rows) else {
            throw CommandError.usage(
                "this would make about \(metricText(synthesis.expectedInvocations.rounded())) invocations; "
                    + "a trace has at most \(Trace.Limit.rows)")
        }
        var descriptor = STDOUT_FILENO
        if let output {
            descriptor = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw CommandError.io(path: output, operation: "open", errno: errno) }
        }
        var text = Array((Trace.header + "\n").utf8)
        while let row = synthesis.next() {
            synthesis.appendLine(row, to: &text)
            if text.count >= 1 << 18 {
                try Simulate.write(text, to: descriptor, path: output)
                text.removeAll(keepingCapacity: true)
            }
        }
        try Simulate.write(text, to: descriptor, path: output)
        // A full disk may be noticed only now.
        if let output, close(descriptor) != 0 {
            throw CommandError.io(path: output, operation: "write", errno: errno)
        }
    }

    private static func write(_ text: [UInt8], to descriptor: Int32, path: String?) throws(CommandError) {
        guard let path else { return Terminal.write(text, to: descriptor) }
        var start = 0
        while start < text.count {
            let count = text[start...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                start += count
            } else if errno != EINTR {
                throw .io(path: path, operation: "write", errno: errno)
            }
        }
    }
}
