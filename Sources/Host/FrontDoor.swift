internal import Dispatching
internal import Domain
internal import HTTP
internal import JSON
internal import LambdaAPI
internal import Loop
internal import RoostAPI
internal import Signing
internal import Workers

/// From HTTP requests to the APIs, and back. Lives on the loop.
///
/// An invocation's head is planned, and its body checked while it arrives, in plain calls; the body of any other request is
/// collected, and the request becomes a task on the loop. A signature covers the body, so that who asks is known at the
/// end of it, and nothing is done or told before.
final class FrontDoor: HTTPConnectionDelegate {
    private let lambda: LambdaAPI
    private let roost: RoostAPI
    private let dispatcher: Dispatcher
    private let logs: FunctionLogs
    private let loop: EventLoop
    private let access: AccessControl
    private var retries = RetryTable<HTTPExchange>()
    private var retryTimer: LoopTimer?
    /// Until the executions of the last run are taken up again, and when the host drains.
    var isReady = false

    init(
        lambda: LambdaAPI, roost: RoostAPI, dispatcher: Dispatcher, logs: FunctionLogs, loop: EventLoop,
        access: AccessControl
    ) {
        self.lambda = lambda
        self.roost = roost
        self.dispatcher = dispatcher
        self.logs = logs
        self.loop = loop
        self.access = access
        retryTimer = LoopTimer(loop: loop) { [unowned self] in expireRetries() }
    }

    func close() {
        retryTimer?.close()
        retryTimer = nil
    }

    // MARK: - Heads

    func requestHeadReceived(_ connection: HTTPConnection) {
        do throws(WireError) {
            let path = connection.request.pathSegments
            try access.refuseForeign(connection.request)
            if try isAnsweredToAnybody(connection, path) { return }
            let claim = try access.begin(connection.request)
            if connection.request.method == .post, path.count == 4, path[1] == "functions" {
                if path[0] == "2015-03-31", path[3] == "invocations" {
                    return planInvocation(connection, claim, .buffered, .invoke, function: path[2].text)
                }
                if path[0] == "2021-11-15", path[3] == "response-streaming-invocations" {
                    return planInvocation(
                        connection, claim, .stream, .invokeWithResponseStream, function: path[2].text)
                }
                if path[0] == "2014-11-13", path[3] == "invoke-async" {
                    return planInvocation(connection, claim, .async, .invokeAsync, function: path[2].text)
                }
            }
            try begin(connection, claim, path.texts)
        } catch {
            connection.exchange.respond(error.response)
        }
    }

    private func planInvocation(
        _ connection: HTTPConnection, _ claim: AccessControl.Claim, _ form: InvokePlan.Form, _ name: Operation.Name,
        function: String
    ) {
        let request = connection.request
        let operation = Operation(name, resource: function)
        let subject: Arrival.Subject
        // Who has not proved who he is learns nothing of the function, and so not which limit its plan has.
        if claim.isSigned {
            if let length = request.contentLength, length > lambda.bodyBytesMax(operation) {
                return connection.exchange.respond(lambda.tooLarge(operation, bytes: length).response)
            }
            connection.bodyBytesMax = lambda.bodyBytesMax(operation)
        }
        do throws(WireError) {
            let qualifier = request.rawQuery.isEmpty ? nil : request.queryItems["Qualifier"]
            let plan = try lambda.planInvoke(form, function: function, qualifier: qualifier) {
                request.headerText(named: $0)
            }
            if let length = request.contentLength, length > plan.bodyBytesMax { throw plan.tooLarge(length) }
            if !claim.isSigned { connection.bodyBytesMax = plan.bodyBytesMax }
            connection.collectsBody = true
            subject = .invocation(plan, operation)
        } catch {
            guard claim.isSigned else { return connection.exchange.respond(error.response) }
            // The body is read past, for the signature.
            subject = .refused(error, operation)
        }
        connection.userInfo = Arrival(subject, claim: claim, requestID: UniqueID.random(), request: request)
    }

    /// What tells nothing of functions is told without a key.
    private func isAnsweredToAnybody(_ connection: HTTPConnection, _ path: PathSegments) throws(WireError) -> Bool {
        guard path.count <= 1 else { return false }
        switch path.first?.text {
        case "healthz":
            try answer(connection) { self.plain("ok\n") }
        case "readyz":
            try answer(connection) { self.isReady ? self.plain("ready\n") : self.plain("not ready\n", status: 503) }
        case "", nil:
            try answer(connection) { self.welcome }
        default:
            return false
        }
        return true
    }

