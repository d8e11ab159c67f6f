package import Dispatching
package import Domain
internal import JSON
internal import Loop
internal import Management
internal import Registry

extension LambdaAPI {
    /// Reads the head of an invocation, and finds the version that it runs.
    ///
    /// Faults are found in the order: names, then whether they exist, then what else the head says. Size and syntax of the
    /// body come next, then `InvokePlan.lateRefusal`, then concurrency.
    ///
    /// - Parameter header: by the name in lower case.
    package func planInvoke(
        _ form: InvokePlan.Form = .buffered, function: String, qualifier: String?, header: (String) -> String?
    ) throws(WireError) -> InvokePlan {
        let reference = try FunctionReference(function, qualifier: qualifier)
        var violations = Violations()
        var kind = form == .async ? InvokePlan.Kind.event : .requestResponse
        if form != .async, let text = header("x-amz-invocation-type"), !text.isEmpty {
            let allowed: [InvokePlan.Kind] = form == .stream ? [.dryRun, .requestResponse] : InvokePlan.Kind.allCases
            if let named = InvokePlan.Kind(rawValue: text), allowed.contains(named) {
                kind = named
            } else {
                violations.check(text, at: "invocationType", oneOf: allowed.map(\.rawValue).sorted())
            }
        }
        var wantsLogTail = false
        if let text = header("x-amz-log-type"), !text.isEmpty {
            wantsLogTail = text == "Tail"
            violations.check(text, at: "logType", oneOf: ["None", "Tail"])
        }
        var executionName: ExecutionName?
        if let text = header("x-amz-durable-execution-name"), !text.isEmpty {
            executionName = ExecutionName(text)
            violations.check(text, at: "durableExecutionName", length: 1...ExecutionName.lengthMax)
            violations.check(
                text, at: "durableExecutionName", pattern: "[a-zA-Z0-9-_]+", text.utf8.allSatisfy(isWordByte))
        }
        var priority = 0
        if let text = header("roost-priority"), !text.isEmpty {
            guard let number = Int(text), Execution.priorities.contains(number) else {
                throw .invalid("Roost-Priority is a number from -100 to 100, not '\(text)'.")
            }
            guard kind == .event else { throw .invalid("Roost-Priority is for the Event invocation type.") }
            priority = number
        }
        try violations.refuse()
        let route: Catalog.Route
        do throws(ManagementError) {
            route = try management.catalog.route(reference.name, reference.qualifier)
        } catch {
            throw WireError(error, .qualified)
        }
        if let tenant = header("x-amz-tenant-id"), !tenant.isEmpty {
            throw .invalid("TenantId is not supported here: functions have no tenants.")
        }
        if executionName != nil, form == .stream {
            throw .invalid("DurableExecutionName is not supported here for a streamed response.")
        }
        if executionName != nil, kind == .requestResponse, wantsLogTail || header("x-amz-client-context") != nil {
            throw .invalid(
                "LogType Tail and ClientContext are not supported here together with DurableExecutionName: the "
                    + "invocation outlives its client.")
        }
        if kind == .requestResponse, let trained = route.version.configuration.settings.trains {
            throw WireError(
                .modeNotSupported,
                "\(reference.name) trains \(trained), which takes long: use the Event invocation type.")
        }
        var clientContext: [UInt8]?
        var lateRefusal: WireError?
        // Not for events: an execution has no client that waits.
        if kind != .event, let text = header("x-amz-client-context"), !text.isEmpty {
            clientContext = Self.clientContext(text)
            if clientContext == nil {
                lateRefusal = WireError(
                    .invalidRequestContent, "Client context must be a valid Base64-encoded JSON object.")
            }
        }
        return InvokePlan(
            kind: kind, form: form, route: route, qualifier: reference.qualifier,
            wantsLogTail: wantsLogTail && kind != .event,
            clientContext: clientContext, executionName: executionName, priority: priority,
            traceID: Self.traceID(header) ?? UniqueID.trace(at: EventLoop.wallClock),
            bodyBytesMax: bodyBytesMax(kind, form),
            lateRefusal: lateRefusal)
    }

