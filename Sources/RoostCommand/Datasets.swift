import ArgumentParser
import Domain
import JSON

struct Datasets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Datasets: store files under a name, as numbered versions that trainings can use.",
        subcommands: [Put.self, List.self, Remove.self])

    struct Put: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send a file or folder as the next version of a dataset.",
            discussion: """
                Of a folder all files are taken, less hidden ones. What the host has already is not sent again, so one \
                that was interrupted goes on where it stopped when it is repeated. The same files as the newest version's make no new \
                one. A training uses it with `roost train FUNCTION --channel CHANNEL=dataset:NAME`, or NAME@VERSION.
                """)

        @Argument(help: "The dataset's name: 1 to 64 letters, digits, '-' and '_'.")
        var name: String

        @Argument(help: "A file or a folder.", completion: .file())
        var path: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            // Said before anything is sent.
            guard let name = DatasetName(name) else { throw noName(name) }
            let status = StatusLine(isShown: Terminal.isErrorTerminal)
            let uploaded: HostClient.Uploaded
            do {
                defer { status.clear() }
                uploaded = try host.upload(try FileSet(fileOrFolder: path), progress: status.upload)
            }
            let answer = try host.json(
                "POST", .roost("datasets", name.text, "versions"), ["Manifest": .string(uploaded.manifest.description)])
            if client.json { return Terminal.print(answer) }
            let reference = "dataset:\(name)@\(text(answer["Version"]))"
            guard answer["IsNew"]?.boolValue == true else {
                return Terminal.print("\(reference) has these files already; there is no new version")
            }
            Terminal.print("stored \(reference) (\(uploaded.text))")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "List datasets with their newest versions, or all versions of one.")

        @Argument(help: "The dataset's name.")
        var name: String?

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            let key = name == nil ? "Datasets" : "Versions"
            let rows = try host.pages(key) { marker in
                guard let name else { return .roost("datasets", query: [("marker", marker)]) }
                return .roost("datasets", name, query: [("marker", marker)])
            }
            if client.json { return Terminal.print(.object([key: .array(rows)])) }
            var table = Table("NAME", "VERSION", "FILES", "SIZE", "DIGEST", "WHEN", "BY")
            for row in rows {
                table.add(
                    text(row["Name"]), text(row["Version"]), text(row["Files"]),
                    row["SizeBytes"]?.integerValue.map { sizeText(Int($0)) } ?? "-", shortDigest(row["Manifest"]),
                    time(row["CreatedAt"]), printable(text(row["CreatedBy"])))
            }
            Terminal.print(table.text)
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Remove a version of a dataset, or all of them.",
            discussion: """
                Trainings can no longer use it, and its number is not given again. Versions of functions that were trained on it \
                keep naming it. Refused while a training that has not ended uses it. Its files are removed later, unless \
                something else has them: see `roost gc`.
                """)

        @Argument(
            help: ArgumentHelp("The dataset's name; without a version, all of them.", valueName: "name[@version]"))
        var dataset: String

        @OptionGroup var client: ClientOptions

        func run() throws {
            let host = try client.host()
            let parts = dataset.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            guard DatasetName(parts[0]) != nil else { throw noName(String(parts[0])) }
            guard let reference = DatasetReference(DatasetReference.prefix + dataset) else {
                throw CommandError.usage("'\(parts[1])' is no version of a dataset; write NAME or NAME@NUMBER")
            }
            let path: RequestPath =
                reference.number.map { .roost("datasets", reference.name.text, "versions", String($0)) }
                ?? .roost("datasets", reference.name.text)
            let answer = try host.json("DELETE", path)
            if client.json { return Terminal.print(answer) }
            Terminal.print("removed \(reference)")
        }
    }
}

private func noName(_ text: String) -> CommandError {
    .usage("'\(text)' is no name of a dataset: 1 to 64 letters, digits, '-' and '_'")
}
