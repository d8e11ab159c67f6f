import ArgumentParser
import JSON

/// What differs between two versions of a function. Pure: the host's documents in, differences out.
struct VersionDiff: Equatable {
    struct Difference: Equatable {
        var field: String
        /// `nil` where the version has no such field.
        var from: JSONValue?
        var to: JSONValue?
        /// Of numbers: how much more the second one is.
        var change: Double?
    }

    private(set) var groups: [(name: String, differences: [Difference])] = []

    /// - Parameters:
    ///   - from, to: a configuration of the Lambda API, and the same version in the list of versions.
    init(
        from: (configuration: JSONValue, version: JSONValue), to: (configuration: JSONValue, version: JSONValue)
    ) {
        func add(_ name: String, _ from: JSONObject, _ to: JSONObject, isMeasured: Bool = false) {
            let keys = from.keys + to.keys.filter { from[$0] == nil }
            let differences = keys.compactMap { key in Self.difference(key, from[key], to[key], isMeasured) }
            if !differences.isEmpty { groups.append((name, differences)) }
        }
        add("Configuration", Self.settings(from.configuration), Self.settings(to.configuration))
        add("Artifacts", Self.artifacts(from.version), Self.artifacts(to.version))
        let lineages = [from.version, to.version].map { $0["Lineage"]?.objectValue ?? JSONObject() }
        add("Lineage", Self.origin(lineages[0]), Self.origin(lineages[1]), isMeasured: true)
        add(
            "Hyperparameters", lineages[0]["hyperparameters"]?.objectValue ?? [:],
            lineages[1]["hyperparameters"]?.objectValue ?? [:])
        add(
            "Metrics", lineages[0]["metrics"]?.objectValue ?? [:], lineages[1]["metrics"]?.objectValue ?? [:],
            isMeasured: true)
    }

    static func == (left: VersionDiff, right: VersionDiff) -> Bool { left.json == right.json }

    private static func difference(
        _ field: String, _ from: JSONValue?, _ to: JSONValue?, _ isMeasured: Bool
    ) -> Difference? {
        let from = from?.isNull == true ? nil : from
        let to = to?.isNull == true ? nil : to
        if from == to { return nil }
        guard let before = from?.realValue, let after = to?.realValue else {
            return Difference(field: field, from: from, to: to)
        }
        // `3` and `3.0`.
        if before == after { return nil }
        return Difference(field: field, from: from, to: to, change: isMeasured ? after - before : nil)
    }

    /// What every version has of its own, and what is told in another group.
    private static let unset: Set = [
        "FunctionArn", "FunctionName", "Version", "RevisionId", "LastModified", "CodeSha256", "CodeSize", "MasterArn",
        "ConfigSha256",
    ]

    private static func settings(_ configuration: JSONValue) -> JSONObject {
        var settings = JSONObject()
        for entry in configuration.objectValue?.entries ?? [] where !unset.contains(entry.key) {
            guard entry.key == "Environment" else {
                settings[entry.key] = entry.value
                continue
            }
            for variable in entry.value["Variables"]?.objectValue?.entries ?? [] {
                settings["Environment " + variable.key] = variable.value
            }
        }
        return settings
    }

    private static func artifacts(_ version: JSONValue) -> JSONObject {
        ["Package": version["Package"] ?? .null, "Model": version["Model"] ?? .null]
    }

    /// The lineage less what has a group of its own; of channels with a dataset the dataset.
    private static func origin(_ lineage: JSONObject) -> JSONObject {
        var origin = JSONObject()
        for entry in lineage.entries {
            switch entry.key {
            case "hyperparameters", "metrics", "model", "datasets", "attempt": break
            case "channels":
                for channel in Lineage.channels(lineage) { origin["channel " + channel.name] = .string(channel.text) }
            default: origin[entry.key] = entry.value
            }
        }
        return origin
    }

    var json: JSONValue {
        var document = JSONObject()
        for group in groups {
            document[group.name] = .array(
                group.differences.map { difference in
                    var entry: JSONObject = [
                        "Field": .string(difference.field), "From": difference.from ?? .null,
                        "To": difference.to ?? .null,
                    ]
                    if let change = difference.change { entry["Change"] = .real(change) }
                    return .object(entry)
                })
        }
        return .object(document)
    }

    /// One table over all groups; empty when nothing differs.
    func text(from: String, to: String) -> String {
        guard !groups.isEmpty else { return "" }
        var table = Table("WHAT", "VERSION \(from)", "VERSION \(to)", "CHANGE")
        for group in groups {
            for difference in group.differences {
                table.add(
                    printable("\(group.name.lowercased()) \(difference.field)"), Self.text(difference.from),
                    Self.text(difference.to), difference.change.map { ($0 > 0 ? "+" : "") + metricText($0) } ?? "")
            }
        }
        return table.text
    }

    private static func text(_ value: JSONValue?) -> String {
        guard let value else { return "-" }
        if let text = value.stringValue { return printable(text.hasPrefix("sha256:") ? shortDigest(value) : text) }
        return printable(value.realValue.map(metricText) ?? value.text())
    }
}

struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what differs between two versions: configuration, package, model, lineage, metrics.")

    @Argument(help: "The function's name.")
    var function: String

    @Argument(help: "A version, $LATEST or an alias.")
    var from: String

    @Argument(help: "Another one.")
    var to: String

    @OptionGroup var client: ClientOptions

    func run() throws {
        let host = try client.host()
        let versions = try host.json("GET", .roost("functions", function, "versions"))["Versions"]?.arrayValue ?? []
        /// The host resolves an alias, and says what is not there.
        func load(_ qualifier: String) throws -> (configuration: JSONValue, version: JSONValue) {
            let configuration = try host.json(
                "GET", .lambda(function, "configuration", query: [("Qualifier", qualifier)]))
            let version = versions.first { $0["Version"] == configuration["Version"] }
            guard let version else {
                throw CommandError.badAnswer(request: "the versions of \(function)", reason: "there is no \(qualifier)")
            }
            return (configuration, version)
        }
        let before = try load(from)
        let after = try load(to)
        let diff = VersionDiff(from: before, to: after)
        let (fromNumber, toNumber) = (text(before.version["Version"]), text(after.version["Version"]))
        if client.json {
            guard case .object(let differences) = diff.json else { return }
            var document: JSONObject = [
                "Function": .string(function), "From": .string(fromNumber), "To": .string(toNumber),
            ]
            for entry in differences.entries { document[entry.key] = entry.value }
            return Terminal.print(.object(document))
        }
        let shown = diff.text(from: fromNumber, to: toNumber)
        Terminal.print(
            shown.isEmpty ? "versions \(fromNumber) and \(toNumber) of \(function) are the same" : shown)
    }
}
