import ArgumentParser
import JSON

struct Versions: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List a function's versions: $LATEST, then newest first; and what those that were trained come from.")

    @Argument(help: "The function's name.")
    var function: String

    @OptionGroup var client: ClientOptions

    func run() throws {
        let answer = try client.host().json("GET", .roost("functions", function, "versions"))
        if client.json { return Terminal.print(answer) }
        var table = Table("VERSION", "ALIASES", "PACKAGE", "MODEL", "MODIFIED", "FROM")
        for version in answer["Versions"]?.arrayValue ?? [] {
            let aliases = (version["Aliases"]?.arrayValue ?? []).map { text($0) }
            table.add(
                text(version["Version"]), aliases.isEmpty ? "-" : aliases.joined(separator: ","),
                shortDigest(version["Package"]), shortDigest(version["Model"]), modified(version["LastModified"]),
                Versions.origin(version))
        }
        Terminal.print(table.text)
        for version in answer["Versions"]?.arrayValue ?? [] {
            guard let lineage = version["Lineage"]?.objectValue else { continue }
            Terminal.print("\nversion \(text(version["Version"]))")
            for line in Lineage.lines(lineage) { Terminal.print("  " + line) }
        }
    }

    /// Where a version comes from, in a few words.
    static func origin(_ version: JSONValue) -> String {
        let description = version["Description"]?.stringValue ?? ""
        guard let lineage = version["Lineage"]?.objectValue else { return printable(description) }
        var parts = ["training"]
        if let base = lineage["base"] ?? lineage["Base"], !base.isNull { parts.append("of \(text(base))") }
        if let metrics = (lineage["metrics"] ?? lineage["Metrics"])?.objectValue {
            let known = ["validation_accuracy", "accuracy", "loss"].filter { metrics[$0]?.realValue != nil }
            let key = known.first ?? metrics.keys.first
            if let key, let value = metrics[key]?.realValue { parts.append("\(key) \(metricText(value))") }
        }
        return printable(parts.joined(separator: " "))
    }

    private func modified(_ value: JSONValue?) -> String {
        value?.realValue == nil ? String(text(value).prefix(19)) : time(value)
    }
}

/// Enough of a digest to tell artifacts apart.
func shortDigest(_ digest: JSONValue?) -> String {
    let hex = text(digest).drop { $0 != ":" }.dropFirst().prefix(12)
    return hex.isEmpty ? text(digest) : String(hex)
}

struct Publish: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Publish $LATEST as a new version; without a change since the last one, that one is named.")

    @Argument(help: "The function's name.")
    var function: String

    @Option(help: "What the version is, in a few words.")
    var description: String?

    @OptionGroup var client: ClientOptions

    func run() throws {
        var request = JSONObject()
        if let description { request["Description"] = .string(description) }
        let answer = try client.host().json("POST", .lambda(function, "versions"), .object(request))
        if client.json { return Terminal.print(answer) }
        Terminal.print("published version \(text(answer["Version"])) of \(function)")
    }
}
