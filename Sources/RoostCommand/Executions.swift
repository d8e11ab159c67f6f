import ArgumentParser
import Domain
import Glibc
import JSON

struct Executions: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Asynchronous invocations and trainings: list, show, result, pause, resume, stop, redrive, remove, logs.",
        subcommands: [
            List.self, Show.self, Answer.self, Pause.self, Resume.self, Stop.self, Redrive.self, Remove.self, Logs.self,
        ])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "List executions, newest first.")

        @Argument(help: "Only those of this function.")
        var function: String?

        @Option(
            help:
                "Only those with this status: QUEUED, RUNNING, PAUSING, PAUSED, SUCCEEDED, FAILED, TIMED_OUT or STOPPED."
        )
        var status: String?

        @Option(help: "At most so many, 1 to 1000.")
        var limit = 50

        @OptionGroup var client: ClientOptions

        func validate() throws {
            if let status, Execution.Status(rawValue: status.uppercased()) == nil {
                let names = Execution.Status.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("'\(status)' is no status; there are \(names)")
            }
            if !(1...1000).contains(limit) { throw ValidationError("--limit is a number from 1 to 1000") }
        }

        func run() throws {
            let path = RequestPath.roost(
                "executions",
                query: [("function", function), ("status", status?.uppercased()), ("limit", String(limit))])
            let answer = try client.host().json("GET", path)
            if client.json { return Terminal.print(answer) }
            var table = Table("ID", "FUNCTION", "STATUS", "ATTEMPT", "PROGRESS", "ACCEPTED", "TOOK")
            for execution in answer["Executions"]?.arrayValue ?? [] {
                table.add(
                    text(execution["Id"]), text(execution["FunctionName"]) + ":" + text(execution["Version"]),
                    text(execution["Status"]), text(execution["Attempt"]),
                    execution["Progress"]?["fraction"]?.realValue.map { "\(Int($0 * 100)) %" } ?? "-",
                    time(execution["AcceptedAt"]), took(execution))
            }
            Terminal.print(table.text)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Show an execution and what happened to it; with --json, the course of its metrics.")

        @Argument(help: "The execution's id or ARN.")
        var execution: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            let id = executionID(execution)
            let execution = try host.json("GET", .roost("executions", id))
            if client.json {
                var document = execution.objectValue ?? JSONObject()
                var history = MetricHistory()
                _ = try host.eachEvent(of: id) { kind, at, detail in
                    if kind == "progress" { history.take(at: at, report: detail) }
                }
                document["Metrics"] = history.json
                return Terminal.print(.object(document))
            }
            for (key, value) in execution.objectValue?.entries.map({ ($0.key, $0.value) }) ?? [] where !value.isNull {
                let shown = key.hasSuffix("At") ? time(value) : text(value)
                Terminal.print(key + String(repeating: " ", count: max(1, 18 - key.count)) + printable(shown))
            }
            let events = try host.json("GET", .roost("executions", id, "events", query: [("limit", "1000")]))
            for event in events["Events"]?.arrayValue ?? [] {
                let detail = event["Detail"].map { $0 == [:] || $0.isNull ? "" : "  " + $0.text() } ?? ""
                Terminal.print("  \(time(event["At"]))  \(text(event["Kind"]))\(printable(detail))")
            }
        }
    }

    struct Answer: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "result", abstract: "Print what a function answered, as it answered it, of any length.")

        @Argument(help: "The execution's id or ARN.")
        var execution: String

        @Flag(help: "The event that it was given instead.")
        var input = false

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            let id = executionID(execution)
            var offset = 0
            var size = 0
            var payload: [UInt8] = []
            repeat {
                let path = RequestPath.roost(
                    "executions", id, input ? "input" : "result", query: [("offset", String(offset))])
                let page = try host.send("GET", path)
                guard let total = page["roost-size"].flatMap({ Int($0) }), offset == total || !page.body.isEmpty
                else {
                    throw CommandError.badAnswer(request: "the result of \(id)", reason: "it does not say its size")
                }
                size = total
                offset += page.body.count
                if client.json { payload += page.body } else { Terminal.write(page.body, to: STDOUT_FILENO) }
            } while offset < size
            if client.json {
                Terminal.print(["Id": .string(id), "Payload": .string(String(decoding: payload, as: UTF8.self))])
            }
        }
    }

    struct Stop: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop an execution; a training that runs writes a checkpoint first.")

        @OptionGroup var target: ExecutionTarget

        func run() throws { try target.send("POST", "stop", [:], doing: "stopping") }
    }

    struct Pause: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Pause an execution; a training that runs writes a checkpoint first.")

        @OptionGroup var target: ExecutionTarget
        @OptionGroup var reason: ExecutionReason

        func run() throws { try target.send("POST", "pause", reason.body, doing: "pausing") }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a paused execution go on, a training from its last checkpoint.")

        @OptionGroup var target: ExecutionTarget
        @OptionGroup var reason: ExecutionReason

        func run() throws { try target.send("POST", "resume", reason.body, doing: "resumed") }
    }

    struct Redrive: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run the events of executions that failed again.",
            discussion: """
                Each becomes a new execution of what its function is now. One that was redriven before is not run twice.
                """)

        @Argument(help: "The executions' ids or ARNs.")
        var executions: [String] = []

        @Option(help: "All of this function that have failed or timed out.")
        var function: String?

        @OptionGroup var client: ClientOptions

        func validate() throws {
            guard executions.isEmpty != (function == nil) else {
                throw ValidationError("name executions, or a function with --function")
            }
        }

        func run() throws {
            let host = try client.host()
            var ids = executions.map(executionID)
            if let function { ids = try Redrive.failed(of: function, on: host) }
            var documents: [JSONValue] = []
            for id in ids {
                let answer = try host.json("POST", .roost("executions", id, "redrive"), [:])
                documents.append(answer)
                guard !client.json else { continue }
                let verb = answer["IsNew"] == true ? "runs again as" : "was redriven before, as"
                Terminal.print("\(id) \(verb) \(text(answer["Id"]))")
            }
            if client.json { Terminal.print(.array(documents)) }
            if ids.isEmpty, !client.json { Terminal.print("none has failed") }
        }

        private static func failed(of function: String, on host: HostClient) throws -> [String] {
            var ids: [String] = []
            var marker: String?
            repeat {
                var query = [("function", function), ("status", "FAILED"), ("status", "TIMED_OUT"), ("limit", "1000")]
                if let marker { query.append(("marker", marker)) }
                let page = try host.json("GET", .roost("executions", query: query))
                ids += page["Executions"]?.arrayValue?.compactMap { $0["Id"]?.stringValue } ?? []
                marker = page["NextMarker"]?.stringValue
            } while marker != nil
            return ids.reversed()  // in the order in which they were accepted
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Delete an execution that has ended, with its history.")

        @OptionGroup var target: ExecutionTarget

        func run() throws { try target.send("DELETE", nil, nil, doing: "removed") }
    }

    struct Logs: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print what an execution logged; with --follow, show its progress until it ends.")

        @Argument(help: "The execution's id or ARN.")
        var execution: String

        @Flag(name: [.short, .long], help: "Follow its progress until it ends.")
        var follow = false

        @OptionGroup var view: PlotOption
        @OptionGroup var client: ClientOptions

        func validate() throws {
            if !follow, view.plot != nil { throw ValidationError("--plot goes with --follow") }
        }

        func run() throws {
            let host = try client.host()
            let id = executionID(execution)
            var record = try host.json("GET", .roost("executions", id))
            if follow {
                var follower = ExecutionFollower(host: host, id: id, plot: view.plot)
                guard let ended = try follower.run() else {
                    Terminal.complain("detached; the execution goes on")
                    return
                }
                record = ended
            }
            guard let function = record["FunctionName"]?.stringValue else {
                throw CommandError.badAnswer(request: "the execution \(id)", reason: "it names no function")
            }
            // An execution's id is the request id of each of its attempts.
            let path = RequestPath.roost("functions", function, "logs", query: [("lines", "10000")])
            let printer = LogPrinter(asJSON: client.json, onlyRequest: id)
            _ = try host.send("GET", path) { printer.take($0) }
            printer.finish()
            let status = record["Status"]?.stringValue ?? "UNKNOWN"
            if follow, status != "SUCCEEDED" {
                let outcome = TrainingOutcome(record, arn: "", lastMetrics: nil)
                throw CommandError.executionEnded(status: status, reason: outcome.reason)
            }
        }
    }
}

