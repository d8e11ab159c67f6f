internal import Domain
internal import JSON
internal import Scheduling
internal import Workers

/// From the end of an invocation to what its client is told.
extension Invocation {
    /// - Parameter now: when the end came.
    func outcome(_ ending: Ending, at now: Instant) -> InvocationOutcome {
        let timing = timing(at: now)
        let result: InvocationOutcome.Result
        switch ending {
        case .answered(let head, let body):
            switch head.kind {
            case .result: result = .success(body, contentType: head.contentType)
            case .functionError: result = .functionError(body)
            }
        case .filed(let file):
            result = .filed(file)
        case .streamed(let error):
            result = .streamed(functionError: error)
        case .tooLarge(let limit):
            result = .functionError(
                FunctionErrorBody.make(
                    "Function.ResponseSizeTooLarge",
                    "Response payload size exceeded maximum allowed payload size (\(limit) bytes)."))
        case .failed(.timedOut(let limit)):
            let seconds = Self.twoDecimals(limit)
            log(Array("\(requestID) Task timed out after \(seconds) seconds".utf8))
            result = .functionError(
                FunctionErrorBody.make(
                    FunctionErrorBody.timedOut, "RequestId: \(requestID) Error: Task timed out after \(seconds) seconds"
                ))
        case .failed(.exited(let exit)):
            result = .functionError(FunctionErrorBody.exited(exit, requestID: requestID))
        case .failed(.protocolViolation(let text)):
            result = .functionError(
                FunctionErrorBody.make("Runtime.ProtocolViolation", "RequestId: \(requestID) Error: \(text)"))
        case .failed(.stopped):
            result = .functionError(
                FunctionErrorBody.make("Runtime.Stopped", "RequestId: \(requestID) Error: The worker was stopped"))
        }
        endLog(timing)
        var outcome = InvocationOutcome(result: result, timing: timing, logTail: logTail.newest, traceID: traceID)
        outcome.peakMegabytes = peakMegabytes
        return outcome
    }

    /// - Parameter initFailures: of the workers whose exit is being handled.
    func refused(
        _ refusal: Refusal, at now: Instant,
        initFailures: [WorkerID: (error: [UInt8]?, exit: WorkerExit, log: [UInt8])]
    ) -> InvocationOutcome {
        let timing = timing(at: now)
        var tail: [UInt8] = []
        let result: InvocationOutcome.Result
        switch refusal {
        case .queueFull(let limit): result = .refused(.queueFull(limit: limit))
        case .waitedTooLong: result = .refused(.waitedTooLong(now - arrivedAt))
        case .wouldWaitTooLong(let wait, let limit): result = .refused(.wouldWaitTooLong(wait, limit: limit))
        case .reservedConcurrencyZero: result = .refused(.noConcurrency)
        case .initBackoff(let until): result = .refused(.startsPaused(retryAfter: until - now))
        case .shutdown: result = .refused(.shuttingDown)
        case .poolGone: preconditionFailure("an invocation came to a pool that was retired")
        case .neverFits(let needed, let limit):
            result = .functionError(
                FunctionErrorBody.make(
                    "Roost.MemoryLimit",
                    "The function needs \(needed) MB, and all workers of this host together may have \(limit) MB"))
        case .initFailed(let worker):
            let failure = initFailures[worker]
            tail = failure?.log ?? []
            let body = failure?.error ?? FunctionErrorBody.exited(failure?.exit ?? .code(0), requestID: requestID)
            result = .functionError(body)
        }
        return InvocationOutcome(result: result, timing: timing, logTail: tail, traceID: traceID)
    }

    private func timing(at now: Instant) -> InvocationTiming {
        var timing = InvocationTiming()
        let dispatched = dispatchedAt ?? now
        timing.queue = dispatched - arrivedAt
        if let initialization {
            timing.initialization = initialization
            timing.startCause = startCause
            timing.queue = Interval(nanoseconds: max(0, timing.queue.nanoseconds - initialization.nanoseconds))
        }
        timing.run = now - dispatched
        return timing
    }

    // MARK: - START, END and REPORT, in the Lambda API's form

    func beginLog() { log(Array("START RequestId: \(requestID) Version: \(version.number)".utf8)) }

    private func endLog(_ timing: InvocationTiming) {
        guard wantsLogTail || execution != nil else { return }
        log(Array("END RequestId: \(requestID)".utf8))
        log(Array(report(timing).utf8))
    }

    private func report(_ timing: InvocationTiming) -> String {
        let run = timing.run.milliseconds
        var text = "REPORT RequestId: \(requestID)\tDuration: \(Self.twoDecimals(run)) ms"
        text +=
            "\tBilled Duration: \(Int(run.rounded(.up))) ms\tMemory Size: \(version.configuration.memoryMegabytes) MB"
        if let peakMegabytes { text += "\tMax Memory Used: \(peakMegabytes) MB" }
        text += "\tQueue Duration: \(Self.twoDecimals(timing.queue.milliseconds)) ms\t"
        if let initialization = timing.initialization {
            text += "Init Duration: \(Self.twoDecimals(initialization.milliseconds)) ms\t"
        }
        if let cause = timing.startCause { text += "Start Cause: \(cause.rawValue)\t" }
        return text
    }

    func reportLine(_ outcome: InvocationOutcome, at: Timestamp) -> LogLine {
        LogLine(
            at: at, version: version.number, worker: slot?.worker.value ?? 0, request: requestID,
            text: Array(report(outcome.timing).utf8))
    }

    static func twoDecimals(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }
}

extension InvocationOutcome {
    /// Worth a line in the function's log although nobody asked for it: cold starts and errors.
    var isNoteworthy: Bool {
        if timing.initialization != nil { return true }
        switch result {
        case .success, .filed, .streamed(functionError: nil): return false
        case .functionError, .streamed, .refused: return true
        }
    }
}

/// The error objects that we make where the function gave none.
enum FunctionErrorBody {
    static let timedOut = "Sandbox.Timedout"

    static func make(_ type: String, _ message: String) -> [UInt8] {
        (["errorType": .string(type), "errorMessage": .string(message)] as JSONValue).encoded()
    }

    static func truncated(requestID: String) -> [UInt8] {
        make("Runtime.TruncatedResponse", "RequestId: \(requestID) Error: The worker broke off its response")
    }

    static func exited(_ exit: WorkerExit, requestID: String) -> [UInt8] {
        let reason = exit.reason.map { "Runtime exited with error: \($0)" }
        return make(
            "Runtime.ExitError",
            "RequestId: \(requestID) Error: \(reason ?? "Runtime exited without providing a reason")")
    }
}
