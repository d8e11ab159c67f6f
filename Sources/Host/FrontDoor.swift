internal import Dispatching
internal import Domain
internal import HTTP
internal import JSON
internal import LambdaAPI
internal import Loop
internal import RoostAPI
internal import Workers

/// From HTTP requests to the APIs, and back. Lives on the loop.
///
/// An invocation's head is planned, and its body checked while it arrives, in plain calls; the body of any other request is
/// collected, and the request becomes a task on the loop.
final class FrontDoor: HTTPConnectionDelegate {
    /// An invocation whose body is arriving.
    private final class ArrivingInvocation {
        let plan: InvokePlan
        var scanner = JSONScanner()
        var fault: JSONSyntaxError?

        init(_ plan: InvokePlan) { self.plan = plan }
    }

    private enum AnyOperation {
        case lambda(Operation)
        case roost(RoostOperation)
    }

    /// Any other request whose body is arriving.
    private final class ArrivingRequest {
        let segments: [String]
        let tooLarge: WireError
        let operation: AnyOperation

        init(segments: [String], tooLarge: WireError, operation: AnyOperation) {
            self.segments = segments
            self.tooLarge = tooLarge
            self.operation = operation
        }
    }

    private let lambda: LambdaAPI
    private let roost: RoostAPI
    private let dispatcher: Dispatcher
    private let logs: FunctionLogs
    private let loop: EventLoop
    /// Until the executions of the last run are taken up again, and when the host drains.
    var isReady = false

    init(
        lambda: LambdaAPI, roost: RoostAPI, dispatcher: Dispatcher, logs: FunctionLogs, loop: EventLoop
    ) {
        self.lambda = lambda
        self.roost = roost
        self.dispatcher = dispatcher
        self.logs = logs
        self.loop = loop
    }

    // MARK: - Heads

    func requestHeadReceived(_ connection: HTTPConnection) {
        let request = connection.request
        // There are no keys yet, so nobody else may be let in.
        if OriginGuard.isForeign(request) {
            let message =
                "This host has no access keys: it answers requests to a loopback address that no web page sent. "
                + "Send no Origin header, and a Host of 127.0.0.1, [::1] or localhost."
            return connection.exchange.respond(WireError(.accessDenied, message).response)
        }
        let path = request.pathSegments
        if request.method == .post, path.count == 4, path[3] == "invocations", path[0] == "2015-03-31",
            path[1] == "functions"
        {
            return planInvocation(connection, function: path[2].text)
        }
        do throws(WireError) {
            try begin(connection, path.texts)
        } catch {
            connection.exchange.respond(error.response)
        }
    }

    private func planInvocation(_ connection: HTTPConnection, function: String) {
        let request = connection.request
        do throws(WireError) {
            let qualifier = request.rawQuery.isEmpty ? nil : request.queryItems["Qualifier"]
            let plan = try lambda.planInvoke(function: function, qualifier: qualifier) {
                request.headerText(named: $0)
            }
            if let length = request.contentLength, length > plan.bodyBytesMax { throw plan.tooLarge(length) }
            connection.bodyBytesMax = plan.bodyBytesMax
            connection.collectsBody = true
            connection.userInfo = ArrivingInvocation(plan)
        } catch {
            connection.exchange.respond(error.response)
        }
    }

    private func begin(_ connection: HTTPConnection, _ segments: [String]) throws(WireError) {
        let method = "\(connection.request.method.name)"
        switch segments.first {
        case "healthz" where segments.count == 1:
            try answer(connection, method) { self.plain("ok\n") }
        case "readyz" where segments.count == 1:
            try answer(connection, method) {
                self.isReady ? self.plain("ready\n") : self.plain("not ready\n", status: 503)
            }
        case "metrics" where segments.count == 1:
            try answer(connection, method) {
                let text = self.dispatcher.metrics.text(self.dispatcher.pools(at: self.loop.now))
                return self.plain(text, type: "text/plain; version=0.0.4; charset=utf-8")
            }
        case "" where segments.count == 1, nil:
            try answer(connection, method) { self.welcome }
        case "roost":
            try beginRoost(connection, method, segments)
        default:
            let operation = try lambda.route(method: method, segments: segments)
            connection.bodyBytesMax = lambda.bodyBytesMax(operation)
            collect(connection, segments, .lambda(operation), tooLarge: lambda.tooLarge(operation))
        }
    }

    private func beginRoost(
        _ connection: HTTPConnection, _ method: String, _ segments: [String]
    ) throws(WireError) {
        let operation = try RoostOperation.route(method: method, segments: segments)
        switch operation {
        case .putArtifact(let digest):
            connection.bodyBytesMax = roost.bodyBytesMax(operation)
            connection.userInfo = ArtifactUpload(digest, connection: connection, roost: roost, loop: loop)
        case .logs(let function):
            let query = try roost.logQuery(function, wireRequest(connection, segments))
            LogAnswer(query, exchange: connection.exchange, roost: roost, logs: logs, loop: loop).begin()
        default:
            connection.bodyBytesMax = roost.bodyBytesMax(operation)
            collect(connection, segments, .roost(operation), tooLarge: roost.tooLarge(operation))
        }
    }

