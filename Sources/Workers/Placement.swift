package import Domain

/// Where workers run. One operation: start one.
///
/// No code outside this target may assume that a worker is a child process, or that its files are on this disk.
package protocol Placement: AnyObject {
    /// Returns at once; everything about the worker arrives at `owner`, from the next turn of the loop on. A worker that
    /// cannot be started ends with `WorkerExit.notStarted`.
    func start(_ start: WorkerStart, owner: any WorkerOwner) -> any Worker

    /// What workers take now, and whether that is too much where they run.
    func measureMemory(of workers: [any Worker]) async -> MemoryMeasurement

    /// Stores the files that a training left in its output directory.
    ///
    /// - Returns: the manifest of the new artifact.
    func collectOutput(of execution: Execution.ID) async throws(OutputError) -> Digest

    /// Forgets the checkpoints and outputs of an execution that has ended.
    func discardScratch(of execution: Execution.ID) async
}

package struct MemoryMeasurement: Sendable {
    /// Of each worker with all of its processes, in MB, rounded up; without those of which it cannot be told.
    package var megabytes: [UInt64: Int] = [:]
    /// `nil` where it is not looked at, or cannot be read.
    package var pressure: MemoryPressure?
}

/// Why a training's output cannot become a model. The text is the execution's error message.
package struct OutputError: Error, Equatable, Sendable {
    package let description: String
    package init(description: String) { self.description = description }
}

/// What to start.
package struct WorkerStart: Sendable {
    /// The part of a start that only training executions have.
    package struct Training: Sendable {
        /// The type of the error that a training fails with when its files are not what their digests say. Another attempt
        /// would not help.
        package static let digestMismatch = "Roost.DigestMismatch"

        package var execution: Execution.ID
        package var attempt: Int
        package var channels: [Execution.Channel]

        package init(execution: Execution.ID, attempt: Int, channels: [Execution.Channel]) {
            self.execution = execution
            self.attempt = attempt
            self.channels = channels
        }
    }

    package var id: UInt64
    package var functionName: FunctionName
    package var version: Version
    /// The model that the worker finds; of a training, the base version's.
    package var model: Digest?
    package var training: Training?
    /// Started because its version has provisioned concurrency.
    package var isProvisioned: Bool

    package init(
        id: UInt64, functionName: FunctionName, version: Version, model: Digest?, training: Training? = nil,
        isProvisioned: Bool = false
    ) {
        self.id = id
        self.functionName = functionName
        self.version = version
        self.model = model
        self.training = training
        self.isProvisioned = isProvisioned
    }
}

/// A worker that was asked for. Lives on the loop.
package protocol Worker: AnyObject {
    var id: UInt64 { get }
    /// Hands an invocation to a free slot. The answer goes to the invocation's sink.
    func dispatch(_ invocation: WorkerInvocation, slot: Int)
    /// The sink that said `wait` for the answer in `slot` has room again.
    func resumeAnswer(slot: Int)
    /// Nobody wants the rest of the answer in `slot`. Its sink hears `end` at once; the worker is told, and killed if it
    /// does not ask for the next invocation within 10 s. Without an answer under way it changes nothing.
    func abandonAnswer(slot: Int)
    /// SIGTERM now, SIGKILL to all that is left after `grace`. Invocations in flight fail with `stopped`.
    func stop(grace: Interval)
    /// Ends the invocation in `slot` by ending the whole worker.
    func kill(_ failure: WorkerFailure)
    /// For people: what the machine calls it, such as a process id; `nil` before it has one.
    var processIdentifier: Int? { get }
    /// The most memory it has had so far, in MB, rounded up; `nil` when that cannot be told (any more).
    var peakMegabytes: Int? { get }
}

/// What a worker gets, and where its answer goes.
package struct WorkerInvocation {
    package var requestID: String
    /// Differs for each attempt.
    package var nonce: String
    package var functionARN: String
    package var traceID: String
    /// Decoded JSON.
    package var clientContext: [UInt8]?
    package var payload: [UInt8]
    /// Counted from the dispatch.
    package var timeoutSeconds: Int
    /// Lines that the worker wrote before its answer must be read before the answer is passed on.
    package var wantsLog: Bool
    package var sink: any AnswerSink

    package init(
        requestID: String, nonce: String, functionARN: String, traceID: String, clientContext: [UInt8]?,
        payload: [UInt8], timeoutSeconds: Int, wantsLog: Bool, sink: any AnswerSink
    ) {
        self.requestID = requestID
        self.nonce = nonce
        self.functionARN = functionARN
        self.traceID = traceID
        self.clientContext = clientContext
        self.payload = payload
        self.timeoutSeconds = timeoutSeconds
        self.wantsLog = wantsLog
        self.sink = sink
    }
}

/// Who asked for a worker and hears of its life. Called on the loop.
package protocol WorkerOwner: AnyObject {
    /// The first `next`: the worker has initialised itself.
    func workerBecameReady(_ worker: any Worker)
    /// A slot has answered and asks for the next invocation.
    func worker(_ worker: any Worker, freed slot: Int)
    /// The function's own error from before the first `next`, as JSON; its exit follows.
    func worker(_ worker: any Worker, failedInit error: [UInt8])
    /// No more invocations may go to it: it is being killed, or its process has ended.
    func workerIsEnding(_ worker: any Worker, because failure: WorkerFailure)
    /// The end. Invocations in flight have been failed before this.
    func worker(_ worker: any Worker, exited exit: WorkerExit)
    /// A JSON object, as documented in runtime/PROTOCOL.md.
    func worker(_ worker: any Worker, progressed slot: Int, _ report: [UInt8])
    /// One line of standard output or error; `request` is the invocation that ran, if one did.
    func worker(_ worker: any Worker, wrote line: [UInt8], request: String?)
}
