import ArgumentParser
import Domain
import JSON

struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a function's model; its success publishes a new version.",
        discussion: """
            Sends the data of each channel, starts the function's training, and follows it to its end. Ctrl-C ends the \
            following, never the training. A channel's PATH is a file, or a folder whose files, less hidden ones, are taken; \
            dataset:NAME and dataset:NAME@VERSION are what `roost data put` stored.
            """)

    @Argument(help: "The function whose model is trained.")
    var function: String

    @Option(
        name: [.short, .long], parsing: .unconditional,
        help: ArgumentHelp(
            "The hyperparameters, an object: JSON, @FILE, or - for standard input. Default: {}.", valueName: "json"))
    var data: String?

    @Option(
        name: .customLong("channel"), help: ArgumentHelp("Data to train on; repeat it.", valueName: "name=path"))
    var channels: [String] = []

    @Option(
        help: ArgumentHelp("The version or alias to start from. Default: the newest model.", valueName: "qualifier"))
    var base: String?

    @Option(help: ArgumentHelp("The alias that moves to the new version.", valueName: "alias"))
    var promote: String?

    @Option(
        name: .customLong("if"),
        help: ArgumentHelp(
            "The alias moves only if this holds: METRIC>=NUMBER, METRIC<=NUMBER, or better than the version that the alias "
                + "points to: METRIC>current, METRIC<current.", valueName: "condition"))
    var gate: String?

    @Option(
        name: .customLong("name"),
        help: ArgumentHelp("The execution's name. The same name twice is the same execution.", valueName: "execution"))
    var executionName: String?

    @Option(help: "Of the function's trainings that wait, the highest comes first; -100 to 100. Default: 0.")
    var priority: Int?

    @Flag(help: "Return when the training is accepted.")
    var detach = false

    @OptionGroup var view: PlotOption
    @OptionGroup var client: ClientOptions

    func run() throws {
        let host = try client.host()
        let reference = try FunctionReference(function)
        if reference.qualifier != nil {
            throw CommandError.usage("a training names no version; use --base to say where it starts")
        }
        if detach, view.plot != nil { throw CommandError.usage("--plot is for a training that is followed") }
        let channels = try channels.map { try Channel($0) }
        for (index, channel) in channels.enumerated()
        where channels[..<index].contains(where: { $0.name == channel.name }) {
            throw CommandError.usage("the channel '\(channel.name)' is given twice")
        }
        let gate = try gate.map { try GateOption($0) }
        if gate != nil, promote == nil {
            throw CommandError.usage("--if says when an alias moves; name it with --promote")
        }
        let hyperparameters = try Train.hyperparameters(try Payload.read(data))

        let status = StatusLine(isShown: Terminal.isErrorTerminal)
        var artifacts = JSONObject()
        for channel in channels {
            if channel.isDataset {
                artifacts[channel.name] = .string(channel.path)
                continue
            }
            let uploaded = try host.upload(try FileSet(fileOrFolder: channel.path), progress: status.upload)
            status.clear()
            artifacts[channel.name] = .string(uploaded.manifest.description)
            Terminal.complain("channel \(channel.name): \(uploaded.text)")
        }
        let event = Train.event(hyperparameters, base: base, channels: artifacts, promote: promote, gate: gate)
        let arn = try host.start(
            try FunctionReference(reference.name + "-train"), payload: event.encoded(), name: executionName,
            priority: priority)
        let id = executionID(arn)
        if detach {
            if client.json {
                Terminal.print(["executionArn": .string(arn), "status": "QUEUED", "version": nil, "metrics": nil])
            } else {
                Terminal.print(arn)
                Terminal.complain("follow it with: roost executions logs \(id) --follow")
            }
            return
        }

        Terminal.complain("training \(reference.name), execution \(id)")
        var follower = ExecutionFollower(host: host, id: id, plot: view.plot)
        guard let execution = try follower.run() else {
            Terminal.complain("detached; the training goes on. Look at it with: roost executions show \(id)")
            if client.json {
                Terminal.print(["executionArn": .string(arn), "status": "RUNNING", "version": nil, "metrics": nil])
            }
            return
        }
        try report(TrainingOutcome(execution, arn: arn, lastMetrics: follower.view.metrics), of: reference.name)
    }

    private func report(_ outcome: TrainingOutcome, of name: String) throws {
        if client.json { Terminal.print(outcome.json) }
        guard outcome.status == "SUCCEEDED" else {
            throw CommandError.executionEnded(status: outcome.status, reason: outcome.reason)
        }
        guard !client.json else { return }
        var line = outcome.version.map { "published version \($0) of \(name)" } ?? "trained \(name)"
        if let seconds = outcome.seconds { line += " after \(spanText(seconds: seconds))" }
        if let promote = outcome.promotionText { line += "; \(promote)" }
        Terminal.print(line)
        if let metrics = outcome.metrics?.objectValue { Terminal.print("  " + TrainingView.text(of: metrics)) }
    }

    static func hyperparameters(_ bytes: [UInt8]) throws(CommandError) -> JSONObject {
        if bytes.isEmpty { return JSONObject() }
        let value: JSONValue
        do {
            value = try JSONValue.parse(bytes)
        } catch {
            throw .usage("the hyperparameters are no JSON: \(error)")
        }
        guard case .object(let object) = value else {
            throw .usage("the hyperparameters must be a JSON object, not \(value.kind)")
        }
        return object
    }

    /// The training's event: the hyperparameters, and under `roost` what is meant for the host. What the command line
    /// says wins over a `roost` in the hyperparameters.
    static func event(
        _ hyperparameters: JSONObject, base: String?, channels: JSONObject, promote: String?, gate: GateOption? = nil
    ) -> JSONValue {
        var event = hyperparameters
        var roost = event["roost"]?.objectValue ?? JSONObject()
        if let base { roost["base"] = .string(base) }
        if !channels.isEmpty { roost["channels"] = .object(channels) }
        if let promote { roost["promote"] = GateOption.promotion(promote, gate) }
        if !roost.isEmpty { event["roost"] = .object(roost) }
        return .object(event)
    }
}

