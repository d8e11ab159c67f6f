internal import Domain
internal import HTTP
internal import JSON
internal import Loop

/// The Runtime API as one worker sees it: runtime/PROTOCOL.md, sections 3 to 6.
extension LocalWorker: HTTPConnectionDelegate {
    /// What a connection's current request is, from its head to its end.
    enum Receiving {
        case nothing
        case answer(slot: Int)
        case initError
        case progress(slot: Int)
        /// An answer that is too long: the rest is read past, so that the connection can go on.
        case tooLong(slot: Int)
    }

    private static let errorBytesMax = 1 << 20
    private static let progressBytesMax = 64 << 10

    func attach(_ stream: Stream) {
        let connection = HTTPConnection(stream: stream, group: placement.connections, delegate: self)
        connections.append(connection)
        receiving.append(.nothing)
    }

    private func index(of connection: HTTPConnection) -> Int? { connections.firstIndex { $0 === connection } }

    private func receives(_ what: Receiving, on connection: HTTPConnection) {
        if let index = index(of: connection) { receiving[index] = what }
    }

    private func received(on connection: HTTPConnection) -> Receiving {
        index(of: connection).map { receiving[$0] } ?? .nothing
    }

    // MARK: - Requests

    func requestHeadReceived(_ connection: HTTPConnection) {
        let path = connection.request.pathSegments
        let isGet = connection.request.method == .get
        let isPost = connection.request.method == .post
        connection.bodyBytesMax = Int.max
        if path.count == 4, path[0] == "2018-06-01", path[1] == "runtime" {
            if isGet, path[2] == "invocation", path[3] == "next" { return next(connection) }
            if isPost, path[2] == "init", path[3] == "error" { return beginInitError(connection) }
        } else if path.count == 5, isPost, path[0] == "2018-06-01", path[1] == "runtime", path[2] == "invocation" {
            if path[4] == "response" { return beginAnswer(connection, id: path[3], .result) }
            if path[4] == "error" { return beginAnswer(connection, id: path[3], .functionError) }
        } else if path.count == 6, isPost, path[0] == "roost", path[1] == "v1", path[2] == "runtime",
            path[3] == "invocation", path[5] == "progress"
        {
            return beginProgress(connection, id: path[4])
        } else if isGet, path.count == 2, path[0] == "2018-06-01", path[1] == "ping" {
            connection.respond(200, contentType: "text/plain", body: Array("pong".utf8))
            return
        }
        refuse(connection, 404, "Runtime.NotFound", "There is no such call in the Runtime API")
    }

    func requestBodyReceived(_ connection: HTTPConnection, _ bytes: UnsafeRawBufferPointer) {
        guard case .answer(let slot) = received(on: connection), let invocation = slots[slot].invocation,
            slots[slot].isAnswering
        else { return }
        switch invocation.sink.receive(bytes) {
        case .more: break
        case .wait: connection.pauseBody()
        // What has a length is read past; of a stream there may be no end in sight.
        case .tooLong where connection.request.isChunked: refuseStream(slot, invocation, connection, .tooLong)
        case .tooLong: receives(.tooLong(slot: slot), on: connection)
        case .unwanted: refuseStream(slot, invocation, connection, .unwanted)
        }
    }

    // MARK: - Streams

    private enum StreamRefusal {
        case tooLong, unwanted
    }

    /// Answers before the request is whole: the worker sees it before its next piece, and the rest is read past.
    private func refuseStream(
        _ slot: Int, _ invocation: WorkerInvocation, _ connection: HTTPConnection, _ refusal: StreamRefusal
    ) {
        receives(.nothing, on: connection)
        if invocation.wantsLog { readLog() }
        answered(slot, nextWithin: Self.refusedStreamMax)
        invocation.sink.end(error: nil)
        switch refusal {
        case .tooLong: refuse(connection, 413, "RequestEntityTooLarge", "The response is too large")
        case .unwanted: refuse(connection, 410, "InvokeTimeout", "Nobody waits for the response any more")
        }
    }

    private func answerer(of slot: Int) -> HTTPConnection? {
        for (index, what) in receiving.enumerated() {
            if case .answer(slot) = what { return connections[index] }
        }
        return nil
    }

    func resumeAnswer(slot: Int) { answerer(of: slot)?.resumeBody() }

