import Domain
import JSON
import Scheduling
import Simulator

/// What has run on a host lately, under other policies and budgets.
extension Simulate {
    /// One run of the replay.
    private struct Row {
        let policy: String
        /// 0 is unlimited.
        let memoryMegabytes: Int
        /// The host's own budget, with the policy that its functions have unless they say otherwise.
        let isCurrent: Bool
        let report: SimulationReport
    }

    private static let policies = ["learned", "fixed:60", "fixed:300", "fixed:1200", "none"]

    func replayHistory() throws {
        let host = try client.host()
        let limits = try host.json("GET", .roost("host"))["Limits"] ?? .null
        guard let budget = limits["MemoryMegabytes"]?.integerValue, budget > 0 else {
            throw CommandError.badAnswer(
                request: "GET \(RequestPath.roost("host"))", reason: "it tells no MemoryMegabytes")
        }
        let trace = try Self.history(host)
        let current = Int(budget)
        // As the host, in all that a trace can show.
        var base = Simulation.Settings()
        let most = Simulation.Settings.slotsMax / (concurrency ?? 1)
        base.limits.workersMax = min(most, limits["Workers"]?.integerValue.map { Int($0) } ?? base.limits.workersMax)
        if let starts = limits["StartsInFlight"]?.integerValue { base.limits.startsInFlightMax = Int(starts) }
        if let price = limits["KeepAlivePrice"]?.realValue { base.limits.keepAlivePrice = price }
        if let capacity = limits["QueueCapacity"]?.integerValue { base.limits.queueCapacity = Int(capacity) }
        if let wait = limits["QueueWaitSeconds"]?.realValue { base.limits.queueWaitMax = .seconds(wait) }

        var rows: [Row] = []
        for budget in memoryMb.isEmpty ? [max(1, current / 2), current, current * 2, 0] : memoryMb {
            for policy in policy.isEmpty ? Self.policies : policy {
                let settings = try settings(policy: policy, memoryMb: budget, base: base)
                rows.append(
                    Row(
                        policy: policy, memoryMegabytes: budget, isCurrent: policy == "learned" && budget == current,
                        report: Simulation.run(trace, settings)))
            }
        }
        if client.json { Terminal.print(Self.json(rows, trace)) } else { Terminal.print(Self.text(rows, trace)) }
    }

    private static func history(_ host: HostClient) throws(CommandError) -> Trace {
        let path = RequestPath.roost("history")
        let text = try host.send("GET", path).body
        var reader = TraceReader()
        do {
            try reader.read(text)
            return try reader.finish()
        } catch {
            if error.problem == .noRows { throw .emptyHistory }
            throw .badAnswer(request: "GET \(path)", reason: "\(error)")
        }
    }

    private static func share(_ report: SimulationReport) -> Double {
        Double(report.coldStarts.total) / Double(report.invocations)
    }

    private static func json(_ rows: [Row], _ trace: Trace) -> JSONValue {
        [
            "Invocations": .integer(Int64(trace.invocations.count)),
            "Functions": .integer(Int64(trace.functions.count)),
            "SpanSeconds": .real(trace.spanSeconds),
            "Replays": .array(
                rows.map { row in
                    [
                        "Policy": .string(row.policy),
                        "MemoryMegabytes": row.memoryMegabytes == 0 ? .null : .integer(Int64(row.memoryMegabytes)),
                        "Current": .bool(row.isCurrent),
                        "ColdStarts": [
                            "Count": .integer(Int64(row.report.coldStarts.total)), "Share": .real(share(row.report)),
                        ],
                        "IdleGigabyteHours": .real(row.report.idle.gigabyteHours),
                        "WaitSecondsP99": .real(row.report.waits.p99Seconds),
                        "Refused": .integer(Int64(row.report.refused.total)),
                        "PeakMemoryMegabytes": .integer(Int64(row.report.memoryMegabytesPeak)),
                    ]
                }),
        ]
    }

    private static func text(_ rows: [Row], _ trace: Trace) -> String {
        var table = Table(
            "MEMORY MB", "POLICY", "COLD STARTS", "SHARE", "IDLE GB HOURS", "WAIT P99", "REFUSED", "PEAK MB", "")
        for row in rows {
            table.add(
                row.memoryMegabytes == 0 ? "unlimited" : String(row.memoryMegabytes), row.policy,
                String(row.report.coldStarts.total), fixed(share(row.report) * 100, 2) + " %",
                fixed(row.report.idle.gigabyteHours, 3), SimulationView.waitText(row.report.waits.p99Seconds),
                String(row.report.refused.total), String(row.report.memoryMegabytesPeak),
                row.isCurrent ? "<- this host now" : "")
        }
        return counted(trace.invocations.count, "invocation") + " of " + counted(trace.functions.count, "version")
            + " in " + spanText(seconds: trace.spanSeconds) + "\n" + table.text
    }
}

extension Trace {
    /// From the first arrival to the last.
    fileprivate var spanSeconds: Double {
        guard let first = invocations.first, let last = invocations.last else { return 0 }
        return Double(last.arrivalNanoseconds - first.arrivalNanoseconds) / 1e9
    }
}
