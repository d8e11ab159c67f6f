package import Dispatching
package import Domain
internal import JSON
package import LambdaAPI
package import Scheduling
package import Workers

#if canImport(Glibc)
    internal import Glibc
#endif

/// Everything about a host that can be chosen. docs/SETTINGS.md lists the keys of the configuration file.
package struct HostSettings: Sendable {
    package enum Sandbox: String, Sendable {
        case bubblewrap, none
    }

    package var host = "127.0.0.1"
    /// 0 picks a free one.
    package var port = 7070
    package var dataDirectory = ".roost"
    package var sandbox = Sandbox.bubblewrap
    /// What runs `python3` functions.
    package var pythonInterpreter = "/usr/bin/python3"
    package var limits = HostLimits()
    package var requestLimits = LambdaAPI.Limits()
    /// Of the answer to an asynchronous invocation.
    package var answerBytesMax = 1 << 30
    package var executions = Executions.Settings()
    package var deliveries = Deliveries.Settings()
    /// Artifacts that nothing refers to are kept for this long after their last use.
    package var artifactGrace = Interval.seconds(24 * 3600)
    /// Of all files that a training leaves.
    package var trainingOutputBytesMax = 100_000_000_000
    /// At SIGTERM, what runs has this long to finish.
    package var shutdownMax = Interval.seconds(30)
    package var connectionsMax = 10_000
    /// Names callbacks that hold the loop for over 50 ms, on standard error.
    package var isDebugging = false

    /// Where the machine's memory pressure is read.
    package enum PressureSource: Equatable, Sendable {
        /// The kernel's files, those that are there: the machine's and the own cgroup's.
        case machine
        /// Nowhere; the budget stays.
        case none
        /// A file of the same form.
        case file(String)
    }

    package var pressureSource = PressureSource.machine
    /// A place that is told of executions' ends, as the file has it; what it names is looked at by the start.
    package struct Target: Equatable, Sendable {
        package enum Place: Equatable, Sendable {
            case directory(String)
            case webhook(url: String, secretFile: String, caFile: String?, timeout: Interval)
        }

        package var name: TargetARN
        package var place: Place
    }

    /// 100 at most.
    package var targets: [Target] = []
    /// What there is of memory, read when this was made.
    package let machine = MachineMemory()

    package init() {
        limits.memoryMegabytesMax = max(1, machine.megabytes / 10 * 8)
        // Starting is work for the processor: more at once would be slower together, and slow what is running.
        limits.startsInFlightMax = min(1000, max(2, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    }

    package struct Invalid: Error, CustomStringConvertible {
        package let description: String
    }

    /// Sets what a configuration file says. Unknown keys are refused.
    package mutating func read(_ file: [UInt8]) throws(Invalid) {
        do {
            let value: JSONValue
            do throws(JSONParseError) {
                value = try JSONValue.parse(file)
            } catch {
                throw Invalid(description: "this is no JSON: \(error)")
            }
            let reader = try JSONObjectReader(value, named: "the configuration")
            try read(reader)
            try reader.refuseUnknown()
        } catch let error as Invalid {
            throw error
        } catch {
            throw Invalid(description: "\(error)")
        }
    }

    private mutating func read(_ reader: JSONObjectReader) throws {
        if let listen = try reader.optional("listen", as: String.self) {
            do { try setListen(listen) } catch { throw reader.notAllowed("listen", "\(error)") }
        }
        if let directory = try reader.optional("dataDirectory", as: String.self) { dataDirectory = directory }
        if let text = try reader.optional("sandbox", as: String.self) {
            guard let sandbox = Sandbox(rawValue: text) else {
                throw reader.notAllowed("sandbox", "must be 'bubblewrap' or 'none'")
            }
            self.sandbox = sandbox
        }
        if let python = try reader.optional("python", as: String.self) { pythonInterpreter = python }
        func set<Value>(_ key: String, _ range: ClosedRange<Value>, _ apply: (Value) -> Void) throws
        where Value: JSONReadable & Comparable {
            if let value = try reader.optional(key, in: range) { apply(value) }
        }
        try set("memoryMegabytes", 64...16_777_216) { limits.memoryMegabytesMax = $0 }
        if let text = try reader.optional("memoryPressure", as: String.self) {
            switch text {
            case "auto": pressureSource = .machine
            case "off": pressureSource = .none
            default:
                guard text.hasPrefix("/") else {
                    throw reader.notAllowed("memoryPressure", "must be 'auto', 'off' or a path that begins with '/'")
                }
                pressureSource = .file(text)
            }
        }
        try set("workersMax", 1...100_000) { limits.workersMax = $0 }
        try set("startsInFlightMax", 1...1000) { limits.startsInFlightMax = $0 }
        try set("queueCapacity", 1...1_000_000) { limits.queueCapacity = $0 }
        try set("queueWaitSeconds", 0.001...3600) { limits.queueWaitMax = .seconds($0 as Double) }
        try set("trainingConcurrency", 1...1000) { limits.trainingConcurrency = $0 }
        try set("trainingOutputMegabytes", 1...100_000) { trainingOutputBytesMax = $0 * 1_000_000 }
        try set("keepAlivePrice", 0.001...1_000_000) { limits.keepAlivePrice = $0 }
        try set("shutdownSeconds", 0...3600) { shutdownMax = .seconds($0 as Double) }
        try set("executionRetentionDays", 1...3650) { executions.retention = .seconds(86_400 * ($0 as Double)) }
        try set("artifactGraceHours", 0...8760) { artifactGrace = .seconds(3600 * ($0 as Double)) }
        try set("stopGraceSeconds", 0...3600) { executions.stopGrace = .seconds($0 as Double) }
        try set("connectionsMax", 1...1_000_000) { connectionsMax = $0 }
        try set("eventMegabytes", 1...64) { requestLimits.eventBytesMax = $0 << 20 }
        try set("resultMegabytes", 6...100_000) { answerBytesMax = $0 << 20 }
        try set("deliveryHours", 1...720) { deliveries.policy.ageMax = .seconds(3600 * ($0 as Double)) }
        if let nested = try reader.optionalObject("destinations") { targets = try Self.targets(nested) }
        if let delays = try reader.optional("retryDelaysSeconds", as: [Double].self) {
            guard delays.count <= 10, delays.allSatisfy({ (0...86400).contains($0) }) else {
                throw reader.notAllowed("retryDelaysSeconds", "must be at most 10 numbers from 0 to 86400")
            }
            executions.retryDelays = delays.map { .seconds($0) }
        }
    }

    private static let targetsMax = 100

    private static func targets(_ reader: JSONObjectReader) throws(JSONReadError) -> [Target] {
        let keys = reader.object.keys
        guard keys.count <= targetsMax else {
            throw .notAllowed(path: "destinations", reason: "has \(keys.count) members; allowed are \(targetsMax)")
        }
        return try keys.map { key throws(JSONReadError) in
            guard let name = TargetARN(key) else {
                let services = TargetARN.services.joined(separator: ", ")
                throw .notAllowed(
                    path: "destinations",
                    reason: "has '\(key)', which is no ARN of one of \(services), such as "
                        + "arn:aws:sqs:\(ARN.region):\(ARN.account):failures")
            }
            let nested = try reader.requiredObject(key)
            let place = try place(nested)
            try nested.refuseUnknown()
            return Target(name: name, place: place)
        }
    }

    private static func place(_ reader: JSONObjectReader) throws(JSONReadError) -> Target.Place {
        if reader.has("directory") == reader.has("url") {
            throw .notAllowed(path: reader.path, reason: "must have either 'directory' or 'url'")
        }
        if reader.has("directory") { return .directory(try reader.required("directory")) }
        let url = try reader.required("url", as: String.self)
        guard url.hasPrefix("https://") || url.hasPrefix("http://"), url.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw reader.notAllowed("url", "must begin with https:// or http://, and have no white space") }
        return .webhook(
            url: url, secretFile: try reader.required("secretFile"), caFile: try reader.optional("caFile"),
            timeout: .seconds(try reader.optional("timeoutSeconds", in: 0.1...300) ?? 10.0))
    }

    /// `HOST:PORT`, with a numeric host; an IPv6 one in brackets.
    package mutating func setListen(_ text: String) throws(Invalid) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else { throw Invalid(description: "'\(text)' is not HOST:PORT, such as 127.0.0.1:7070") }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.host = host == "localhost" ? "127.0.0.1" : String(host)
        self.port = port
    }

    package var isLoopback: Bool { host == "::1" || host.hasPrefix("127.") }
}
