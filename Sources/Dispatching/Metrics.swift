internal import Domain
internal import Scheduling

/// Counters since the host started, and their Prometheus form. Lives on the loop.
package final class Metrics {
    /// Of one function.
    private struct Counters {
        var succeeded: UInt64 = 0
        var functionErrors: UInt64 = 0
        var refused: UInt64 = 0
        var coldStarts: [StartCause: UInt64] = [:]
        var queueSeconds = 0.0
        var initSeconds = 0.0
        var runSeconds = 0.0
    }

    /// Of one target of deliveries.
    struct DeliveryCounters {
        var waiting = 0
        var told = 0
        /// Tries that failed.
        var failures = 0
        var givenUp = 0
    }

    private var functions: [FunctionName: Counters] = [:]
    var deliveries: [TargetARN: DeliveryCounters] = [:]
    var workersStarted: UInt64 = 0
    var initFailures: UInt64 = 0

    package init() {}

    func count(_ function: FunctionName, _ outcome: InvocationOutcome) {
        update(&functions[function, default: Counters()], outcome)
    }

    private func update(_ counters: inout Counters, _ outcome: InvocationOutcome) {
        switch outcome.result {
        case .success, .filed, .streamed(functionError: nil): counters.succeeded += 1
        case .functionError, .streamed: counters.functionErrors += 1
        case .refused: counters.refused += 1
        }
        counters.queueSeconds += outcome.timing.queue.seconds
        counters.runSeconds += outcome.timing.run.seconds
        if let initialization = outcome.timing.initialization, let cause = outcome.timing.startCause {
            counters.coldStarts[cause, default: 0] += 1
            counters.initSeconds += initialization.seconds
        }
    }

    /// The Prometheus text format, version 0.0.4.
    ///
    /// - Parameter report: the workers as they are now.
    package func text(_ report: SchedulingReport) -> String {
        let pools = report.pools
        var text = ""
        func family(_ name: String, _ kind: String, _ help: String, _ samples: [(labels: String, value: String)]) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
            for sample in samples { text += "\(name)\(sample.labels) \(sample.value)\n" }
        }
        let sorted = functions.sorted { $0.key < $1.key }
        family(
            "roost_invocations_total", "counter", "Invocations that have ended, by result.",
            sorted.flatMap { name, counters in
                [
                    ("{function=\"\(name)\",result=\"success\"}", "\(counters.succeeded)"),
                    ("{function=\"\(name)\",result=\"function_error\"}", "\(counters.functionErrors)"),
                    ("{function=\"\(name)\",result=\"refused\"}", "\(counters.refused)"),
                ]
            })
        family(
            "roost_cold_starts_total", "counter",
            "Invocations that waited for a worker to start, by why it was started; causes that have not come are left out.",
            sorted.flatMap { name, counters in
                StartCause.allCases.compactMap { cause in
                    counters.coldStarts[cause].map { ("{function=\"\(name)\",cause=\"\(cause.rawValue)\"}", "\($0)") }
                }
            })
        for (name, help, value) in [
            ("queue", "Time invocations waited for a free worker.", \Counters.queueSeconds),
            ("init", "Time invocations waited for their worker's init.", \Counters.initSeconds),
            ("run", "Time invocations ran.", \Counters.runSeconds),
        ] {
            family(
                "roost_invocation_\(name)_seconds_total", "counter", help,
                sorted.map { ("{function=\"\($0.key)\"}", "\($0.value[keyPath: value])") })
        }
        family("roost_workers_started_total", "counter", "Workers started.", [("", "\(workersStarted)")])
        family("roost_init_failures_total", "counter", "Workers whose init failed.", [("", "\(initFailures)")])
        family(
            "roost_workers", "gauge", "Workers now, by state.",
            pools.flatMap { pool in
                let labels = "function=\"\(pool.function)\",version=\"\(pool.version)\""
                return [
                    ("{\(labels),state=\"starting\"}", "\(pool.status.starting)"),
                    ("{\(labels),state=\"idle\"}", "\(pool.status.idle)"),
                    ("{\(labels),state=\"busy\"}", "\(pool.status.busy)"),
                    ("{\(labels),state=\"stopping\"}", "\(pool.status.stopping)"),
                ]
            })
        family(
            "roost_queued_invocations", "gauge", "Invocations that wait for a worker.",
            pools.map { ("{function=\"\($0.function)\",version=\"\($0.version)\"}", "\($0.status.queued)") })
        for (name, help, megabytes) in [
            ("used", "Memory that workers count for.", report.host.memoryMegabytes),
            (
                "budget", "Memory that workers may count for now; memory pressure lowers it.",
                report.host.memoryMegabytesMax
            ),
            ("limit", "Memory that workers may count for without memory pressure.", report.limits.memoryMegabytesMax),
        ] {
            family("roost_memory_\(name)_bytes", "gauge", help, [("", "\(megabytes << 20)")])
        }
        let told = deliveries.sorted { $0.key < $1.key }
        family(
            "roost_deliveries_total", "counter", "What targets were told of executions' ends, by result.",
            told.flatMap { target, counters in
                [
                    ("{target=\"\(target)\",result=\"told\"}", "\(counters.told)"),
                    ("{target=\"\(target)\",result=\"failed_try\"}", "\(counters.failures)"),
                    ("{target=\"\(target)\",result=\"given_up\"}", "\(counters.givenUp)"),
                ]
            })
        family(
            "roost_deliveries_waiting", "gauge", "What targets are still to be told.",
            told.map { ("{target=\"\($0.key)\"}", "\($0.value.waiting)") })
        return text
    }
}