    private func collect(
        _ connection: HTTPConnection, _ segments: [String], _ operation: AnyOperation, tooLarge: WireError
    ) {
        if let length = connection.request.contentLength, length > connection.bodyBytesMax {
            return connection.exchange.respond(tooLarge.response)
        }
        connection.collectsBody = true
        connection.userInfo = ArrivingRequest(segments: segments, tooLarge: tooLarge, operation: operation)
    }

    // MARK: - Bodies

    func requestBodyReceived(_ connection: HTTPConnection, _ bytes: UnsafeRawBufferPointer) {
        switch connection.userInfo {
        case let invocation as ArrivingInvocation:
            guard invocation.fault == nil else { return }
            do throws(JSONSyntaxError) { try invocation.scanner.scan(bytes) } catch { invocation.fault = error }
        case let upload as ArtifactUpload:
            upload.receive(bytes)
        default:
            break
        }
    }

    func requestEnded(_ connection: HTTPConnection) {
        switch connection.userInfo {
        case let invocation as ArrivingInvocation: invoke(invocation, connection)
        case let upload as ArtifactUpload: upload.end()
        case let arriving as ArrivingRequest:
            let exchange = connection.exchange
            let request = wireRequest(connection, arriving.segments)
            loop.spawn { await self.perform(arriving.operation, request, exchange) }
        default: break
        }
    }

    func requestAborted(_ connection: HTTPConnection, _ reason: HTTPAbort) {
        switch connection.userInfo {
        case let upload as ArtifactUpload:
            upload.abort()
        case let invocation as ArrivingInvocation where reason == .refused(.bodyTooLarge):
            connection.exchange.respond(invocation.plan.tooLarge(connection.bodyBytesMax + 1).response)
        case let arriving as ArrivingRequest where reason == .refused(.bodyTooLarge):
            connection.exchange.respond(arriving.tooLarge.response)
        case let log as LogAnswer:
            log.stop()
        default:
            break
        }
    }

    private func perform(_ operation: AnyOperation, _ request: WireRequest, _ exchange: HTTPExchange) async {
        switch operation {
        case .lambda(let operation):
            exchange.respond(await lambda.perform(operation, request), requestID: request.caller.requestID)
        case .roost(let operation):
            exchange.respond(await roost.perform(operation, request), requestID: request.caller.requestID)
        }
    }

    private static func caller() -> Caller { Caller(name: Caller.anonymousName, requestID: UniqueID.random()) }

    private func wireRequest(_ connection: HTTPConnection, _ segments: [String]) -> WireRequest {
        let request = connection.request
        var headers: [String: String] = [:]
        request.forEachHeader { name, value in
            headers[String(decoding: name, as: UTF8.self).lowercased()] = String(decoding: value, as: UTF8.self)
        }
        return WireRequest(
            method: "\(request.method.name)", segments: segments,
            query: request.queryItems.map { (name: $0.key, value: $0.value) }, header: { headers[$0] },
            body: connection.takeBody(), caller: Self.caller())
    }

    // MARK: - Invocations

    private func invoke(_ invocation: ArrivingInvocation, _ connection: HTTPConnection) {
        let plan = invocation.plan
        let exchange = connection.exchange
        let payload = connection.takeBody()
        if !payload.isEmpty, invocation.fault == nil {
            do throws(JSONSyntaxError) { try invocation.scanner.finish() } catch { invocation.fault = error }
        }
        if let fault = invocation.fault { return exchange.respond(plan.notJSON(fault).response) }
        if let refusal = plan.lateRefusal { return exchange.respond(refusal.response) }
        switch plan.kind {
        case .dryRun:
            exchange.respond(lambda.dryRunResponse())
        case .event:
            loop.spawn { await self.accept(plan, payload, exchange, Self.caller()) }
        case .requestResponse:
            let id = UniqueID.random()
            dispatcher.invoke(plan.request(id: id, payload: payload)) { [lambda] outcome in
                exchange.respond(lambda.response(to: outcome, plan), requestID: id)
            }
        }
    }

    private func accept(_ plan: InvokePlan, _ payload: [UInt8], _ exchange: HTTPExchange, _ caller: Caller) async {
        exchange.respond(await lambda.acceptEvent(plan, payload: payload, by: caller))
    }

    // MARK: - Answers

    private func answer(
        _ connection: HTTPConnection, _ method: String, _ make: () -> WireResponse
    ) throws(WireError) {
        guard method == "GET" || method == "HEAD" else {
            throw WireError(
                .unknownOperation, "The path takes no \(method).", status: 405, allow: ["GET", "HEAD"])
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
