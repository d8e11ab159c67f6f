import ArgumentParser
import JSON

struct Logs: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print what a function's workers logged.")

    @Argument(help: "The function's name.")
    var function: String

    @Option(name: [.customShort("n"), .long], help: "How many of the last lines.")
    var lines = 100

    @Flag(name: [.short, .long], help: "Go on with new lines until Ctrl-C.")
    var follow = false

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if !(0...100_000).contains(lines) { throw ValidationError("--lines is a number from 0 to 100000") }
    }

    func run() throws {
        let path = RequestPath.roost(
            "functions", function, "logs", query: [("lines", String(lines)), ("follow", follow ? "true" : nil)])
        let printer = LogPrinter(asJSON: client.json, onlyRequest: nil)
        _ = try client.host().send("GET", path) { printer.take($0) }
        printer.finish()
    }
}

/// Takes the host's log text piece by piece and prints its whole lines.
final class LogPrinter {
    private let asJSON: Bool
    private let onlyRequest: String?
    private var rest: [UInt8] = []

    init(asJSON: Bool, onlyRequest: String?) {
        self.asJSON = asJSON
        self.onlyRequest = onlyRequest
    }

    func take(_ piece: UnsafeRawBufferPointer) {
        rest += piece
        var start = 0
        while let end = rest[start...].firstIndex(of: 0x0A) {
            show(rest[start..<end])
            start = end + 1
        }
        rest.removeFirst(start)
    }

    func finish() {
        if !rest.isEmpty { show(rest[...]) }
        rest = []
    }

    private func show(_ bytes: ArraySlice<UInt8>) {
        let line = LogLine(String(decoding: bytes, as: UTF8.self))
        if let onlyRequest, line.request != onlyRequest { return }
        if asJSON { Terminal.print(line.json) } else { Terminal.print(line.text) }
    }
}

/// One line of a function's log: `TIME <tab> VERSION <tab> WORKER <tab> REQUEST-ID or - <tab> TEXT`.
struct LogLine: Equatable {
    let time, version, worker, request, message: String

    init(_ line: String) {
        let parts = line.split(separator: "\t", maxSplits: 4, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 5 else {
            (time, version, worker, request, message) = ("", "", "", "", line)
            return
        }
        (time, version, worker, request, message) = (parts[0], parts[1], parts[2], parts[3], parts[4])
    }

    var text: String {
        time.isEmpty
            ? printable(message) : "\(time)  \(version)  \(worker)  \(request.prefix(8))  \(printable(message))"
    }

    var json: JSONValue {
        [
            "time": .string(time), "version": .string(version), "worker": .string(worker),
            "request": request == "-" ? .null : .string(request), "message": .string(message),
        ]
    }
}
