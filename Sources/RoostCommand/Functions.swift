import ArgumentParser
import JSON

struct Functions: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Functions: list, show, remove.", subcommands: [List.self, Show.self, Remove.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List functions.")

        @OptionGroup var client: ClientOptions

        func run() throws {
            let functions = try client.host().pages("Functions") { .lambda(query: [("Marker", $0)]) }
            if client.json { return Terminal.print(["Functions": .array(functions)]) }
            var table = Table("NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "PACKAGE", "MODIFIED")
            for function in functions {
                table.add(
                    text(function["FunctionName"]), text(function["Runtime"]), text(function["Handler"]),
                    text(function["MemorySize"]) + " MB", text(function["Timeout"]) + " s",
                    function["CodeSize"]?.integerValue.map { sizeText(Int($0)) } ?? "-",
                    // 2026-11-23T12:00:00.000+0000
                    String(text(function["LastModified"]).prefix(19)))
            }
            Terminal.print(table.text)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a function's configuration.")

        @Argument(help: "NAME or NAME:QUALIFIER.")
        var function: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let reference = try FunctionReference(function)
            let answer = try client.host().json(
                "GET", .lambda(reference.name, query: [("Qualifier", reference.qualifier)]))
            if client.json { return Terminal.print(answer) }
            var table = Table("SETTING", "VALUE")
            for entry in answer["Configuration"]?.objectValue?.entries ?? [] where !entry.value.isNull {
                if let members = entry.value.objectValue?["Variables"]?.objectValue {
                    for member in members.entries { table.add("Environment " + member.key, text(member.value)) }
                } else {
                    table.add(entry.key, printable(text(entry.value)))
                }
            }
            if let reserved = answer["Concurrency"]?["ReservedConcurrentExecutions"] {
                table.add("ReservedConcurrency", text(reserved))
            }
            Terminal.print(table.text)
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm",
            abstract: "Remove a function with all its versions and aliases, and its training function.")

        @Argument(help: "The function's name.")
        var function: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            if try FunctionReference(function).qualifier != nil {
                throw CommandError.usage("a function is removed as a whole; name no version or alias")
            }
            var removed: [JSONValue] = []
            _ = try host.json("DELETE", .lambda(function))
            removed.append(.string(function))
            let training = function + "-train"
            if try trains(function, training, host) {
                _ = try host.json("DELETE", .lambda(training))
                removed.append(.string(training))
            }
            if client.json { return Terminal.print(["Removed": .array(removed)]) }
            for name in removed { Terminal.print("removed \(text(name))") }
        }

        /// True when there is such a training function and `deploy` made it for this one.
        private func trains(_ function: String, _ training: String, _ host: HostClient) throws -> Bool {
            do {
                let answer = try host.json("GET", .lambda(training, "configuration"))
                return answer["Environment"]?["Variables"]?["ROOST_TRAINS"]?.stringValue == function
            } catch CommandError.refused(status: 404, _, _) {
                return false
            }
        }
    }
}
