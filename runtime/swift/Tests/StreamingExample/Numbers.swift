import WorkerRuntime

/// A function in a process of its own, for the tests: it writes as many pieces of as many bytes as the event says, and
/// then half a line to its log.
@main struct Numbers: StreamingFunction {
    init(_ context: InitContext) throws {}

    mutating func stream(_ event: Event, _ context: InvocationContext, to output: ResponseStream) throws {
        let event = try event.json()
        let size = event["bytes"]?.integer ?? 0
        for number in 0..<(event["pieces"]?.integer ?? 0) {
            try output.write([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size))
        }
        print("all written", terminator: "")
    }
}