    private func begin(
        _ connection: HTTPConnection, _ claim: AccessControl.Claim, _ segments: [String]
    ) throws(WireError) {
        let method = "\(connection.request.method.name)"
        switch segments.first {
        case "metrics" where segments.count == 1:
            try settleWithoutBody(claim)?.require([.manage], nil, "GetMetrics")
            try answer(connection) {
                let text = self.dispatcher.metrics.text(self.dispatcher.report(at: self.loop.now))
                return self.plain(text, type: "text/plain; version=0.0.4; charset=utf-8")
            }
        case "roost":
            try beginRoost(connection, claim, method, segments)
        default:
            let operation = try lambda.route(method: method, segments: segments)
            connection.bodyBytesMax = lambda.bodyBytesMax(operation)
            collect(connection, claim, segments, .lambda(operation), tooLarge: lambda.tooLarge(operation))
        }
    }

    private func beginRoost(
        _ connection: HTTPConnection, _ claim: AccessControl.Claim, _ method: String, _ segments: [String]
    ) throws(WireError) {
        let operation = try RoostOperation.route(method: method, segments: segments)
        switch operation {
        case .putArtifact(let digest):
            // The path says what the body will be: a signature is found good before the first byte.
            let key = try access.settle(claim, bodyDigest: digest)
            try roost.authorize(operation, key)
            connection.bodyBytesMax = roost.bodyBytesMax(operation)
            let request = wireRequest(connection, segments, requestID: "", key: nil)
            let offset = try request.integer("offset", in: 0...Int.max) ?? 0
            connection.userInfo = ArtifactUpload(
                digest, offset: offset, connection: connection, roost: roost, loop: loop)
        case .logs(let function):
            let key = try settleWithoutBody(claim)
            try roost.authorize(operation, key)
            let query = try roost.logQuery(function, wireRequest(connection, segments, requestID: "", key: nil))
            LogAnswer(
                query, exchange: connection.exchange, roost: roost, logs: logs, loop: loop,
                isAllowed: { [access] in access.isCurrent(key) }
            ).begin()
        default:
            connection.bodyBytesMax = roost.bodyBytesMax(operation)
            collect(connection, claim, segments, .roost(operation), tooLarge: roost.tooLarge(operation))
        }
    }

    /// For requests that are answered before a body can come. One that was signed with a body is refused.
    private func settleWithoutBody(_ claim: AccessControl.Claim) throws(WireError) -> AccessKey? {
        try access.settle(claim, bodyDigest: Self.emptyDigest)
    }

    private static let emptyDigest = Digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")!

    private func collect(
        _ connection: HTTPConnection, _ claim: AccessControl.Claim, _ segments: [String],
        _ operation: Arrival.AnyOperation, tooLarge: WireError
    ) {
        if let length = connection.request.contentLength, length > connection.bodyBytesMax {
            return connection.exchange.respond(tooLarge.response)
        }
        connection.collectsBody = true
        connection.userInfo = Arrival(
            .operation(operation, segments: segments, tooLarge: tooLarge), claim: claim, requestID: UniqueID.random(),
            request: connection.request)
    }

    // MARK: - Bodies

    func requestBodyReceived(_ connection: HTTPConnection, _ bytes: UnsafeRawBufferPointer) {
        switch connection.userInfo {
        case let arrival as Arrival: arrival.receive(bytes)
        case let upload as ArtifactUpload: upload.receive(bytes)
        default: break
        }
    }

    func requestEnded(_ connection: HTTPConnection) {
        switch connection.userInfo {
        case let arrival as Arrival:
            do throws(WireError) {
                try settle(arrival, connection)
            } catch {
                connection.exchange.respond(error.response, requestID: arrival.requestID)
            }
        case let upload as ArtifactUpload: upload.end()
        default: break
        }
    }