    func abandonAnswer(slot: Int) {
        guard let invocation = slots[slot].invocation, slots[slot].isAnswering, let connection = answerer(of: slot)
        else { return }
        // What has a length is refused, or read past, as it comes.
        guard connection.request.isChunked else { return connection.resumeBody() }
        refuseStream(slot, invocation, connection, .unwanted)
    }

    /// What a stream's trailers say of its end: `nil` when it is whole.
    private static func streamError(_ connection: HTTPConnection) -> [UInt8]? {
        let type = connection.trailer("lambda-runtime-function-error-type") ?? ""
        let text = connection.trailer("lambda-runtime-function-error-body") ?? ""
        if type.isEmpty, text.isEmpty { return nil }
        if let body = Base64.decode(text), (try? JSONScanner.check(body)) != nil { return body }
        let error: JSONValue = [
            "errorType": .string(type.isEmpty ? "Runtime.Unknown" : type),
            "errorMessage": "The function broke off its response",
        ]
        return error.encoded()
    }

    func requestEnded(_ connection: HTTPConnection) {
        let what = received(on: connection)
        receives(.nothing, on: connection)
        switch what {
        case .answer(let slot):
            guard let invocation = slots[slot].invocation, slots[slot].isAnswering else {
                return refuse(connection, 410, "InvokeTimeout", "The invocation has ended")
            }
            finishAnswer(slot, invocation, error: Self.streamError(connection))
            accept(connection)
        case .tooLong(let slot):
            if let invocation = slots[slot].invocation, slots[slot].isAnswering {
                finishAnswer(slot, invocation, error: nil)
            }
            refuse(connection, 413, "RequestEntityTooLarge", "The response is too large")
        case .initError:
            let error = connection.takeBody()
            readLog()
            owner.worker(self, failedInit: error)
            accept(connection)
        case .progress(let slot):
            let report = connection.takeBody()
            guard let value = try? JSONValue.parse(report), value.objectValue != nil else {
                return refuse(connection, 400, "InvalidProgress", "A progress report is a JSON object")
            }
            if slots[slot].invocation != nil { owner.worker(self, progressed: slot, report) }
            accept(connection)
        case .nothing:
            break
        }
    }

    func requestAborted(_ connection: HTTPConnection, _ reason: HTTPAbort) {
        switch received(on: connection) {
        // Half an answer is none: the process has died, or the worker makes another attempt.
        case .answer(let slot), .tooLong(let slot): slots[slot].isAnswering = false
        case .initError, .progress, .nothing: break
        }
        forget(connection)
        if case .refused(let refusal) = reason { malformed(refusal) }
    }

    func headRefused(_ connection: HTTPConnection, _ refusal: HTTPRefusal) { malformed(refusal) }

    private func malformed(_ refusal: HTTPRefusal) {
        kill(.protocolViolation("the worker's request is malformed: \(refusal.rawValue)"))
    }

    func connectionClosed(_ connection: HTTPConnection) {
        forget(connection)
        if let index = index(of: connection) {
            connections.remove(at: index)
            receiving.remove(at: index)
        }
        if isForeign { checkEnd() } else { hungUp() }
    }

    private func forget(_ connection: HTTPConnection) {
        receives(.nothing, on: connection)
        for index in slots.indices {
            if slots[index].waiting === connection { slots[index].waiting = nil }
            if slots[index].holder === connection { slots[index].holder = nil }
        }
    }

    // MARK: - next

    private func next(_ connection: HTTPConnection) {
        guard state == .running, let index = slot(for: connection) else {
            // A worker that is ending gets no answer any more; its connection ends with it.
            return
        }
        slots[index].waiting = connection
        if slots[index].invocation != nil {
            // Dispatched before it asked, or asked again: it gets the event (again).
            deliver(index)
            if !isReady { becameReady() }
        } else if !isReady {
            becameReady()
        } else if slots[index].wasUsed {
            slots[index].wasUsed = false
            slots[index].timer?.stop()
            owner.worker(self, freed: index)
        }
    }