/// `NAME=PATH` or `NAME=dataset:...` of the command line.
struct Channel: Equatable {
    let name: String
    /// A dataset's reference as it was written, if it is one.
    let path: String

    var isDataset: Bool { path.hasPrefix(DatasetReference.prefix) }

    init(_ text: String) throws(CommandError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            throw .usage("'\(text)' is no channel; write --channel NAME=PATH")
        }
        name = String(parts[0])
        path = String(parts[1])
        if isDataset, DatasetReference(path) == nil {
            throw .usage("'\(path)' is no dataset; write dataset:NAME or dataset:NAME@VERSION, or ./\(path) for a file")
        }
    }
}

/// The id of an execution, given as such or as its ARN.
func executionID(_ reference: String) -> String { reference.split(separator: "/").last.map(String.init) ?? reference }

/// What came of a training.
struct TrainingOutcome {
    let arn: String
    let status: String
    /// As a Lambda client writes it: a string of digits.
    let version: String?
    let metrics: JSONValue?
    /// What became of the alias, as the host says it; `nil` when none was to move.
    let promotion: JSONValue?
    let reason: String?
    /// From acceptance to end.
    let seconds: Double?

    /// - Parameter execution: the host's record of it.
    /// - Parameter lastMetrics: stands in where the function's answer has none.
    init(_ execution: JSONValue, arn: String, lastMetrics: JSONObject?) {
        self.arn = execution["ExecutionArn"]?.stringValue ?? arn
        status = execution["Status"]?.stringValue ?? "UNKNOWN"
        version =
            execution["PublishedVersion"]?.integerValue.map(String.init) ?? execution["PublishedVersion"]?.stringValue
        let result = execution["Result"]?.stringValue.flatMap { try? JSONValue.parse($0) }
        let final = result?["metrics"].flatMap { $0.objectValue == nil ? nil : $0 }
        metrics = final ?? lastMetrics.map { .object($0) }
        promotion = execution["Promotion"]
        let error = execution["Error"]
        let parts = [error?["ErrorType"]?.stringValue, error?["ErrorMessage"]?.stringValue].compactMap { $0 }
        reason = parts.isEmpty ? nil : parts.joined(separator: ": ")
        if let accepted = execution["AcceptedAt"]?.realValue, let ended = execution["EndedAt"]?.realValue {
            seconds = ended - accepted
        } else {
            seconds = nil
        }
    }

    /// `alias live points to it`, or why not.
    var promotionText: String? {
        guard let promotion else { return nil }
        let reason = promotion["reason"]?.stringValue.map { ": " + printable($0) } ?? ""
        let alias = text(promotion["alias"])
        if promotion["moved"]?.boolValue == true { return "alias \(alias) points to it" + reason }
        return "alias \(alias) stays" + reason
    }

    /// `promotion` only where an alias was to move.
    var json: JSONValue {
        var document: JSONObject = [
            "executionArn": .string(arn), "status": .string(status), "version": version.map { .string($0) } ?? .null,
            "metrics": metrics ?? .null,
        ]
        if let promotion { document["promotion"] = promotion }
        return .object(document)
    }
}
