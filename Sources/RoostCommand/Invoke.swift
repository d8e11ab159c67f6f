import ArgumentParser
import Domain
import JSON

struct Invoke: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Invoke a function and print its answer.",
        discussion: """
            The answer's bytes go to standard output, and nothing else. When the function fails, its error goes there \
            too, a message to standard error, and the exit status is 1.
            """)

    @Argument(help: "NAME or NAME:QUALIFIER; a qualifier is a version's number or an alias.")
    var function: String

    @Option(
        name: [.short, .long], parsing: .unconditional,
        help: ArgumentHelp("The event: JSON, @FILE, or - for standard input. Default: {}.", valueName: "json"))
    var data: String?

    @Flag(name: .customLong("async"), help: "Put it in the queue, and print the ARN of its execution.")
    var isAsync = false

    @Option(
        name: .customLong("name"),
        help: "Make an execution of this name, or wait for the one that there is. The same name twice is the same one.")
    var executionName: String?

    @Option(help: "With --async: of its function's that wait, the highest comes first; -100 to 100. Default: 0.")
    var priority: Int?

    @Flag(help: "Print the answer while the function yields it.")
    var stream = false

    @Flag(name: [.short, .long], help: "Say on standard error which version answered, and where the time went.")
    var verbose = false

    @OptionGroup var client: ClientOptions

    func validate() throws {
        if stream, executionName != nil { throw ValidationError("--stream and --name exclude each other") }
        if priority != nil, !isAsync { throw ValidationError("--priority goes with --async") }
        if stream, isAsync { throw ValidationError("--stream and --async exclude each other") }
    }

    func run() throws {
        let host = try client.host()
        let reference = try FunctionReference(function)
        let body = try Payload.read(data)
        if isAsync {
            let arn = try host.start(reference, payload: body, name: executionName, priority: priority)
            if client.json { Terminal.print(["executionArn": .string(arn)]) } else { Terminal.print(arn) }
            return
        }
        if stream { return try host.stream(reference, payload: body, isVerbose: verbose) }
        let start = ContinuousClock.now
        var lastByte: UInt8?
        var errorBody: [UInt8] = []
        let response = try host.send(
            "POST", .lambda(reference.name, "invocations", query: [("Qualifier", reference.qualifier)]),
            headers: try executionName.map(HostClient.nameHeader) ?? [], body: .bytes(body)
        ) { piece in
            Terminal.write(piece, to: 1)
            lastByte = piece.last ?? lastByte
            if errorBody.count < 1 << 16 { errorBody += piece.prefix(1 << 16) }
        }
        if Terminal.isOutputTerminal, let lastByte, lastByte != 0x0A { Terminal.write([0x0A], to: 1) }
        if verbose {
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let parts = [
                response["x-amz-executed-version"].map { "version \($0)" }, response["x-amzn-requestid"],
                "\(fixed(seconds * 1000, 1)) ms", response["roost-timing"],
            ]
            Terminal.complain(parts.compactMap { $0 }.joined(separator: "  "))
        }
        if let kind = response["x-amz-function-error"] {
            let error = try? JSONValue.parse(errorBody)
            throw CommandError.functionFailed(
                type: error?["errorType"]?.stringValue ?? kind, message: error?["errorMessage"]?.stringValue)
        }
    }
}

extension HostClient {
    /// Prints the pieces of a streamed answer as they come.
    func stream(_ reference: FunctionReference, payload: [UInt8], isVerbose: Bool) throws {
        var reader = EventStreamReader()
        var isDamaged = false
        var end: JSONValue?
        var lastByte: UInt8?
        let path = RequestPath.stream(reference.name, query: [("Qualifier", reference.qualifier)])
        let response = try send("POST", path, body: .bytes(payload)) { piece in
            guard let frames = try? reader.read(piece) else { return isDamaged = true }
            for frame in frames {
                switch frame.headers[":event-type"] {
                case "PayloadChunk":
                    frame.payload.withUnsafeBytes { Terminal.write($0, to: 1) }
                    lastByte = frame.payload.last ?? lastByte
                case "InvokeComplete": end = try? JSONValue.parse(frame.payload)
                default: break
                }
            }
        }
        if Terminal.isOutputTerminal, let lastByte, lastByte != 0x0A { Terminal.write([0x0A], to: 1) }
        guard let end, !isDamaged else {
            throw CommandError.badAnswer(request: "POST \(path)", reason: "the stream has no end, or is damaged")
        }
        if isVerbose {
            let parts = [response["x-amz-executed-version"].map { "version \($0)" }, response["x-amzn-requestid"]]
            Terminal.complain(parts.compactMap { $0 }.joined(separator: "  "))
        }
        if let kind = end["ErrorCode"]?.stringValue {
            let error = end["ErrorDetails"]?.stringValue.flatMap { try? JSONValue.parse(Array($0.utf8)) }
            throw CommandError.functionFailed(
                type: error?["errorType"]?.stringValue ?? kind, message: error?["errorMessage"]?.stringValue)
        }
    }

    static func nameHeader(_ name: String) throws(CommandError) -> [(String, String)] {
        guard ExecutionName(name) != nil else {
            throw .usage("'\(name)' is no name for an execution: 1 to 64 letters, digits, '-' and '_'")
        }
        return [("X-Amz-Durable-Execution-Name", name)]
    }

    /// Starts an asynchronous invocation and returns the ARN of its execution.
    func start(
        _ reference: FunctionReference, payload: [UInt8], name: String?, priority: Int? = nil
    ) throws(CommandError) -> String {
        var headers = [("X-Amz-Invocation-Type", "Event")]
        if let name { headers += try HostClient.nameHeader(name) }
        if let priority { headers.append(("Roost-Priority", String(priority))) }
        let path = RequestPath.lambda(reference.name, "invocations", query: [("Qualifier", reference.qualifier)])
        let response = try send("POST", path, headers: headers, body: .bytes(payload))
        guard let arn = response["x-amz-durable-execution-arn"] else {
            throw .badAnswer(request: "POST \(path)", reason: "it names no execution")
        }
        return arn
    }
}