    /// Connections of an own runtime are slots. A foreign runtime may use any connection for any slot.
    private func slot(for connection: HTTPConnection) -> Int? {
        if !isForeign { return index(of: connection) }
        if let held = slots.firstIndex(where: { $0.holder === connection && $0.waiting == nil }) { return held }
        return slots.firstIndex { $0.waiting == nil && $0.invocation == nil }
            ?? slots.firstIndex { $0.waiting == nil && $0.holder == nil }
    }

    func deliver(_ index: Int) {
        guard let connection = slots[index].waiting, let invocation = slots[index].invocation else { return }
        slots[index].waiting = nil
        slots[index].holder = connection
        slots[index].wasUsed = true
        let deadline = Int(slots[index].deadlineMilliseconds)
        connection.respond(200, body: invocation.payload) { headers in
            headers.add("Content-Type", "application/json")
            headers.add("Lambda-Runtime-Aws-Request-Id", invocation.requestID)
            headers.add("Lambda-Runtime-Deadline-Ms", deadline)
            headers.add("Lambda-Runtime-Invoked-Function-Arn", invocation.functionARN)
            headers.add("Lambda-Runtime-Trace-Id", invocation.traceID)
            headers.add("Lambda-Runtime-Invocation-Id", invocation.nonce)
            if let context = invocation.clientContext {
                context.withUnsafeBytes { headers.add("Lambda-Runtime-Client-Context", $0) }
            }
        }
    }

    // MARK: - Answers

    private func beginAnswer(_ connection: HTTPConnection, id: PathSegment, _ kind: AnswerHead.Kind) {
        let index = slots.firstIndex { slot in
            guard let invocation = slot.invocation else { return false }
            return id.raw.elementsEqual(invocation.requestID.utf8)
        }
        guard let index, let invocation = slots[index].invocation else {
            return refuse(connection, 400, "InvalidRequestID", "Invalid request ID")
        }
        if let nonce = connection.request.header("lambda-runtime-invocation-id"),
            !nonce.elementsEqual(invocation.nonce.utf8)
        {
            return refuse(connection, 410, "InvokeTimeout", "The attempt has ended")
        }
        guard !slots[index].isAnswering else {
            return refuse(connection, 403, "InvalidStateTransition", "The invocation is being answered")
        }
        var isStream = false
        if let mode = connection.request.headerText("lambda-runtime-function-response-mode"), mode != "buffered" {
            guard mode == "streaming", kind == .result else {
                return refuse(
                    connection, 400, "InvalidFunctionResponseMode",
                    "The one response mode there is to name is 'streaming'")
            }
            isStream = true
        }
        slots[index].isAnswering = true
        receives(.answer(slot: index), on: connection)
        invocation.sink.begin(
            AnswerHead(
                kind: kind, contentType: connection.request.headerText("content-type"),
                contentLength: connection.request.contentLength, isStream: isStream))
        if kind == .functionError { readLog() }
    }

    private func finishAnswer(_ index: Int, _ invocation: WorkerInvocation, error: [UInt8]?) {
        if invocation.wantsLog { readLog() }
        answered(index)
        invocation.sink.end(error: error)
    }

    private func beginInitError(_ connection: HTTPConnection) {
        guard !isReady else {
            return refuse(connection, 403, "InvalidStateTransition", "The worker has initialised itself already")
        }
        connection.bodyBytesMax = Self.errorBytesMax
        connection.collectsBody = true
        receives(.initError, on: connection)
    }

    private func beginProgress(_ connection: HTTPConnection, id: PathSegment) {
        let index = slots.firstIndex { slot in
            slot.invocation.map { id.raw.elementsEqual($0.requestID.utf8) } ?? false
        }
        guard let index else { return refuse(connection, 400, "InvalidRequestID", "Invalid request ID") }
        connection.bodyBytesMax = Self.progressBytesMax
        connection.collectsBody = true
        receives(.progress(slot: index), on: connection)
    }

    private func accept(_ connection: HTTPConnection) {
        connection.respond(202, contentType: "application/json", body: Self.accepted)
    }

    private static let accepted = Array("{\"status\":\"OK\"}\n".utf8)

    /// Every answer has a Content-Type: some runtimes crash without one.
    private func refuse(_ connection: HTTPConnection, _ status: Int, _ type: String, _ message: String) {
        connection.respond(
            status, contentType: "application/json",
            body: Array(#"{"errorMessage":"\#(message)","errorType":"\#(type)"}"#.utf8))
    }
}
