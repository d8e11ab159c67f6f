import Domain
import JSON
import Scheduling
import Simulator

/// What a simulation counted, for people and as JSON.
struct SimulationView {
    let report: SimulationReport
    let settings: Simulation.Settings
    let readSeconds: Double
    let simulateSeconds: Double

    private static let causes: [(cause: StartCause, key: String)] = [
        (.first, "First"), (.scaleUp, "ScaleUp"), (.keepAlivePassed, "KeepAlivePassed"), (.evicted, "Evicted"),
        (.yielded, "Yielded"), (.redeploy, "Redeploy"), (.crashed, "Crashed"), (.provisioned, "Provisioned"),
        (.prewarmed, "Prewarmed"),
    ]

    private var refusals: [(key: String, text: String, count: Int)] {
        [
            ("QueueFull", "queue full", report.refused.queueFull),
            ("WaitedTooLong", "waited too long", report.refused.waitedTooLong),
            ("WouldWaitTooLong", "would wait too long", report.refused.wouldWaitTooLong),
            ("InitFailed", "init failed", report.refused.initFailed),
            ("InitBackoff", "pause after a failed init", report.refused.initBackoff),
            ("NeverFits", "never fits", report.refused.neverFits),
        ]
    }

    private func share(_ count: Int) -> Double { Double(count) / Double(report.invocations) }

    // MARK: - JSON

    /// The same for the same trace and settings, apart from `WallClock`.
    var json: JSONValue {
        [
            "Settings": settingsJSON,
            "Functions": Self.number(report.functions),
            "Invocations": Self.number(report.invocations),
            "Finished": Self.number(report.finished),
            "Failed": Self.number(report.failed),
            "Refused": [
                "Count": Self.number(report.refused.total),
                "Reasons": .object(JSONObject(refusals.map { ($0.key, Self.number($0.count)) })),
            ],
            "ColdStarts": [
                "Count": Self.number(report.coldStarts.total), "Share": .real(share(report.coldStarts.total)),
                "Causes": Self.json(report.coldStarts),
            ],
            "WorkersStarted": ["Count": Self.number(report.starts.total), "Causes": Self.json(report.starts)],
            "InitFailures": Self.number(report.initFailures),
            "Crashes": Self.number(report.crashes),
            "Evictions": Self.number(report.evictions),
            "Yields": Self.number(report.yields),
            "WaitSeconds": [
                "P50": .real(report.waits.p50Seconds), "P99": .real(report.waits.p99Seconds),
                "Max": .real(report.waits.maxSeconds),
            ],
            "WorkerHours": times(\.hours),
            "GigabyteHours": times(\.gigabyteHours),
            "PeakMemoryMegabytes": Self.number(report.memoryMegabytesPeak),
            "PeakWorkers": Self.number(report.workersPeak),
            "SpanSeconds": .real(report.spanSeconds),
            "Events": Self.number(report.events),
            "WallClock": [
                "ReadSeconds": .real(readSeconds), "SimulateSeconds": .real(simulateSeconds),
                "EventsPerSecond": .real(Double(report.events) / max(simulateSeconds, 1e-9)),
            ],
        ]
    }

    private var settingsJSON: JSONValue {
        var keepAlive = JSONValue.null
        if case .seconds(let seconds) = settings.keepAlive, settings.scaleUp != .knative { keepAlive = .real(seconds) }
        let memory = settings.limits.memoryMegabytesMax
        return [
            "ScaleUp": .string(settings.scaleUp.rawValue),
            "KeepAliveSeconds": keepAlive,
            "MemoryMegabytes": memory == .max ? .null : Self.number(memory),
            "Workers": Self.number(settings.limits.workersMax),
            "Concurrency": Self.number(settings.concurrency),
            "Faults": .real(settings.faultRate),
            "Seed": settings.faultRate > 0 ? .string(String(settings.seed)) : .null,
        ]
    }

    private static func number(_ count: Int) -> JSONValue { .integer(Int64(count)) }

    private static func json(_ counts: CauseCounts) -> JSONValue {
        .object(JSONObject(causes.map { ($0.key, number(counts[$0.cause])) }))
    }

    private func times(_ part: KeyPath<WorkerTime, Double>) -> JSONValue {
        [
            "Starting": .real(report.starting[keyPath: part]), "Idle": .real(report.idle[keyPath: part]),
            "Busy": .real(report.busy[keyPath: part]),
        ]
    }

    // MARK: - Text

    var text: String {
        var table = Table(
            "invocations", String(report.invocations),
            "of \(counted(report.functions, "function")) in \(spanText(seconds: report.spanSeconds))")
        table.add("  finished", String(report.finished), "")
        table.add("  failed", String(report.failed), report.failed > 0 ? "their worker crashed" : "")
        table.add(
            "  refused", String(report.refused.total),
            refusals.filter { $0.count > 0 }.map { "\($0.text) \($0.count)" }.joined(separator: ", "))
        table.add(
            "cold starts", String(report.coldStarts.total),
            Self.joined(fixed(share(report.coldStarts.total) * 100, 2) + " %", report.coldStarts))
        table.add("workers started", String(report.starts.total), Self.joined(nil, report.starts))
        if report.initFailures > 0 { table.add("  failed inits", String(report.initFailures), "") }
        if report.crashes > 0 { table.add("  crashes", String(report.crashes), "") }
        table.add("evictions", String(report.evictions), report.yields > 0 ? "and gave way \(report.yields)" : "")
        table.add(
            "wait", Self.waitText(report.waits.p50Seconds),
            "median; p99 \(Self.waitText(report.waits.p99Seconds)), max \(Self.waitText(report.waits.maxSeconds))")
        for (name, time) in [("idle", report.idle), ("busy", report.busy), ("starting", report.starting)] {
            table.add(name, fixed(time.hours, 3), "worker hours, \(fixed(time.gigabyteHours, 3)) GB hours")
        }
        table.add("peak", String(report.workersPeak), "workers, \(report.memoryMegabytesPeak) MB")
        table.add(
            "simulated in", spanText(seconds: simulateSeconds),
            "\(report.events) events, \(metricText((Double(report.events) / max(simulateSeconds, 1e-9)).rounded())) per second;"
                + " read in \(spanText(seconds: readSeconds))")
        return table.text
    }

    static func waitText(_ seconds: Double) -> String {
        seconds < 1 ? fixed(seconds * 1000, 1) + " ms" : spanText(seconds: seconds)
    }

    /// `1.20 %: first 3, scale-up 4`, without causes that did not occur.
    private static func joined(_ head: String?, _ counts: CauseCounts) -> String {
        let list = causes.filter { counts[$0.cause] > 0 }.map { "\($0.cause.rawValue) \(counts[$0.cause])" }
        return [head, list.isEmpty ? nil : list.joined(separator: ", ")].compactMap { $0 }.joined(separator: ": ")
    }
}
