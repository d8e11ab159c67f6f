import ArgumentParser
import Domain
import Glibc
import Host
import JSON
import Signing

struct Keys: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Access keys: create, list, remove.",
        discussion: """
            They are in the file keys.json of the host's data directory, and these commands change that file, whether a \
            host runs or not; one that runs notices within moments. Whoever can write the directory administers the host.
            """,
        subcommands: [Create.self, List.self, Remove.self])

    /// Where the keys are.
    struct Place: ParsableArguments {
        @Option(help: ArgumentHelp("The host's data directory. Default: ./.roost.", valueName: "dir"))
        var dataDir: String?

        @Flag(help: "Print JSON instead of text for people.")
        var json = false

        var directory: String { dataDir ?? HostSettings().dataDirectory }
        var file: String { directory + "/" + KeyFile.name }

        /// Makes the directory as `serve` would, so that there can be a key before the first start.
        func make() throws(CommandError) {
            var path = directory.hasPrefix("/") ? "" : "."
            for component in directory.split(separator: "/") {
                path += "/" + component
                if mkdir(path, 0o755) != 0, errno != EEXIST { throw .io(path: path, operation: "mkdir", errno: errno) }
            }
        }

        /// That there is a directory; a misspelt one would have no keys.
        func check() throws(CommandError) {
            var status = stat()
            guard stat(directory, &status) == 0 else {
                throw .usage("\(directory): \(systemMessage(errno)); name the host's data directory with --data-dir")
            }
            guard status.st_mode & S_IFMT == S_IFDIR else { throw .usage("\(directory): this is no directory") }
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an access key and print it, once.",
            discussion: """
                Prints lines for a shell, so that `eval "$(roost keys create)"` works. Without --function and --action \
                the key may do everything.
                """)

        @Option(help: "What the key is for.")
        var description = ""

        @Option(
            help: ArgumentHelp(
                "A function that the key is for; * stands for any characters. May be given more than once. Default: *.",
                valueName: "pattern"))
        var function: [String] = []

        @Option(
            help: ArgumentHelp(
                "What the key may do: invoke, manage or train. May be given more than once. Default: all three.",
                valueName: "action"))
        var action: [String] = []

        @Option(
            help: ArgumentHelp(
                "Make a temporary key with a session token, good for this long: 90s, 30m, 12h or 7d, at most 365d.",
                valueName: "time"))
        var expires: String?

        @OptionGroup var place: Place

        func run() throws {
            let now = Int64(epochSeconds() * 1000)
            let key = AccessKey.random(
                description: try checkedDescription(), createdAt: Timestamp(millisecondsSince1970: now),
                expiresAt: try expires.map { text throws(CommandError) in
                    Timestamp(millisecondsSince1970: now + (try Keys.seconds(text)) * 1000)
                },
                functions: try patterns(), actions: try actions())
            try place.make()
            try place.check()
            do throws(KeyFileError) {
                try KeyFile.add(key, to: place.file)
            } catch {
                throw CommandError.keys(error)
            }
            if place.json { return Terminal.print(Create.json(key)) }
            let expiry = key.session.map { ", until \(timeText(epochSeconds: $0.expiresAt.secondsSince1970))" } ?? ""
            Terminal.print("# May \(Keys.rights(key))\(expiry). Shown this once; 'roost keys rm \(key.id)' revokes it.")
            Terminal.print("export AWS_ACCESS_KEY_ID=\(key.id)")
            Terminal.print("export AWS_SECRET_ACCESS_KEY=\(key.secret)")
            // Another key's token would spoil this one.
            Terminal.print(key.session.map { "export AWS_SESSION_TOKEN=\($0.token)" } ?? "unset AWS_SESSION_TOKEN")
        }

        private func checkedDescription() throws(CommandError) -> String {
            guard description.utf8.count <= AccessKey.descriptionBytesMax else {
                throw .usage("the description has more than \(AccessKey.descriptionBytesMax) bytes")
            }
            return description
        }

        private func patterns() throws(CommandError) -> [FunctionPattern] {
            guard function.count <= AccessKey.functionsMax else {
                throw .usage("a key is for at most \(AccessKey.functionsMax) patterns of functions")
            }
            var patterns: [FunctionPattern] = []
            for text in function {
                guard let pattern = FunctionPattern(text) else {
                    throw .usage(
                        "'\(text)' is no pattern of function names: 1 to 64 letters, digits, '-', '_' and '*'")
                }
                patterns.append(pattern)
            }
            return patterns.isEmpty ? [.all] : patterns
        }

        private func actions() throws(CommandError) -> Set<AccessKey.Action> {
            var actions: Set<AccessKey.Action> = []
            for text in action {
                guard let action = AccessKey.Action(rawValue: text) else {
                    throw .usage("--action is '\(text)'; allowed are 'invoke', 'manage' and 'train'")
                }
                actions.insert(action)
            }
            return actions.isEmpty ? Set(AccessKey.Action.allCases) : actions
        }

        private static func json(_ key: AccessKey) -> JSONValue {
            var object = Keys.json(key)
            object["SecretAccessKey"] = .string(key.secret)
            if let session = key.session { object["SessionToken"] = .string(session.token) }
            return .object(object)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "List access keys, without their secrets.")

        @OptionGroup var place: Place

        func run() throws {
            try place.check()
            let keys: [AccessKey]
            do throws(KeyFileError) {
                keys = try KeyFile.load(place.file)
            } catch {
                throw CommandError.keys(error)
            }
            if place.json { return Terminal.print(["Keys": .array(keys.map { .object(Keys.json($0)) })]) }
            let now = Timestamp(millisecondsSince1970: Int64(epochSeconds() * 1000))
            var table = Table("KEY", "CREATED", "EXPIRES", "ACTIONS", "FUNCTIONS", "DESCRIPTION")
            for key in keys {
                let expiry = key.session.map { timeText(epochSeconds: $0.expiresAt.secondsSince1970) } ?? "-"
                table.add(
                    key.id, timeText(epochSeconds: key.createdAt.secondsSince1970),
                    expiry + (key.isExpired(at: now) ? " (expired)" : ""), Keys.actions(key).joined(separator: ","),
                    key.functions.map(\.text).joined(separator: ","), printable(key.description))
            }
            Terminal.print(keys.isEmpty ? "no access keys" : table.text)
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Remove an access key; its holder is let in no more.")

        @Argument(help: "The key's id.")
        var id: String

        @OptionGroup var place: Place

        func run() throws {
            try place.check()
            do throws(KeyFileError) {
                try KeyFile.remove(id, from: place.file)
            } catch {
                throw CommandError.keys(error)
            }
            if place.json { return Terminal.print(["Removed": .string(id)]) }
            Terminal.print("removed \(id)")
        }
    }

    /// All that is no secret.
    static func json(_ key: AccessKey) -> JSONObject {
        var object: JSONObject = [
            "AccessKeyId": .string(key.id), "Description": .string(key.description),
            "CreatedAt": .real(key.createdAt.secondsSince1970),
            "Functions": .array(key.functions.map { .string($0.text) }),
            "Actions": .array(actions(key).map { .string($0) }),
        ]
        if let session = key.session { object["ExpiresAt"] = .real(session.expiresAt.secondsSince1970) }
        return object
    }

    private static func actions(_ key: AccessKey) -> [String] {
        AccessKey.Action.allCases.filter(key.actions.contains).map(\.rawValue)
    }

    private static func rights(_ key: AccessKey) -> String {
        let functions = key.functions == [.all] ? "all functions" : key.functions.map(\.text).joined(separator: ", ")
        return "\(actions(key).joined(separator: ", ")) \(functions)"
    }

    /// Reads `90s`, `30m`, `12h`, `7d`: from a second to a year.
    static func seconds(_ text: String) throws(CommandError) -> Int64 {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        let digits = text.dropLast()
        guard let unit = text.last.flatMap({ units[$0] }), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int64(digits), number <= 31_536_000, (1...31_536_000).contains(number * unit)
        else { throw .usage("'\(text)' is no time from 1s to 365d; write it as 90s, 30m, 12h or 7d") }
        return number * unit
    }
}