    /// The answer to a synchronous invocation.
    package func response(to outcome: InvocationOutcome, _ plan: InvokePlan) -> WireResponse {
        let body: [UInt8]
        var headers: [(String, String)]
        switch outcome.result {
        case .success(let bytes, let contentType):
            // A function that answers with nothing answers `null`.
            body = bytes.isEmpty ? Array("null".utf8) : bytes
            headers = [("Content-Type", Self.contentType(contentType))]
        case .streamed, .filed:
            preconditionFailure("the answer of a buffered invocation is collected")
        case .functionError(let bytes):
            body = bytes
            headers = [("Content-Type", "application/json"), ("X-Amz-Function-Error", "Unhandled")]
        case .refused(let refusal):
            return refusalResponse(refusal, outcome, plan)
        }
        headers.append(("X-Amz-Executed-Version", plan.route.version.number.description))
        headers.append(("X-Amzn-Trace-Id", outcome.traceID))
        if plan.wantsLogTail { headers.append(("X-Amz-Log-Result", Base64.encode(outcome.logTail))) }
        headers.append(("Roost-Timing", Self.text(outcome.timing)))
        return WireResponse(status: 200, headers: headers, body: body)
    }

    /// The answer to an invocation that never ran.
    package func refusalResponse(
        _ refusal: InvocationRefusal, _ outcome: InvocationOutcome, _ plan: InvokePlan
    ) -> WireResponse {
        var response = WireError(refusal, isReserved: plan.route.function.reservedConcurrency != nil).response
        response.headers.append(("Roost-Timing", Self.text(outcome.timing)))
        return response
    }

    /// The answer to a dry run whose body and rights are in order.
    package func dryRunResponse() -> WireResponse { .noContent }

    /// Runs an invocation that has a record: an asynchronous one, which is answered once it is on disk, or a synchronous
    /// one with a name, which is answered when it has ended, now or under an earlier client.
    package func execute(
        _ plan: InvokePlan, payload: consuming [UInt8], by caller: Caller, retryKey: String?
    ) async -> WireResponse {
        let accepted = await acceptEvent(plan, payload: payload, by: caller, retryKey: retryKey)
        // Who waits for an execution's end must not hold its event.
        payload = []
        guard plan.kind == .requestResponse, accepted.status == 202,
            let id = accepted.header("x-amzn-RequestId").map({ Execution.ID($0) })
        else { return accepted }
        do throws(ManagementError) {
            let execution = try await executions.completion(of: id)
            guard execution.status.isEnded else {
                return WireError(.service, "The host ends; the execution goes on at its next start.", status: 503)
                    .response
            }
            return Self.response(to: execution)
        } catch {
            return WireError(error, .qualified).response
        }
    }

    /// The answer to a synchronous invocation that has a record.
    private static func response(to execution: Execution) -> WireResponse {
        let arn = ARN.execution(execution.functionName, execution.version, execution.name, execution.id)
        var headers = [
            ("x-amzn-RequestId", execution.id.text), ("X-Amz-Executed-Version", execution.version.description),
            ("X-Amz-Durable-Execution-Arn", arn),
        ]
        if execution.status == .succeeded {
            if let result = (execution.result ?? .inline([])).bytes {
                return WireResponse(status: 200, headers: headers, body: result.isEmpty ? Array("null".utf8) : result)
            }
        }
        headers.append(("X-Amz-Function-Error", "Unhandled"))
        var failure = execution.failure
        if execution.status == .succeeded {
            failure = .init(
                type: "Function.ResponseSizeTooLarge",
                message: "Response payload size exceeded maximum allowed payload size (\(Dispatcher.responseBytesMax) "
                    + "bytes). The execution has it.")
        }
        let body: [UInt8]
        if let data = failure?.data, !data.isEmpty {
            body = Array(data.utf8)
        } else {
            let error: JSONValue = [
                "errorType": .string(failure?.type ?? "Unhandled"), "errorMessage": .string(failure?.message ?? ""),
            ]
            body = error.encoded()
        }
        return WireResponse(status: 200, headers: headers, body: body)
    }

