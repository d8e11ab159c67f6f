package import Domain
internal import JSON
internal import Manifests

/// What a function's configuration may be on this machine.
package struct ConfigurationRules: Sendable {
    /// N of the machine's Python 3.N; `nil` when it has none.
    package let pythonMinor: Int?

    /// What the host's configuration has as targets of deliveries.
    package let targets: Set<TargetARN>

    package init(pythonMinor: Int?, targets: Set<TargetARN> = []) {
        self.pythonMinor = pythonMinor
        self.targets = targets
    }

    /// Refuses a target that nobody would be told of: what is accepted is not dropped.
    package func target(_ text: String) throws(WireError) -> TargetARN {
        guard let target = TargetARN(text), targets.contains(target) else {
            throw .invalid(
                "The target \(text) is not one of this host's: its configuration names them, under 'destinations'.")
        }
        return target
    }

    package func check(_ configuration: FunctionConfiguration) throws(WireError) {
        try check(configuration.runtime)
        if let target = configuration.deadLetterTarget { _ = try self.target(target.text) }
    }

    package static var architecture: String {
        #if arch(arm64)
            "arm64"
        #else
            "x86_64"
        #endif
    }

    package func runtime(_ name: String) throws(WireError) -> Runtime {
        guard let runtime = Runtime(name) else {
            throw .invalid(
                "Value \(name) at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
                    + "[\(Runtime.supportedNames.joined(separator: ", "))]")
        }
        try check(runtime)
        return runtime
    }

    /// Refuses what this machine cannot run.
    package func check(_ runtime: Runtime) throws(WireError) {
        guard case .python3(let minor) = runtime else { return }
        guard let pythonMinor else {
            throw .invalid("Runtime \(runtime) is not available: the machine has no Python 3.")
        }
        if let minor, minor > pythonMinor {
            throw .invalid("Runtime \(runtime) is not available: the machine's Python is 3.\(pythonMinor).")
        }
    }

    package func settings(_ environment: [String: String]) throws(WireError) -> FunctionSettings {
        do throws(EnvironmentRules.Violation) { try EnvironmentRules.check(environment) } catch {
            switch error {
            case .badName(let name):
                var violations = Violations()
                violations.check(
                    name, at: "environment.variables", pattern: "[a-zA-Z]([a-zA-Z0-9_])+", false)
                try violations.refuse()
            case .reserved(let names):
                throw .invalid(
                    "Lambda was unable to configure your environment variables because the environment variables you "
                        + "have provided contains reserved keys that are currently not supported for modification. "
                        + "Reserved keys used in this request: \(names.joined(separator: ", "))")
            case .badValue(let name):
                throw .invalid("Environment variable \(name) has a NUL byte, which no environment can hold.")
            case .tooLarge(let bytes):
                throw .invalid(
                    "Lambda was unable to configure your environment variables because the environment variables you "
                        + "have provided exceeded the limit of \(EnvironmentRules.bytesMax) bytes: they have \(bytes).")
            }
        }
        do throws(FunctionSettings.Invalid) { return try FunctionSettings(environment: environment) } catch {
            throw .invalid("Environment: \(error)")
        }
    }
}

/// The fields of a configuration that a request sets; `nil` for those that it leaves.
struct ConfigurationPatch {
    var runtime: Runtime?
    var role: String?
    var handler: String?
    var description: String?
    var timeoutSeconds: Int?
    var memoryMegabytes: Int?
    var environment: [String: String]?
    private var settings: FunctionSettings?
    /// `.some(nil)` takes it away.
    private var deadLetterTarget: TargetARN??