    func requestAborted(_ connection: HTTPConnection, _ reason: HTTPAbort) {
        switch connection.userInfo {
        case let upload as ArtifactUpload: upload.abort()
        case let log as LogAnswer: log.stop()
        case let answer as StreamAnswer: answer.clientLeft()
        case let arrival as Arrival where reason == .refused(.bodyTooLarge):
            switch arrival.subject {
            case .invocation(let plan, _) where !arrival.claim.isSigned:
                connection.exchange.respond(plan.tooLarge(connection.bodyBytesMax + 1).response)
            case .invocation(_, let operation), .refused(_, let operation):
                let error = lambda.tooLarge(operation, bytes: connection.bodyBytesMax + 1)
                connection.exchange.respond(error.response)
            case .operation(_, _, let tooLarge): connection.exchange.respond(tooLarge.response)
            }
        default: break
        }
    }

    func addFields(to headers: HTTPHeaderWriter, ofRefusal status: Int) {
        headers.add("x-amzn-RequestId", UniqueID.random())
        headers.add(
            name: "x-amzn-ErrorType",
            value: status >= 500 ? WireError.Exception.service.rawValue : WireError.Exception.validation.rawValue)
    }

    // MARK: - Whole requests

    /// Who asks is known now: runs the request, or answers it as the first try of the same call was answered.
    private func settle(_ arrival: Arrival, _ connection: HTTPConnection) throws(WireError) {
        let exchange = connection.exchange
        let key = try access.settle(arrival.claim, bodyDigest: arrival.bodyDigest)
        let name = arrival.claim.name
        switch arrival.subject {
        case .refused(let error, let operation):
            try lambda.authorize(operation, key)
            throw error
        case .invocation(let plan, let operation):
            try lambda.authorize(plan, operation, key)
            try invoke(plan, arrival, connection, Caller(name: name, requestID: arrival.requestID))
        case .operation(let operation, let segments, _):
            switch operation {
            case .lambda(let operation): try lambda.authorize(operation, key)
            case .roost(let operation): try roost.authorize(operation, key)
            }
            let call = Call(
                exchange: exchange, requestID: arrival.requestID,
                retryKey: arrival.retryKey(connection.request, caller: name))
            guard isFirst(call) else { return }
            let request = wireRequest(connection, segments, requestID: arrival.requestID, key: key)
            loop.spawn { await self.perform(operation, request, call) }
        }
    }

    private func perform(_ operation: Arrival.AnyOperation, _ request: WireRequest, _ call: Call) async {
        switch operation {
        case .lambda(let operation): finish(call, await lambda.perform(operation, request))
        case .roost(let operation): finish(call, await roost.perform(operation, request))
        }
    }

    private func wireRequest(
        _ connection: HTTPConnection, _ segments: [String], requestID: String, key: AccessKey?
    ) -> WireRequest {
        let request = connection.request
        var headers: [String: String] = [:]
        request.forEachHeader { name, value in
            headers[String(decoding: name, as: UTF8.self).lowercased()] = String(decoding: value, as: UTF8.self)
        }
        return WireRequest(
            method: "\(request.method.name)", segments: segments,
            query: request.queryItems.map { (name: $0.key, value: $0.value) }, header: { headers[$0] },
            body: connection.takeBody(),
            caller: Caller(name: key?.id ?? Caller.anonymousName, requestID: requestID), key: key)
    }

    // MARK: - Tries of one call

    /// A request on its way to its answer.
    private struct Call {
        let exchange: HTTPExchange
        let requestID: String
        /// `nil` for calls that nothing tells apart from a second one.
        let retryKey: RetryKey?
    }

    /// False when another try of the call is under way or answered, which then answers this one, too.
    private func isFirst(_ call: Call) -> Bool {
        guard let key = call.retryKey else { return true }
        switch retries.arrive(key, call.exchange, at: loop.now, isOpen: { $0.isOpen }) {
        case .first, .untracked: return true
        case .waits: break
        case .replay(let answer): call.exchange.respond(answer.response, requestID: answer.requestID)
        case .tooManyTries:
            let error = WireError(
                .tooManyRequests, "Rate Exceeded.",
                fields: [
                    "Reason": "CallerRateLimitExceeded", "Detail": "Too many tries of this call wait for its answer.",
                ], retryAfter: .seconds(1))
            call.exchange.respond(error.response, requestID: call.requestID)
        }
        return false
    }