    /// Stores an asynchronous invocation; the answer says that it is on disk.
    ///
    /// - Parameter retryKey: what the tries of the client's call have in common; `nil` when nothing tells them.
    package func acceptEvent(
        _ plan: InvokePlan, payload: [UInt8], by caller: Caller, retryKey: String? = nil
    ) async -> WireResponse {
        let request = ExecutionRequest(
            route: plan.route, qualifier: plan.qualifier, name: plan.executionName,
            payload: InvokePlan.event(payload), caller: caller, retryKey: retryKey, priority: plan.priority)
        do throws(ManagementError) {
            let execution = try await executions.accept(request).execution
            let arn = ARN.execution(execution.functionName, execution.version, execution.name, execution.id)
            return WireResponse(
                status: 202,
                headers: [("x-amzn-RequestId", execution.id.text), ("X-Amz-Durable-Execution-Arn", arn)])
        } catch {
            return WireError(error, .qualified).response
        }
    }

    // MARK: - Streams

    /// The head of a streamed answer.
    package func streamHeaders(_ plan: InvokePlan) -> [(String, String)] {
        [
            ("Content-Type", "application/vnd.amazon.eventstream"),
            ("X-Amz-Executed-Version", plan.route.version.number.description), ("X-Amzn-Trace-Id", plan.traceID),
        ]
    }

    /// The end of a streamed answer, and before it what the function did not stream. Not for a refusal.
    package func streamEnd(_ outcome: InvocationOutcome, _ plan: InvokePlan) -> [UInt8] {
        var bytes: [UInt8] = []
        var error: [UInt8]?
        switch outcome.result {
        case .success(let body, _):
            unsafe (body.isEmpty ? Array("null".utf8) : body).withUnsafeBytes {
                unsafe EventStream.appendPayloadChunk($0, to: &bytes)
            }
        case .functionError(let body): error = body
        case .streamed(let body): error = body
        case .refused, .filed: preconditionFailure("neither a refusal nor an execution is a stream")
        }
        EventStream.appendInvokeComplete(
            error: error, logTail: plan.wantsLogTail ? outcome.logTail : nil, to: &bytes)
        return bytes
    }

    // MARK: - Parts

    private func bodyBytesMax(_ kind: InvokePlan.Kind, _ form: InvokePlan.Form) -> Int {
        switch (kind, form) {
        case (.event, .async): limits.invokeAsyncBytesMax
        case (.event, _): limits.eventBytesMax
        default: limits.requestResponseBytesMax
        }
    }

    private static func clientContext(_ text: String) -> [UInt8]? {
        guard text.utf8.count <= 3583, let bytes = Base64.decode(text), (try? JSONScanner.check(bytes)) != nil,
            bytes.first(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D }) == UInt8(ascii: "{")
        else { return nil }
        return bytes
    }

    /// As the client sent it, if it can be passed on.
    private static func traceID(_ header: (String) -> String?) -> String? {
        guard let text = header("x-amzn-trace-id"), text.hasPrefix("Root="), text.utf8.count <= 256,
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        return text
    }

    /// What a function says of its answer, unless no header can say it.
    private static func contentType(_ text: String?) -> String {
        guard let text, !text.isEmpty, text.utf8.count <= 256, text.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
        else { return "application/json" }
        return text
    }

    /// `queue=0.1;init=95.0;run=12.3`, in milliseconds; without `init` for a warm invocation.
    static func text(_ timing: InvocationTiming) -> String {
        var text = "queue=" + milliseconds(timing.queue)
        if let initialization = timing.initialization { text += ";init=" + milliseconds(initialization) }
        return text + ";run=" + milliseconds(timing.run)
    }

    private static func milliseconds(_ interval: Interval) -> String {
        let tenths = (max(0, interval.nanoseconds) + 50_000) / 100_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}