/// What the verbs take that change one execution.
struct ExecutionTarget: ParsableArguments {
    @Argument(help: "The execution's id or ARN.")
    var execution: String

    @OptionGroup var client: ClientOptions

    /// - Parameter verb: the last part of the path; nil for the execution itself.
    /// - Parameter doing: what is said of it to people.
    func send(_ method: String, _ verb: String?, _ body: JSONValue?, doing: String) throws {
        let id = executionID(execution)
        let path = verb.map { RequestPath.roost("executions", id, $0) } ?? .roost("executions", id)
        let answer = try client.host().json(method, path, body)
        if client.json { Terminal.print(answer) } else { Terminal.print("\(doing) \(id)") }
    }
}

struct ExecutionReason: ParsableArguments {
    @Option(help: "Why, for its history.")
    var reason: String?

    var body: JSONValue { reason.map { ["Reason": .string($0)] } ?? [:] }
}

/// A member of an answer as a cell of a table; `-` when it is not there.
func text(_ value: JSONValue?) -> String {
    switch value {
    case nil, .null: "-"
    case .string(let string): string
    case let value?: value.text()
    }
}

/// An epoch time of an answer as a cell of a table.
func time(_ value: JSONValue?) -> String { value?.realValue.map { timeText(epochSeconds: $0) } ?? "-" }

/// From acceptance to end, or to now.
private func took(_ execution: JSONValue) -> String {
    guard let accepted = execution["AcceptedAt"]?.realValue else { return "-" }
    return spanText(seconds: (execution["EndedAt"]?.realValue ?? epochSeconds()) - accepted)
}
