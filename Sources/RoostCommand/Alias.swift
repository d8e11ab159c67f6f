import ArgumentParser
import JSON

struct Alias: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Aliases, movable names for versions: set, list, remove, history.",
        subcommands: [Move.self, List.self, Remove.self, History.self])

    struct Move: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set", abstract: "Make an alias, or move it.")

        @Argument(help: "The function's name.")
        var function: String
        @Argument(help: "The alias.")
        var alias: String
        @Argument(help: "The number of the version that it points to.")
        var version: String

        @Option(
            help: ArgumentHelp(
                "The share of another version, 0 to 1; without it the alias points to one version only.",
                valueName: "version=share"))
        var weight: [String] = []

        @Option(help: "What the alias is for.")
        var description: String?

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            var request = JSONObject()
            request["FunctionVersion"] = .string(version)
            request["RoutingConfig"] = ["AdditionalVersionWeights": .object(try Alias.weights(weight))]
            if let description { request["Description"] = .string(description) }
            let answer = try Move.put(alias, of: function, request, host)
            if client.json { return Terminal.print(answer) }
            Terminal.print("\(function):\(alias) -> \(Alias.target(answer))")
        }

        private static func put(
            _ alias: String, of function: String, _ request: JSONObject, _ host: HostClient
        ) throws(CommandError) -> JSONValue {
            do throws(CommandError) {
                return try host.json("PUT", .lambda(function, "aliases", alias), .object(request))
            } catch {
                guard case .refused(status: 404, _, _) = error else { throw error }
            }
            // No alias yet; or no such function or version, which the second answer tells.
            var request = request
            request["Name"] = .string(alias)
            return try host.json("POST", .lambda(function, "aliases"), .object(request))
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List a function's aliases.")

        @Argument(help: "The function's name.")
        var function: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let function = function
            let aliases = try client.host().pages("Aliases") { .lambda(function, "aliases", query: [("Marker", $0)]) }
            if client.json { return Terminal.print(["Aliases": .array(aliases)]) }
            var table = Table("ALIAS", "VERSION", "DESCRIPTION")
            for alias in aliases {
                table.add(text(alias["Name"]), Alias.target(alias), printable(alias["Description"]?.stringValue ?? ""))
            }
            Terminal.print(table.text)
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Remove an alias; the versions stay.")

        @Argument(help: "The function's name.")
        var function: String
        @Argument(help: "The alias.")
        var alias: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            // Deleting an alias that is not there succeeds on the Lambda API; a misspelt name should be told.
            _ = try host.json("GET", .lambda(function, "aliases", alias))
            _ = try host.json("DELETE", .lambda(function, "aliases", alias))
            if client.json { return Terminal.print(["Removed": .string(alias)]) }
            Terminal.print("removed \(function):\(alias)")
        }
    }

    struct History: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show where an alias pointed, newest first.")

        @Argument(help: "The function's name.")
        var function: String
        @Argument(help: "The alias.")
        var alias: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let answer = try client.host().json(
                "GET", .roost("functions", function, "aliases", alias, "history"))
            if client.json { return Terminal.print(answer) }
            var table = Table("WHEN", "FROM", "TO", "CAUSE", "BY", "WHY")
            for change in answer["History"]?.arrayValue ?? [] {
                table.add(
                    time(change["At"]), Alias.target(change["From"] ?? .null), Alias.target(change["To"] ?? .null),
                    text(change["Cause"]), printable(text(change["By"])), printable(change["Why"]?.stringValue ?? ""))
            }
            Terminal.print(table.text)
        }
    }

    /// `VERSION=SHARE` of the command line, as the Lambda API's weights.
    static func weights(_ arguments: [String]) throws(CommandError) -> JSONObject {
        var weights = JSONObject()
        for argument in arguments {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, let share = Double(parts[1]), (0...1).contains(share) else {
                throw .usage("'\(argument)' is no weight; write --weight VERSION=SHARE, as in --weight 2=0.1")
            }
            weights[String(parts[0])] = .real(share)
        }
        return weights
    }

    /// `1`, or with weights `1 (90 %), 2 (10 %)`.
    static func target(_ alias: JSONValue) -> String {
        let version = text(alias["FunctionVersion"])
        let weights = alias["RoutingConfig"]?["AdditionalVersionWeights"]?.objectValue?.entries ?? []
        guard !weights.isEmpty else { return version }
        var rest = 1.0
        var others = ""
        for weight in weights {
            let share = weight.value.realValue ?? 0
            rest -= share
            others += ", \(weight.key) (\(percentText(share)))"
        }
        return "\(version) (\(percentText(rest)))\(others)"
    }
}

struct Rollback: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Undo the last change of an alias; again goes one further back.")

    @Argument(help: "The function's name.")
    var function: String
    @Argument(help: "The alias.")
    var alias: String

    @Option(help: "The reason, for the history.")
    var why: String?

    @OptionGroup var client: ClientOptions

    func run() throws {
        var request = JSONObject()
        if let why { request["Why"] = .string(why) }
        let answer = try client.host().json(
            "POST", .roost("functions", function, "aliases", alias, "rollback"), .object(request))
        if client.json { return Terminal.print(answer) }
        let from = answer["From"].map { " (was \(Alias.target($0)))" } ?? ""
        Terminal.print("\(function):\(alias) -> \(Alias.target(answer))\(from)")
    }
}