    private func finish(_ call: Call, _ response: WireResponse) {
        guard let key = call.retryKey else { return call.exchange.respond(response, requestID: call.requestID) }
        let waiters = retries.finish(
            key, .init(response: response, requestID: call.requestID), isDelivered: call.exchange.isOpen,
            at: loop.now)
        call.exchange.respond(response, requestID: call.requestID)
        for waiter in waiters { waiter.respond(response, requestID: call.requestID) }
        if retryTimer?.isActive == false { expireRetries() }
    }

    private func expireRetries() {
        retries.expire(at: loop.now)
        // A minute late at the most, so that a busy host is not woken for each.
        if let next = retries.nextExpiry { retryTimer?.start(after: max(next - loop.now, .zero) + .seconds(60)) }
    }

    // MARK: - Invocations

    private func invoke(
        _ plan: InvokePlan, _ arrival: Arrival, _ connection: HTTPConnection, _ caller: Caller
    ) throws(WireError) {
        let exchange = connection.exchange
        let payload = connection.takeBody()
        if payload.count > plan.bodyBytesMax { throw plan.tooLarge(payload.count) }
        if !payload.isEmpty { arrival.finishScan() }
        if let fault = arrival.fault { throw plan.notJSON(fault) }
        if let refusal = plan.lateRefusal { throw refusal }
        if plan.kind == .dryRun { return exchange.respond(lambda.dryRunResponse(), requestID: caller.requestID) }
        if plan.form == .stream { return stream(plan, payload, connection, caller) }
        let key = arrival.retryKey(connection.request, caller: caller.name)
        let call = Call(exchange: exchange, requestID: caller.requestID, retryKey: key)
        guard isFirst(call) else { return }
        if plan.kind == .event || plan.executionName != nil {
            arrival.payload = payload
            loop.spawn { await self.execute(plan, arrival, call, caller) }
        } else {
            dispatcher.invoke(plan.request(id: caller.requestID, payload: payload)) { [unowned self] outcome in
                finish(call, lambda.response(to: outcome, plan))
            }
        }
    }

    private func execute(_ plan: InvokePlan, _ arrival: Arrival, _ call: Call, _ caller: Caller) async {
        let payload = arrival.takePayload()
        let response = await lambda.execute(
            plan, payload: consume payload, by: caller, retryKey: call.retryKey?.text)
        finish(call, response)
    }

    /// A stream is answered as it comes, so there is nothing to give to a further try: that is a call of its own.
    private func stream(
        _ plan: InvokePlan, _ payload: [UInt8], _ connection: HTTPConnection, _ caller: Caller
    ) {
        let answer = StreamAnswer(
            plan, exchange: connection.exchange, lambda: lambda, requestID: caller.requestID)
        connection.userInfo = answer
        let request = plan.request(id: caller.requestID, payload: payload, stream: answer.stream)
        dispatcher.invoke(request) { outcome in answer.ended(outcome) }
    }

    // MARK: - Answers

    private func answer(_ connection: HTTPConnection, _ make: () -> WireResponse) throws(WireError) {
        let method = connection.request.method
        guard method == .get || method == .head else {
            throw WireError(
                .unknownOperation, "The path takes no \(method.name).", status: 405, allow: ["GET", "HEAD"])
        }
        connection.exchange.respond(make())
    }

    private func plain(_ text: String, status: Int = 200, type: String = "text/plain; charset=utf-8") -> WireResponse {
        WireResponse(status: status, headers: [("Content-Type", type)], body: Array(text.utf8))
    }

    private var welcome: WireResponse {
        .json([
            "name": "Roost", "version": .string(RoostVersion.text),
            "about": "A serverless-style function host for machine-learning models. It speaks the AWS Lambda API.",
            "documentation": "README.md and docs/ of the project; `roost --help`",
        ])
    }
}

extension HTTPExchange {
    /// Sends a whole answer, with the fields that every answer of ours has.
    func respond(_ response: WireResponse, requestID: String? = nil) {
        respond(response.status, body: response.body) { headers in
            var hasType = false
            var hasRequestID = false
            for (name, value) in response.headers {
                headers.add(name: name, value: value)
                if name == "Content-Type" { hasType = true }
                if name == "x-amzn-RequestId" { hasRequestID = true }
            }
            if !hasType { headers.add("Content-Type", "application/json") }
            if !hasRequestID { headers.add("x-amzn-RequestId", requestID ?? UniqueID.random()) }
        }
    }
}
