/// Where the answer of one invocation goes, chunk by chunk, on the loop.
///
/// Order of calls: `begin`, any number of `receive`, then `end`; or `fail` at any point before `end`. Nothing follows
/// `end` or `fail`. A sink that buffers bounds what it holds; one that passes on makes its worker wait.
package protocol AnswerSink: AnyObject {
    func begin(_ head: AnswerHead)
    /// Bytes of the answer, valid during the call.
    func receive(_ bytes: UnsafeRawBufferPointer) -> AnswerReception
    /// - Parameter error: the error object with which the function broke off a stream; `nil` when it came to its end.
    func end(error: [UInt8]?)
    /// There is no complete answer.
    func fail(_ failure: WorkerFailure)
}

/// What a sink makes of bytes.
package enum AnswerReception: Sendable {
    case more
    /// It has taken these, and has no room for more: none come until `Worker.resumeAnswer`.
    case wait
    /// The answer is longer than it takes. The worker is told so; `end` follows, and no more bytes.
    case tooLong
    /// Nobody wants the answer any more, as after `Worker.abandonAnswer`.
    case unwanted
}

/// What is known of an answer before its bytes.
package struct AnswerHead: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case result
        /// The function reported an error; the bytes are its error object.
        case functionError
    }

    package var kind: Kind
    /// As the worker sent it; `nil` when it sent none.
    package var contentType: String?
    /// `nil` when the worker sends chunks.
    package var contentLength: Int?
    /// The function yields it piece by piece.
    package var isStream: Bool

    package init(kind: Kind, contentType: String?, contentLength: Int?, isStream: Bool = false) {
        self.kind = kind
        self.contentType = contentType
        self.contentLength = contentLength
        self.isStream = isStream
    }
}

/// Why a worker gave no answer.
package enum WorkerFailure: Equatable, Sendable {
    /// The function's time limit passed; the worker was killed.
    case timedOut(limitSeconds: Double)
    case exited(WorkerExit)
    /// The worker spoke something else than the Runtime API; the text says what.
    case protocolViolation(String)
    /// Somebody asked for it to be stopped.
    case stopped
}

/// How a worker's process ended.
package enum WorkerExit: Equatable, Sendable {
    case code(Int)
    case signal(Int)
    /// It could not be started at all.
    case notStarted(String)

    /// In the words of the Lambda API: `exit status 1`, `signal: killed`.
    package var reason: String? {
        switch self {
        case .code(0): nil
        case .code(let code): "exit status \(code)"
        case .signal(let number): "signal: \(Self.signalNames[number] ?? String(number))"
        case .notStarted(let reason): reason
        }
    }

    private static let signalNames = [
        1: "hangup", 2: "interrupt", 3: "quit", 4: "illegal instruction", 5: "trace/breakpoint trap", 6: "aborted",
        7: "bus error", 8: "floating point exception", 9: "killed", 11: "segmentation fault", 13: "broken pipe",
        14: "alarm clock", 15: "terminated", 24: "CPU time limit exceeded", 25: "file size limit exceeded",
        31: "bad system call",
    ]
}
