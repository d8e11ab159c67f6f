import ArgumentParser
import JSON

struct Ps: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List pools and workers, the memory they take, and what is evicted next.",
        discussion: """
            A pool is all workers of one version. Memory is measured a moment after a worker is ready, and what was \
            declared until then, which a * marks.
            """)

    @Flag(help: "List what happened to workers and why instead, the newest at the end.")
    var events = false

    @Option(
        name: [.customShort("n"), .long], help: "With --events: how many of the newest, at most 1000. Default: 100.")
    var lines: Int?

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if let lines {
            if !events { throw ValidationError("--lines goes with --events") }
            if !(1...1000).contains(lines) { throw ValidationError("--lines is a number from 1 to 1000") }
        }
    }

    func run() throws {
        let host = try client.host()
        if events {
            let answer = try host.json(
                "GET", .roost("workers", "events", query: [("limit", String(lines ?? 100))]))
            return client.json ? Terminal.print(answer) : Terminal.print(Ps.eventTable(answer))
        }
        let answer = try host.json("GET", .roost("workers"))
        if client.json { return Terminal.print(answer) }
        Terminal.print(Ps.overview(answer))
    }

    // MARK: - Pools and workers

    private static func overview(_ answer: JSONValue) -> String {
        var pools = Table("POOL", "QUEUED", "RUNNING", "STARTING", "IDLE", "BUSY", "STOPPING", "MEMORY", "DECLARED")
        var workers = Table("WORKER", "OF", "PROCESS", "STATE", "FOR", "AGE", "START CAUSE", "MEMORY")
        var (workersCount, poolsCount) = (0, 0)
        for pool in answer["Pools"]?.arrayValue ?? [] {
            let list = pool["Workers"]?.arrayValue ?? []
            // Known from an earlier call; nothing is left of it.
            if list.isEmpty, pool["Queued"] == 0 { continue }
            let name = text(pool["FunctionName"]) + ":" + text(pool["Version"])
            poolsCount += 1
            pools.add(
                name, text(pool["Queued"]), text(pool["Running"]), text(pool["Starting"]), text(pool["Idle"]),
                text(pool["Busy"]), text(pool["Stopping"]), megabytes(pool["MemoryMegabytes"]),
                megabytes(pool["DeclaredMegabytes"]) + " each")
            for worker in list {
                workersCount += 1
                workers.add(
                    text(worker["Id"]), name, text(worker["ProcessId"]),
                    text(worker["State"]) + (worker["Provisioned"] == true ? ", provisioned" : ""),
                    span(worker["SinceSeconds"]), span(worker["AgeSeconds"]), text(worker["Cause"]),
                    megabytes(worker["MemoryMegabytes"]) + (worker["Measured"] == true ? "" : " *"))
            }
        }
        var parts: [String] = []
        if poolsCount > 0 { parts.append(pools.text) }
        if workersCount > 0 { parts.append(workers.text) }
        if poolsCount == 0 { parts.append("no workers; every function sleeps") }
        parts.append(totals(answer["Host"]) + "\n" + eviction(answer["NextEviction"]))
        return parts.joined(separator: "\n\n")
    }

    private static func totals(_ host: JSONValue?) -> String {
        let budget = host?["MemoryMegabytesBudget"]
        let limit = host?["MemoryMegabytesMax"]
        let lowered = budget == limit ? "" : ", lowered by memory pressure from \(megabytes(limit))"
        return "memory   \(text(host?["MemoryMegabytes"])) of \(megabytes(budget))\(lowered)\n"
            + "workers  \(text(host?["Workers"])) of \(text(host?["WorkersMax"])), "
            + "\(text(host?["StartsInFlight"])) starting of \(text(host?["StartsInFlightMax"]))"
    }

    /// Which worker makes room first, and the terms that make it the one.
    private static func eviction(_ next: JSONValue?) -> String {
        guard let next, next != .null else { return "evicted next: none, no worker is idle" }
        let name = text(next["FunctionName"]) + ":" + text(next["Version"])
        let worker = "evicted next: worker \(text(next["Worker"])) of \(name), idle for \(span(next["IdleSeconds"]))"
        if next["Training"] == true { return worker + ": idle workers of trainings go first" }
        func number(_ key: String) -> String { metricText(next[key]?.realValue ?? 0) }
        let gigabytes = metricText((next["MemoryMegabytes"]?.realValue ?? 0) / 1024)
        return worker + ": it has the lowest priority, \(number("Priority")) = clock \(number("Clock"))"
            + " + \(number("UsesPerDay")) uses a day x \(number("ColdCostSeconds")) s cold cost / \(gigabytes) GB"
    }

    // MARK: - Events

    private static func eventTable(_ answer: JSONValue) -> String {
        var table = Table("WHEN", "EVENT", "OF", "WORKER", "WHY")
        for event in answer["Events"]?.arrayValue ?? [] {
            let of = event["FunctionName"].map { text($0) + ":" + text(event["Version"]) } ?? "-"
            table.add(time(event["At"]), text(event["Event"]), of, text(event["Worker"]), printable(why(event)))
        }
        return table.text
    }

    private static func why(_ event: JSONValue) -> String {
        if let cause = event["Cause"] { return text(cause) }
        if let coldStart = event["ColdStartMilliseconds"]?.realValue {
            return "cold start \(spanText(seconds: coldStart / 1000))"
        }
        if let now = event["Megabytes"] { return "\(megabytes(now)), before \(megabytes(event["MegabytesBefore"]))" }
        return text(event["Reason"]) + (event["For"].map { " for " + text($0) } ?? "")
    }

    private static func megabytes(_ value: JSONValue?) -> String { text(value) + " MB" }

    private static func span(_ value: JSONValue?) -> String {
        value?.realValue.map { spanText(seconds: $0) } ?? "-"
    }
}
