import ArgumentParser
import JSON

struct CollectArtifacts: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc", abstract: "Remove stored files that nothing refers to any more.",
        discussion: """
            Kept are the files of all versions of functions, of datasets, and of executions that have not ended, and whatever \
            was used within the host's artifactGraceHours. The host does the same once a day.
            """)

    @Flag(help: "Only say what would be removed.")
    var dryRun = false

    @OptionGroup var client: ClientOptions

    func run() throws {
        let host = try client.host()
        let answer = try host.json("POST", .roost("artifacts", "gc"), ["DryRun": .bool(dryRun)])
        if client.json { return Terminal.print(answer) }
        func part(_ name: String) -> String {
            let files = Int(answer["\(name)Files"]?.integerValue ?? 0)
            let bytes = Int(answer["\(name)Bytes"]?.integerValue ?? 0)
            return "\(counted(files, "file")) (\(sizeText(bytes)))"
        }
        Terminal.print("\(dryRun ? "would remove" : "removed") \(part("Removed")); \(part("Kept")) are in use")
        if answer["YoungFiles"]?.integerValue != 0 {
            Terminal.print("\(part("Young")) are not, but were within the last \(text(answer["GraceHours"])) h")
        }
    }
}
