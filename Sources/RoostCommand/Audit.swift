import ArgumentParser
import JSON

struct Audit: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print who changed what, newest first.")

    @Argument(help: "Only changes of this function.")
    var function: String?

    @Option(name: [.customShort("n"), .long], help: "How many of the newest changes.")
    var lines = 100

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if !(1...1000).contains(lines) { throw ValidationError("--lines is a number from 1 to 1000") }
    }

    func run() throws {
        let answer = try client.host().json(
            "GET", .roost("audit", query: [("function", function), ("limit", String(lines))]))
        if client.json { return Terminal.print(answer) }
        var table = Table("WHEN", "KEY", "OPERATION", "OF", "REQUEST")
        for entry in answer["Entries"]?.arrayValue ?? [] {
            let subject = text(entry["Subject"])
            let parts = [entry["Function"]?.stringValue, subject == "-" ? nil : subject]
            let of = parts.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ":")
            table.add(
                time(entry["At"]), printable(text(entry["Key"])), text(entry["Operation"]), printable(of),
                text(entry["RequestId"]))
        }
        Terminal.print(table.text)
    }
}
