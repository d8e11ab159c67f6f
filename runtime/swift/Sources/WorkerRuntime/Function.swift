/// A function: a model that is loaded once and then answers invocations.
///
/// Mark one such type of an executable with `@main`; the runtime supplies `main()`:
///
/// ```swift
/// import WorkerRuntime
///
/// @main struct Greeting: Function {
///     init(_ context: InitContext) throws {}
///     mutating func infer(_ event: Event, _ context: InvocationContext) throws -> Response {
///         let name = try JSONValue(parsing: event.bytes)["name"]?.string ?? "world"
///         return Response(json: ["greeting": .string("Hello, \(name)")])
///     }
/// }
/// ```
///
/// The handler (`_HANDLER`) chooses what the process does: `infer`, the default, or `train`.
///
/// **Concurrency.** A worker has one slot unless the function's `workerConcurrency` says otherwise. Each slot has a
/// thread and **an instance of its own**, made and used only on that thread, so a function needs no locks and no
/// `Sendable`; the slots share only what the type keeps in statics. Weights belong into a ``MappedFile``, whose pages
/// all instances, and all workers of the machine, share.
public protocol Function {
    /// Loads the model. Runs once per slot, before the slot's first invocation.
    ///
    /// Whatever it throws is reported as the init error of every invocation that waits for this worker, and ends the
    /// process with status 1. A version without a model (``InitContext/modelDirectory`` is `nil`) should start all the
    /// same, and let ``infer(_:_:)`` say what is missing.
    init(_ context: InitContext) throws

    /// Answers one invocation. What it throws becomes the invocation's function error; the worker lives on.
    mutating func infer(_ event: Event, _ context: InvocationContext) throws -> Response
}

/// A function that also knows how to train its model: the handler `train`.
public protocol TrainableFunction: Function {
    /// Trains a model from the job's channels and leaves its files in ``TrainingJob/outputDirectory``.
    ///
    /// `init` has not been called. Runs on the main thread. Ask ``TrainingJob/isStopRequested`` often: once it is true,
    /// write a checkpoint and throw ``TrainingStopped`` within seconds; the next attempt finds the same
    /// ``TrainingJob/checkpointDirectory``.
    static func train(_ job: TrainingJob) throws -> TrainingResult
}

extension Function {
    /// Runs the worker until the host closes its connections; `@main` calls it.
    public static func main() {
        Worker.run(Self.self)
    }
}

/// What a function knows when it starts.
public struct InitContext: Sendable {
    /// The function's name; empty when the host gave none.
    public var functionName: String
    /// The version, such as `3` or `$LATEST`.
    public var functionVersion: String
    /// The function's memory limit in MB; 0 when the host gave none.
    public var memoryMegabytes: Int
    /// The read-only folder of the function's package.
    public var taskRoot: String
    /// The read-only folder of the version's model; `nil` when the version has none.
    public var modelDirectory: String?
    /// Which of the worker's slots this instance serves, from 0.
    public var slot: Int
    /// How many slots the worker has.
    public var slotCount: Int

    public init(
        functionName: String = "", functionVersion: String = "$LATEST", memoryMegabytes: Int = 0,
        taskRoot: String = ".", modelDirectory: String? = nil, slot: Int = 0, slotCount: Int = 1
    ) {
        self.functionName = functionName
        self.functionVersion = functionVersion
        self.memoryMegabytes = memoryMegabytes
        self.taskRoot = taskRoot
        self.modelDirectory = modelDirectory
        self.slot = slot
        self.slotCount = slotCount
    }

    /// The context that the process environment describes.
    init(slot: Int, of slotCount: Int) {
        self.init(
            functionName: Environment.value("AWS_LAMBDA_FUNCTION_NAME") ?? "",
            functionVersion: Environment.value("AWS_LAMBDA_FUNCTION_VERSION") ?? "$LATEST",
            memoryMegabytes: Environment.value("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").flatMap { Int($0) } ?? 0,
            taskRoot: Environment.value("LAMBDA_TASK_ROOT") ?? ".",
            modelDirectory: Environment.value("ROOST_MODEL_DIR"),
            slot: slot, slotCount: slotCount)
    }

    /// A variable of the function's configuration; `nil` when it is unset or empty.
    public func environment(_ name: String) -> String? { Environment.value(name) }
}

/// What a function knows about one invocation.
public struct InvocationContext: Sendable {
    /// The invocation's id, the same in the host's log and in the client's `x-amzn-RequestId`.
    public var requestID: String
    /// When the host gives up on this invocation, in milliseconds since 1970.
    public var deadlineEpochMilliseconds: Int64
    /// The function's ARN as it was invoked, with its qualifier if there was one.
    public var invokedFunctionARN: String
    /// The trace header; empty when the host gave none.
    public var traceID: String
    /// The client context as JSON text; `nil` when the client gave none.
    public var clientContext: String?

    public init(
        requestID: String = "", deadlineEpochMilliseconds: Int64 = .max, invokedFunctionARN: String = "",
        traceID: String = "", clientContext: String? = nil
    ) {
        self.requestID = requestID
        self.deadlineEpochMilliseconds = deadlineEpochMilliseconds
        self.invokedFunctionARN = invokedFunctionARN
        self.traceID = traceID
        self.clientContext = clientContext
    }

    /// The time left until the deadline; zero once it has passed.
    public var remaining: Duration {
        let now = Environment.nowMilliseconds
        return .milliseconds(deadlineEpochMilliseconds > now ? deadlineEpochMilliseconds - now : 0)
    }
}

/// The body of an invocation, exactly as the client sent it: usually JSON, never parsed by the runtime.
public struct Event: Sendable {
    public var bytes: [UInt8]

    public init(bytes: [UInt8]) { self.bytes = bytes }

    /// The event as JSON. Throws a ``FunctionError`` of type `BadInput` when it is none.
    public func json() throws -> JSONValue {
        do {
            return try JSONValue(parsing: bytes)
        } catch {
            throw FunctionError(type: "BadInput", message: "The event is not JSON: \(error)")
        }
    }
}

/// The answer to an invocation.
public struct Response: Sendable {
    public var bytes: [UInt8]
    /// The media type that the host is told. Default `application/json`.
    public var contentType: String

    public init(bytes: [UInt8], contentType: String = "application/json") {
        self.bytes = bytes
        self.contentType = contentType
    }

    public init(json: JSONValue) {
        self.init(bytes: json.encoded)
    }
}
