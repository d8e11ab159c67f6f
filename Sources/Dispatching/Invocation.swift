internal import Domain
internal import Loop
internal import Management
internal import Scheduling
internal import Workers

/// One invocation between its arrival and its answer: what it carries, and what it has gathered. Lives on the loop.
final class Invocation: AnswerSink {
    enum State {
        case queued, running, done
    }

    let id: InvocationID
    let pool: PoolID
    let requestID: String
    let functionARN: String
    let version: Version
    let functionName: FunctionName
    var payload: [UInt8]
    let clientContext: [UInt8]?
    let traceID: String
    /// Whether lines must be in the tail before the answer goes out.
    let wantsLogTail: Bool
    let execution: Execution.ID?
    let responseBytesMax: Int
    var state = State.queued
    /// Where it runs or ran.
    var slot: Slot?
    /// Called when a worker gets it.
    var onDispatch: (() -> Void)?

    let arrivedAt: Instant
    var dispatchedAt: Instant?
    var initialization: Interval?

    private(set) var logTail = LogTail()
    private var head: AnswerHead?
    private var body: [UInt8] = []
    private var isTooLarge = false
    private let finish: (Invocation, Ending) -> Void

    /// How it ended.
    enum Ending {
        case answered(AnswerHead, [UInt8])
        case tooLarge
        case failed(WorkerFailure)
    }

    init(
        id: InvocationID, pool: PoolID, request: InvocationRequest, execution: Execution.ID?, arrivedAt: Instant,
        responseBytesMax: Int, finish: @escaping (Invocation, Ending) -> Void
    ) {
        self.id = id
        self.pool = pool
        requestID = request.requestID
        functionARN = ARN.function(request.route.function.name, request.qualifier)
        version = request.route.version
        functionName = request.route.function.name
        payload = request.payload
        clientContext = request.clientContext
        traceID = request.traceID ?? UniqueID.trace(at: EventLoop.wallClock)
        wantsLogTail = request.wantsLogTail
        self.execution = execution
        self.arrivedAt = arrivedAt
        self.responseBytesMax = responseBytesMax
        self.finish = finish
    }

    func log(_ line: [UInt8]) { logTail.append(line) }

    // MARK: - AnswerSink

    func begin(_ head: AnswerHead) {
        self.head = head
        // What came before was half an answer.
        body = []
        isTooLarge = false
        if let length = head.contentLength {
            if length > responseBytesMax { isTooLarge = true } else { body.reserveCapacity(length) }
        }
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard !isTooLarge, body.count + bytes.count <= responseBytesMax else {
            isTooLarge = true
            body = []
            return false
        }
        unsafe body.append(contentsOf: bytes)
        return true
    }

    func end() {
        guard state == .running, let head else { return }
        state = .done
        finish(self, isTooLarge ? .tooLarge : .answered(head, body))
    }

    func fail(_ failure: WorkerFailure) {
        guard state == .running else { return }
        state = .done
        finish(self, isTooLarge ? .tooLarge : .failed(failure))
    }
}

/// The last 4 KiB of what an invocation logged.
struct LogTail {
    static let bytesMax = 4096
    private(set) var bytes: [UInt8] = []

    mutating func append(_ line: [UInt8]) {
        bytes.append(contentsOf: line)
        bytes.append(0x0A)
        if bytes.count > 2 * Self.bytesMax { bytes.removeFirst(bytes.count - Self.bytesMax) }
    }

    var newest: [UInt8] { Array(bytes.suffix(Self.bytesMax)) }
}
