package import Domain
package import Management
package import Scheduling

/// One synchronous invocation, as an API hands it in.
package struct InvocationRequest {
    package var route: Catalog.Route
    /// As the client wrote it; `nil` when unqualified.
    package var qualifier: Qualifier?
    /// A UUID; what the function sees as its request id.
    package var requestID: String
    /// The event's bytes, checked to be JSON.
    package var payload: [UInt8]
    /// Decoded from base64, checked to be JSON.
    package var clientContext: [UInt8]?
    /// The log must be complete in the outcome, at the cost of one system call.
    package var wantsLogTail: Bool
    /// `Root=1-...;Sampled=0`; `nil` makes a new one.
    package var traceID: String?
    /// Where a streamed answer goes while it comes; `nil` collects it.
    package var stream: ResponseStream?

    package init(
        route: Catalog.Route, qualifier: Qualifier?, requestID: String, payload: [UInt8],
        clientContext: [UInt8]? = nil, wantsLogTail: Bool = false, traceID: String? = nil,
        stream: ResponseStream? = nil
    ) {
        self.route = route
        self.qualifier = qualifier
        self.requestID = requestID
        self.payload = payload
        self.clientContext = clientContext
        self.wantsLogTail = wantsLogTail
        self.traceID = traceID
        self.stream = stream
    }
}

/// What came of an invocation.
package struct InvocationOutcome {
    package enum Result {
        /// The function's bytes, untouched.
        case success([UInt8], contentType: String?)
        /// An answer that is longer than a client may be sent; for executions only, and to be finished by whoever takes it.
        case filed(AnswerFile)
        /// The error object that clients get, as JSON: the function's own, or ours when it gave none.
        case functionError([UInt8])
        /// All of it went to the request's stream; with the error object if the function broke off.
        case streamed(functionError: [UInt8]?)
        case refused(InvocationRefusal)
    }

    package var result: Result
    package var timing: InvocationTiming
    /// The last 4 KiB of the invocation's log, with its START, END and REPORT lines; empty when it never ran.
    package var logTail: [UInt8]
    /// As the function saw it.
    package var traceID: String
    /// What its worker has had at the most, where that was asked of it.
    package var peakMegabytes: Int?

    package init(result: Result, timing: InvocationTiming, logTail: [UInt8], traceID: String) {
        self.result = result
        self.timing = timing
        self.logTail = logTail
        self.traceID = traceID
    }
}

/// Where the time of an invocation went.
package struct InvocationTiming: Equatable, Sendable {
    /// From arrival to dispatch, without `initialization`.
    package var queue = Interval.zero
    /// The part of the wait in which the worker that then ran it was starting; `nil` for a warm invocation.
    package var initialization: Interval?
    /// Why that worker was started; `nil` for a warm invocation.
    package var startCause: StartCause?
    /// From dispatch to the end of the answer.
    package var run = Interval.zero

    package init() {}
}

/// Why an invocation never reached a worker.
package enum InvocationRefusal: Equatable, Sendable {
    /// Reserved concurrency is 0.
    case noConcurrency
    case queueFull(limit: Int)
    /// No worker became free in the time that an invocation waits at the most.
    case waitedTooLong(Interval)
    /// It would not get a worker within `limit`, as it looks on arrival.
    case wouldWaitTooLong(Interval, limit: Interval)
    /// Starts of this version failed, and are tried again after the given time.
    case startsPaused(retryAfter: Interval)
    case shuttingDown
}
