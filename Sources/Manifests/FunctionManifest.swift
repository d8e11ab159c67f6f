package import Domain
package import JSON

/// A `function.json`: what a function folder says of the function, and of the training function that comes with it.
///
/// All keys but `name` and `runtime` have defaults. Unknown keys are refused at every level, and so are values that this
/// host cannot honour, because a setting that is silently dropped is found out only in production.
package struct FunctionManifest: Equatable, Sendable {
    /// One of the two functions that a folder can make.
    package struct Part: Equatable, Sendable {
        package var name: FunctionName
        package var configuration: FunctionConfiguration
        package var reservedConcurrency: Int?
    }

    package let function: Part
    /// `<name>-train`, which has the same package.
    package let training: Part?
    /// The folder with the model, relative to the manifest's, without a slash at its end; `nil` when it brings none.
    package let model: String?

    /// Why a manifest cannot be taken. The text names the key, and what is allowed.
    package struct Invalid: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    package static let fileName = "function.json"
    package static let bytesMax = 64 << 10
    package static let trainingSuffix = "-train"

    package init(text: [UInt8]) throws(Invalid) {
        guard text.count <= Self.bytesMax else {
            throw Invalid(description: "\(Self.fileName) has \(text.count) bytes; allowed are \(Self.bytesMax)")
        }
        let value: JSONValue
        do throws(JSONParseError) { value = try JSONValue.parse(text) } catch {
            throw Invalid(description: "\(Self.fileName) is no JSON: \(error)")
        }
        try self.init(value)
    }

    package init(_ value: JSONValue) throws(Invalid) {
        do throws(JSONReadError) {
            try self.init(reader: try JSONObjectReader(value, named: "the manifest"))
        } catch {
            throw Invalid(description: "\(Self.fileName): \(error)")
        }
    }

    private init(reader manifest: JSONObjectReader) throws(JSONReadError) {
        try manifest.refuseKeys(besides: [
            "name", "runtime", "handler", "description", "memory", "timeout", "initTimeout", "environment",
            "workerConcurrency", "reservedConcurrency", "provisionedConcurrency", "keepAlive", "snapStart", "network",
            "batch", "model", "training", "deadLetterTarget",
        ])
        let nameText = try manifest.required("name", as: String.self)
        guard let name = FunctionName(nameText) else {
            throw manifest.notAllowed("name", "must be 1 to 64 letters, digits, '-' and '_', not '\(nameText)'")
        }
        let runtimeText = try manifest.required("runtime", as: String.self)
        guard let runtime = Runtime(runtimeText) else {
            let supported = Runtime.supportedNames.joined(separator: ", ")
            throw manifest.notAllowed("runtime", "must be one of \(supported), not '\(runtimeText)'")
        }
        let description = try manifest.optional("description", as: String.self) ?? ""
        guard description.unicodeScalars.count <= ConfigurationLimits.descriptionLengthMax else {
            throw manifest.notAllowed(
                "description", "must have at most \(ConfigurationLimits.descriptionLengthMax) characters")
        }
        try Self.refuseUnsupported(manifest)
        let own = try Self.environment(manifest)

        var settings: [String: String] = [:]
        let initTimeout = try manifest.optional("initTimeout", as: Int.self, in: 1...3600) ?? 30
        let workerConcurrency = try manifest.optional("workerConcurrency", as: Int.self, in: 1...64) ?? 1
        let isNetworkAllowed = try manifest.optional("network", as: Bool.self) ?? false
        // A setting at its default has no variable, so that a plain function has a plain environment.
        if initTimeout != FunctionSettings().initTimeoutSeconds { settings["ROOST_INIT_TIMEOUT"] = String(initTimeout) }
        if workerConcurrency != 1 { settings["ROOST_WORKER_CONCURRENCY"] = String(workerConcurrency) }
        if isNetworkAllowed { settings["ROOST_NETWORK"] = "true" }
        if let keepAlive = try Self.keepAlive(manifest) { settings["ROOST_KEEP_ALIVE"] = keepAlive }
        function = Part(
            name: name,
            configuration: try Self.configuration(
                manifest, runtime, handler: Self.defaultHandler(runtime, name, verb: "infer"), description,
                memory: 256, timeout: 10, environment: own, settings),
            reservedConcurrency: try manifest.optional(
                "reservedConcurrency", as: Int.self, in: ConfigurationLimits.reservedConcurrency) ?? 8)
        model = try Self.model(manifest)

        guard let nested = try manifest.optionalObject("training") else {
            training = nil
            return
        }
        try nested.refuseKeys(besides: ["handler", "memory", "timeout", "initTimeout", "metrics", "deadLetterTarget"])
        guard let trainingName = FunctionName(name.text + Self.trainingSuffix) else {
            throw manifest.notAllowed(
                "name", "must leave room for '\(Self.trainingSuffix)' within \(FunctionName.lengthMax) characters")
        }
        var trainingSettings = ["ROOST_TRAINS": name.text]
        let trainingInitTimeout = try nested.optional("initTimeout", as: Int.self, in: 1...3600) ?? 60
        if trainingInitTimeout != FunctionSettings().initTimeoutSeconds {
            trainingSettings["ROOST_INIT_TIMEOUT"] = String(trainingInitTimeout)
        }
        if isNetworkAllowed { trainingSettings["ROOST_NETWORK"] = "true" }
        let metrics = try Self.metrics(nested)
        if !metrics.isEmpty { trainingSettings["ROOST_METRICS"] = MetricDefinition.text(of: metrics) }
        let configuration = try Self.configuration(
            nested, runtime, handler: Self.defaultHandler(runtime, name, verb: "train"), "Trains \(name).",
            memory: 1024, timeout: 86_400, environment: own, trainingSettings)
        try Self.checkScript(configuration, nested)
        guard metrics.isEmpty || configuration.isScript else {
            throw nested.notAllowed("metrics", "are found in the output of a script; a handler reports its own")
        }
        training = Part(name: trainingName, configuration: configuration, reservedConcurrency: nil)
    }

    // MARK: - Parts

    /// What a folder has in common with `CreateFunction`.
    private static func configuration(
        _ part: JSONObjectReader, _ runtime: Runtime, handler defaultHandler: String, _ description: String,
        memory: Int, timeout: Int, environment own: [String: String], _ settings: [String: String]
    ) throws(JSONReadError) -> FunctionConfiguration {
        let handler = try part.optional("handler", as: String.self) ?? defaultHandler
        guard ConfigurationLimits.isHandler(handler) else {
            throw part.notAllowed(
                "handler", "must be 1 to \(ConfigurationLimits.handlerLengthMax) characters without white space")
        }
        let environment = own.merging(settings) { _, setting in setting }
        let memoryMegabytes = try part.optional("memory", as: Int.self, in: ConfigurationLimits.memoryMegabytes)
        let timeoutSeconds = try part.optional("timeout", as: Int.self, in: ConfigurationLimits.timeoutSeconds)
        let read: FunctionSettings
        do throws(FunctionSettings.Invalid) { read = try FunctionSettings(environment: environment) } catch {
            // Each value was checked where it was read.
            throw part.notAllowed("environment", "has a setting that cannot be taken: \(error)")
        }
        let deadLetterTarget = try part.optional("deadLetterTarget", as: String.self).map {
            text throws(JSONReadError) in
            guard let target = TargetARN(text) else {
                let services = TargetARN.services.joined(separator: ", ")
                throw part.notAllowed("deadLetterTarget", "must be an ARN of one of \(services), not '\(text)'")
            }
            return target
        }
        return FunctionConfiguration(
            runtime: runtime, handler: handler, description: description,
            // Clients of the Lambda API expect one; it has no meaning here.
            role: "arn:aws:iam::\(ARN.account):role/roost", memoryMegabytes: memoryMegabytes ?? memory,
            timeoutSeconds: timeoutSeconds ?? timeout, environment: environment, settings: read,
            deadLetterTarget: deadLetterTarget)
    }

    private static func defaultHandler(_ runtime: Runtime, _ name: FunctionName, verb: String) -> String {
        switch runtime {
        case .swift: verb
        // A module of the function's name.
        case .python3: "\(name).\(verb == "infer" ? "handler" : verb)"
        case .provided: verb == "infer" ? "bootstrap" : verb
        }
    }

    /// A training handler that ends in `.py` is a script of the package, which the runtime `python3` runs.
    private static func checkScript(
        _ configuration: FunctionConfiguration, _ training: JSONObjectReader
    ) throws(JSONReadError) {
        guard configuration.isScript else { return }
        guard case .python3 = configuration.runtime else {
            throw training.notAllowed("handler", "is a script, which needs the runtime python3")
        }
        let components = configuration.handler.split(separator: "/", omittingEmptySubsequences: false)
        guard !configuration.handler.hasPrefix("-"), components.allSatisfy({ !["", ".", ".."].contains($0) }) else {
            throw training.notAllowed(
                "handler", "must name a script inside of the function's folder, not '\(configuration.handler)'")
        }
    }

    /// As SageMaker's `MetricDefinitions`.
    private static func metrics(_ training: JSONObjectReader) throws(JSONReadError) -> [MetricDefinition] {
        var definitions: [MetricDefinition] = []
        for element in try training.objects("metrics") {
            try element.refuseKeys(besides: ["name", "regex"])
            let name = try element.required("name", as: String.self)
            let pattern = try element.required("regex", as: String.self)
            do throws(MetricDefinition.Invalid) {
                definitions.append(try MetricDefinition(name: name, pattern: pattern))
            } catch {
                throw element.notAllowed(error.key, error.reason)
            }
        }
        if let problem = MetricDefinition.problem(of: definitions) { throw training.notAllowed("metrics", problem) }
        return definitions
    }

    private static func environment(_ manifest: JSONObjectReader) throws(JSONReadError) -> [String: String] {
        let own = try manifest.optional("environment", as: [String: String].self) ?? [:]
        if let name = own.keys.sorted().first(where: { $0.hasPrefix(FunctionSettings.prefix) }) {
            throw manifest.notAllowed(
                "environment", "may not have \(name): variables '\(FunctionSettings.prefix)...' are the host's")
        }
        do throws(EnvironmentRules.Violation) { try EnvironmentRules.check(own) } catch {
            switch error {
            case .badName(let name):
                throw manifest.notAllowed(
                    "environment", "has '\(name)'; a name is a letter followed by letters, digits and '_'")
            case .reserved(let names):
                throw manifest.notAllowed(
                    "environment", "may not have \(names.joined(separator: ", ")), which the host sets")
            case .badValue(let name):
                throw manifest.notAllowed("environment", "has a NUL byte in the value of \(name)")
            case .tooLarge(let bytes):
                throw manifest.notAllowed(
                    "environment", "has \(bytes) bytes; allowed are \(EnvironmentRules.bytesMax)")
            }
        }
        return own
    }

    /// The value of `ROOST_KEEP_ALIVE`; `nil` for the default.
    private static func keepAlive(_ manifest: JSONObjectReader) throws(JSONReadError) -> String? {
        let allowed = "must be \"learned\" or 0 to 86400 seconds"
        switch try manifest.optional("keepAlive", as: JSONValue.self) {
        case nil, .string("learned"): return nil
        case .integer(let seconds) where (0...86400).contains(seconds): return String(seconds)
        case .real(let seconds) where (0...86400).contains(seconds): return "\(seconds)"
        case let other?: throw manifest.notAllowed("keepAlive", "\(allowed), not \(other.text())")
        }
    }

    private static func model(_ manifest: JSONObjectReader) throws(JSONReadError) -> String? {
        guard let text = try manifest.optional("model", as: String.self) else { return nil }
        let path = text.hasSuffix("/") ? String(text.dropLast()) : text
        let components = path.split(separator: "/", omittingEmptySubsequences: false)
        guard !path.isEmpty, !path.utf8.contains(0),
            components.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." })
        else { throw manifest.notAllowed("model", "must name a folder inside of the function's, not '\(text)'") }
        return path
    }

    private static func refuseUnsupported(_ manifest: JSONObjectReader) throws(JSONReadError) {
        if try manifest.optional("snapStart", as: Bool.self) == true {
            throw manifest.notAllowed("snapStart", "must be false: template processes are not supported yet")
        }
        if let count = try manifest.optional("provisionedConcurrency", as: Int.self), count != 0 {
            throw manifest.notAllowed("provisionedConcurrency", "must be 0, not \(count): it is not supported yet")
        }
        if let batch = try manifest.optionalObject("batch") {
            try batch.refuseKeys(besides: ["maxSize", "maxDelayMilliseconds"])
            if let size = try batch.optional("maxSize", as: Int.self), size != 1 {
                throw batch.notAllowed("maxSize", "must be 1, not \(size): batching is not supported yet")
            }
            _ = try batch.optional("maxDelayMilliseconds", as: Int.self, in: 0...60_000)
        }
    }
}

extension JSONObjectReader {
    /// Refuses the first key that is not among `allowed`, and names those that are.
    fileprivate func refuseKeys(besides allowed: [String]) throws(JSONReadError) {
        if let unknown = object.keys.first(where: { !allowed.contains($0) }) {
            throw notAllowed(unknown, "is not a known key; allowed are \(allowed.joined(separator: ", "))")
        }
    }
}
