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
    var startCause: StartCause?
    /// What its worker has had at the most so far, when that is going to be told.
    var peakMegabytes: Int?

    private(set) var logTail = LogTail()
    private var head: AnswerHead?
    private var body: [UInt8] = []
    private var isTooLarge = false
    let stream: ResponseStream?
    /// The answer goes to the stream, piece by piece.
    private var isStreaming = false
    private var streamedBytes = 0
    /// The worker gave up a stream of which a part has been passed on: whatever it says now is how that ended.
    private var isBrokenOff = false
    /// Nobody waits for it any more.
    var isUnwanted = false
    private let finish: (Invocation, Ending) -> Void
    /// What its client is waiting for; `nil` when nobody is.
    var completion: ((InvocationOutcome) -> Void)?

    /// Makes the place for an answer that is longer than `responseBytesMax`; `nil` where that is too long.
    var makeFile: (() -> AnswerFile)?
    private var file: AnswerFile?
    /// That it was too long for.
    private var fileBytesMax: Int?

    /// How it ended.
    enum Ending {
        case answered(AnswerHead, [UInt8])
        case filed(AnswerFile)
        /// - Parameter error: with which the function broke off.
        case streamed(error: [UInt8]?)
        case tooLarge(limit: Int)
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
        stream = request.stream
        self.execution = execution
        self.arrivedAt = arrivedAt
        self.responseBytesMax = responseBytesMax
        self.finish = finish
        stream?.invocation = self
    }

    /// Of a streamed answer in total. 200 MiB.
    static let streamBytesMax = 200 << 20

    func log(_ line: [UInt8]) { logTail.append(line) }

    // MARK: - AnswerSink

    func begin(_ head: AnswerHead) {
        self.head = head
        isBrokenOff = isStreaming
        if head.isStream, !isStreaming, !isUnwanted, let stream {
            isStreaming = true
            return stream.consumer.streamBegan()
        }
        // What came before was half an answer.
        body = []
        file = nil
        isTooLarge = false
        if let length = head.contentLength {
            if length <= responseBytesMax {
                body.reserveCapacity(length)
            } else if makeFile == nil || head.kind == .functionError {
                isTooLarge = true
            }
        }
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> AnswerReception {
        if isUnwanted || isBrokenOff, head?.isStream == true { return .unwanted }
        if isStreaming, !isBrokenOff, let stream {
            streamedBytes += bytes.count
            guard streamedBytes <= Self.streamBytesMax else {
                isTooLarge = true
                return .tooLong
            }
            return stream.consumer.streamReceived(bytes) ? .more : .wait
        }
        if let file { return append(bytes, to: file) }
        guard !isTooLarge, body.count + bytes.count <= responseBytesMax else {
            if !isTooLarge, head?.kind == .result, let file = makeFile?() {
                self.file = file
                let begun = body
                body = []
                _ = unsafe begun.withUnsafeBytes { unsafe file.append($0) }
                return append(bytes, to: file)
            }
            isTooLarge = true
            body = []
            return .tooLong
        }
        unsafe body.append(contentsOf: bytes)
        return .more
    }

    private func append(_ bytes: UnsafeRawBufferPointer, to file: AnswerFile) -> AnswerReception {
        let reception = unsafe file.append(bytes)
        if case .tooLong = reception {
            isTooLarge = true
            fileBytesMax = file.bytesMax
            self.file = nil
        }
        return reception
    }

    func end(error: [UInt8]?) {
        guard state == .running, let head else { return }
        state = .done
        if isTooLarge {
            finish(self, tooLarge)
        } else if isBrokenOff {
            let error = head.kind == .functionError ? body : error
            finish(self, .streamed(error: error ?? FunctionErrorBody.truncated(requestID: requestID)))
        } else if isStreaming {
            finish(self, .streamed(error: error))
        } else if let error {
            finish(self, .answered(AnswerHead(kind: .functionError, contentType: nil, contentLength: nil), error))
        } else if let file {
            finish(self, .filed(file))
        } else {
            finish(self, .answered(head, body))
        }
    }

    private var tooLarge: Ending {
        .tooLarge(limit: isStreaming ? Self.streamBytesMax : fileBytesMax ?? responseBytesMax)
    }

    func fail(_ failure: WorkerFailure) {
        guard state == .running else { return }
        state = .done
        finish(self, isTooLarge ? tooLarge : .failed(failure))
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
