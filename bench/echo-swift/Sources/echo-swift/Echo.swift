import WorkerRuntime

/// Answers each event with its own bytes, unparsed: what is left is the cost of the host and the runtime.
@main struct Echo: Function {
    init(_ context: InitContext) {}

    mutating func infer(_ event: Event, _ context: InvocationContext) -> Response {
        Response(bytes: event.bytes)
    }
}