    /// Reads what `CreateFunction` and `UpdateFunctionConfiguration` have in common. Fields that cannot be honoured are
    /// refused unless they say what is the case anyhow.
    init(_ body: JSONObjectReader, _ rules: ConfigurationRules) throws(WireError) {
        let runtimeName = try read { () throws(JSONReadError) in try body.optional("Runtime", as: String.self) }
        try read { () throws(JSONReadError) in
            role = try body.optional("Role")
            handler = try body.optional("Handler")
            description = try body.optional("Description")
            timeoutSeconds = try body.optional("Timeout")
            memoryMegabytes = try body.optional("MemorySize")
            if let nested = try body.optionalObject("Environment") {
                environment = try nested.optional("Variables") ?? [:]
                try nested.refuseUnknown()
            }
        }
        let deadLetter = try read { () throws(JSONReadError) in
            try body.optionalObject("DeadLetterConfig").map { nested throws(JSONReadError) in
                let target = try nested.optional("TargetArn", as: String.self) ?? ""
                try nested.refuseUnknown()
                return target
            }
        }
        var violations = Violations()
        if let role {
            violations.check(
                role, at: "role", pattern: #"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"#,
                Self.isRole(role))
        }
        if let handler {
            violations.check(handler, at: "handler", length: 0...ConfigurationLimits.handlerLengthMax)
            violations.check(
                handler, at: "handler", pattern: #"[^\s]+"#,
                !handler.isEmpty && !handler.unicodeScalars.contains { $0.properties.isWhitespace || $0.value == 0 })
        }
        if let description {
            violations.check(description, at: "description", length: 0...ConfigurationLimits.descriptionLengthMax)
        }
        if let timeoutSeconds {
            violations.check(timeoutSeconds, at: "timeout", in: ConfigurationLimits.timeoutSeconds)
        }
        if let memoryMegabytes {
            violations.check(memoryMegabytes, at: "memorySize", in: ConfigurationLimits.memoryMegabytes)
        }
        try violations.refuse()
        runtime = try runtimeName.map { name throws(WireError) in try rules.runtime(name) }
        if let environment { settings = try rules.settings(environment) }
        if let deadLetter {
            deadLetterTarget = .some(deadLetter.isEmpty ? nil : try rules.target(deadLetter))
        }
        try Self.refuseUnsupported(body)
    }

    /// The function that the configuration trains; `nil` also when the request leaves that.
    var trained: FunctionName? { settings?.trains }

    func applied(to configuration: FunctionConfiguration) -> FunctionConfiguration {
        var new = configuration
        if let runtime { new.runtime = runtime }
        if let role { new.role = role }
        if let handler { new.handler = handler }
        if let description { new.description = description }
        if let timeoutSeconds { new.timeoutSeconds = timeoutSeconds }
        if let memoryMegabytes { new.memoryMegabytes = memoryMegabytes }
        if let environment, let settings {
            new.environment = environment
            new.settings = settings
        }
        if let deadLetterTarget { new.deadLetterTarget = deadLetterTarget }
        return new
    }

    private static func isRole(_ text: String) -> Bool {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[1].isEmpty || parts[1].hasPrefix("aws"), parts[2] == "iam",
            parts[3].isEmpty, parts[4].utf8.count == 12, parts[4].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            parts[5].hasPrefix("role")
        else { return false }
        let path = parts[5].utf8.dropFirst(4)
        return !path.isEmpty && path.allSatisfy { isWordByte($0) || "+=,.@/".utf8.contains($0) }
    }

    // MARK: - What is refused

    private static func refuseUnsupported(_ body: JSONObjectReader) throws(WireError) {
        // With each the values that ask for nothing we do not do.
        try refuse(body, "Architectures", unless: [.array([.string(ConfigurationRules.architecture)])])
        try refuse(body, "PackageType", unless: ["Zip"])
        try refuse(body, "EphemeralStorage", unless: [["Size": 512]])
        try refuse(body, "SnapStart", unless: [["ApplyOn": "None"]])
        try refuse(body, "TracingConfig", unless: [["Mode": "PassThrough"]])
        try refuse(body, "LoggingConfig", unless: [["LogFormat": "Text"]])
        for field in [
            "AcceleratorConfig", "CapacityProviderConfig", "CodeSigningConfigArn", "DurableConfig",
            "FileSystemConfigs", "ImageConfig", "KMSKeyArn", "Layers", "PublishTo", "TenancyConfig", "VpcConfig",
        ] { try refuse(body, field) }
    }

    static func refuse(_ body: JSONObjectReader, _ field: String, unless allowed: [JSONValue] = []) throws(WireError) {
        let value = try read { () throws(JSONReadError) in try body.optional(field, as: JSONValue.self) }
        guard let value, !value.saysNothing, !allowed.contains(value) else { return }
        let instead = allowed.isEmpty ? "" : "; only \(allowed.map { $0.text() }.joined(separator: ", ")) is"
        throw .invalid("\(field) is not supported here\(instead).")
    }
}

extension JSONValue {
    /// Empty all the way down: what tools send for a field that they were not given.
    var saysNothing: Bool {
        switch self {
        case .null, .bool(false), .string(""): true
        case .array(let elements): elements.isEmpty
        case .object(let object): object.entries.allSatisfy(\.value.saysNothing)
        case .bool, .integer, .real, .string: false
        }
    }
}
