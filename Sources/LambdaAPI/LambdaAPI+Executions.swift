internal import Dispatching
package import Domain
internal import JSON
internal import Management
internal import Registry

extension LambdaAPI {
    func getExecution(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let withData = try request.boolean("IncludeExecutionData") ?? true
        let execution = try await execution(resource)
        var document = ExecutionDocument.summary(execution)
        if withData {
            let data = try await data(of: execution)
            document["InputPayload"] = .string(data.input)
            if execution.status == .succeeded { document["Result"] = .string(data.result) }
        }
        if let failure = execution.failure, execution.status.isEnded, execution.status != .succeeded {
            document["Error"] = ExecutionDocument.error(failure)
        }
        document["Version"] = .string(execution.version.description)
        if let pausedAt = execution.pausedAt {
            var details: JSONObject = ["PauseRequestTimestamp": pausedAt.json, "ExecutionTimeoutPaused": true]
            if withData, let reason = try await pauseReason(of: execution.id) { details["Reason"] = .string(reason) }
            document["PauseDetails"] = .object(details)
        }
        return .json(.object(document))
    }

    func listExecutions(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        let function = try entry(reference.name).function
        var query = ExecutionQuery(function: function.id)
        switch reference.qualifier {
        case nil: break
        case .version(let number): query.versions = [number]
        case .alias: query.qualifier = reference.qualifier
        }
        var violations = Violations()
        if let name = request.query("DurableExecutionName") {
            query.name = ExecutionName(name)
            violations.check(name, at: "durableExecutionName", pattern: "[a-zA-Z0-9-_]{1,64}", query.name != nil)
        }
        let statuses = request.queries("Statuses")
        for status in statuses { violations.check(status, at: "statuses", oneOf: ExecutionDocument.statuses) }
        try violations.refuse()
        if !statuses.isEmpty {
            query.statuses = Set(
                Execution.Status.allCases.filter { statuses.contains(ExecutionDocument.status($0)) })
            // Only states that no execution here is ever in.
            if query.statuses!.isEmpty { return .json(["DurableExecutions": []]) }
        }
        query.acceptedAfter = try request.timestamp("StartedAfter")
        query.acceptedBefore = try request.timestamp("StartedBefore")
        query.isNewestFirst = !(try request.boolean("ReverseOrder") ?? false)
        query.limit = try request.executionsLimit()
        if let position = try PageMarker.decode(request.query("Marker"), of: .listDurableExecutionsByFunction) {
            guard let next = Int64(position[0]) else { throw .invalid("Marker is not one of this list.") }
            query.after = next
        }
        let page = try await verb { () async throws(ManagementError) in try await executions.list(query) }
        var document: JSONObject = [
            "DurableExecutions": .array(page.executions.map { .object(ExecutionDocument.summary($0)) })
        ]
        if let next = page.next {
            document["NextMarker"] = .string(PageMarker.encode(.listDurableExecutionsByFunction, [String(next)]))
        }
        return .json(.object(document))
    }

    func stopExecution(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let execution = try await execution(resource)
        let body = try await object(request.body)
        let error = try read { () throws(JSONReadError) in
            let error = (
                type: try body.optional("ErrorType", as: String.self),
                message: try body.optional("ErrorMessage", as: String.self),
                data: try body.optional("ErrorData", as: String.self),
                stackTrace: try body.optional("StackTrace", as: [String].self)
            )
            try body.refuseUnknown()
            return error
        }
        var failure: Execution.Failure?
        if !JSONValue.object(body.object).saysNothing {
            failure = Execution.Failure(
                type: error.type ?? "Execution.Stopped", message: error.message ?? "The execution was stopped",
                data: error.data ?? "", stackTrace: error.stackTrace ?? [])
        }
        let stopFailure = failure
        let stopped = try await verb { () async throws(ManagementError) in
            try await executions.stop(execution.id, stopFailure, by: request.caller)
        }
        return .json(["StopTimestamp": stopped.json])
    }

    func pauseExecution(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let execution = try await execution(resource)
        let body = try await object(request.body)
        let isTimeoutPaused = try read { () throws(JSONReadError) in
            try body.optional("ExecutionTimeoutPaused", as: Bool.self)
        }
        let asked = try executionSwitch(body)
        guard isTimeoutPaused != false else {
            throw .invalid(
                "ExecutionTimeoutPaused cannot be false here: the time limit of a function is that of one attempt, and "
                    + "none runs while the execution is paused.")
        }
        try await verb { () async throws(ManagementError) in
            try await executions.pause(execution.id, asked, by: request.caller)
        }
        return .json([:], status: 202)
    }

    func resumeExecution(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let execution = try await execution(resource)
        let asked = try executionSwitch(try await object(request.body))
        try await verb { () async throws(ManagementError) in
            try await executions.resume(execution.id, asked, by: request.caller)
        }
        return .json([:], status: 202)
    }

    func deleteExecution(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let execution = try await execution(resource)
        let at = try await verb { () async throws(ManagementError) in
            try await executions.delete(execution.id, by: request.caller)
        }
        return .json(["DeletionRequestTimestamp": at.json], status: 202)
    }

    func executionHistory(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let withData = try request.boolean("IncludeExecutionData") ?? true
        let isNewestFirst = try request.boolean("ReverseOrder") ?? false
        let limit = try request.executionsLimit()
        var after: Int?
        var attemptStart: Timestamp?
        if let position = try PageMarker.decode(request.query("Marker"), of: .getDurableExecutionHistory) {
            guard position.count == 2, let sequence = Int(position[0]), let start = Int64(position[1]) else {
                throw .invalid("Marker is not one of this list.")
            }
            after = sequence
            if start > 0 { attemptStart = Timestamp(millisecondsSince1970: start) }
        }
        let execution = try await execution(resource)
        let events = try await verb { () async throws(ManagementError) in
            try await executions.events(of: execution.id, newestFirst: isNewestFirst, after: after, limit: limit)
        }
        let starts = try await attemptStarts(of: execution, events, isNewestFirst, known: attemptStart)
        let timeout = (try? management.catalog.route(execution.functionName, .version(execution.version)))?
            .version.configuration.timeoutSeconds
        let data = withData ? try await data(of: execution) : nil
        let documents = events.compactMap {
            ExecutionDocument.event(
                $0, of: execution, data, attemptStart: starts[$0.sequence], timeoutSeconds: timeout ?? 0)
        }
        var document: JSONObject = ["Events": .array(documents)]
        if events.count == limit, let last = events.last {
            let start = last.kind == .attemptStarted ? last.at : starts[last.sequence]
            document["NextMarker"] = .string(
                PageMarker.encode(
                    .getDurableExecutionHistory,
                    [String(last.sequence), String(isNewestFirst ? 0 : start?.millisecondsSince1970 ?? 0)]))
        }
        return .json(.object(document))
    }

    // MARK: - Parts

    /// Refuses what the body has besides.
    private func executionSwitch(_ body: JSONObjectReader) throws(WireError) -> Executions.Switch {
        let asked = try read { () throws(JSONReadError) in
            let asked = Executions.Switch(
                token: try body.optional("ClientToken"), reason: try body.optional("Reason"))
            try body.refuseUnknown()
            return asked
        }
        var violations = Violations()
        if let token = asked.token {
            violations.check(token, at: "clientToken", length: 1...64)
            violations.check(
                token, at: "clientToken", pattern: #"[\x21-\x7E]+"#,
                token.utf8.allSatisfy { (0x21...0x7E).contains($0) })
        }
        if let reason = asked.reason { violations.check(reason, at: "reason", length: 0...1024) }
        try violations.refuse()
        return asked
    }

    /// Of what is longer than the answer to a synchronous invocation may be, a reference.
    private func data(of execution: Execution) async throws(WireError) -> ExecutionDocument.Data {
        func text(_ payload: Payload) async throws(WireError) -> String {
            if case .file(let digest, let sizeBytes) = payload, sizeBytes > Dispatcher.responseBytesMax {
                return ExecutionDocument.reference(digest, sizeBytes)
            }
            let bytes = try await verb { () async throws(ManagementError) in
                try await executions.bytes(of: payload, from: 0, count: payload.sizeBytes)
            }
            return String(decoding: bytes, as: UTF8.self)
        }
        return .init(
            input: try await text(execution.input), result: try await text(execution.result ?? .inline([])))
    }

    /// Of the newest pause.
    private func pauseReason(of id: Execution.ID) async throws(WireError) -> String? {
        // Little happens after it.
        let newest = try await verb { () async throws(ManagementError) in
            try await executions.events(of: id, newestFirst: true, after: nil, limit: 100)
        }
        guard let event = newest.first(where: { $0.kind == .paused }) else { return nil }
        return (try? JSONValue.parse(event.detail))?["reason"]?.stringValue
    }

    private func execution(_ resource: String) async throws(WireError) -> Execution {
        guard let reference = ExecutionReference(resource) else {
            var violations = Violations()
            violations.check(
                resource, at: "durableExecutionArn",
                pattern: #"arn:([a-zA-Z0-9-]+):lambda:([a-zA-Z0-9-]+):(\d{12}):function:([a-zA-Z0-9_-]+)"#
                    + #":(\$LATEST(?:\.PUBLISHED)?|[0-9]+)/durable-execution/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)"#, false)
            try violations.refuse()
            preconditionFailure("one violation was added")
        }
        let execution = try await verb { () async throws(ManagementError) in
            try await executions.execution(reference.id)
        }
        // The id alone finds it, but an ARN that says something else names another one.
        guard execution.functionName == reference.function, execution.name == reference.name,
            execution.version == reference.version
        else { throw WireError(.executionNotFound(resource)) }
        return execution
    }

    /// When the attempt that each event belongs to started, by the event's sequence number.
    ///
    /// - Parameter known: the start of the attempt in which an oldest-first page begins.
    private func attemptStarts(
        of execution: Execution, _ events: [ExecutionEvent], _ isNewestFirst: Bool, known: Timestamp?
    ) async throws(WireError) -> [Int: Timestamp] {
        var ascending = isNewestFirst ? events.reversed() : events
        // The page may end between the end of an attempt and its start.
        if isNewestFirst, let oldest = ascending.first,
            let end = ascending.firstIndex(where: { $0.kind == .attemptEnded || $0.kind == .interrupted }),
            !ascending[..<end].contains(where: { $0.kind == .attemptStarted })
        {
            let before = try await verb { () async throws(ManagementError) in
                try await executions.events(of: execution.id, newestFirst: true, after: oldest.sequence, limit: 1000)
            }
            ascending.insert(contentsOf: before.reversed(), at: 0)
        }
        var start = known
        var starts: [Int: Timestamp] = [:]
        for event in ascending {
            if event.kind == .attemptStarted { start = event.at }
            starts[event.sequence] = start
        }
        return starts
    }
}

extension WireRequest {
    /// Lists of executions and of their events have pages of 100 by default, also for 0, and of 1000 at the most.
    fileprivate func executionsLimit() throws(WireError) -> Int {
        let limit = try integer("MaxItems", in: 0...1000) ?? 0
        return limit == 0 ? 100 : limit
    }

    func timestamp(_ name: String) throws(WireError) -> Timestamp? {
        guard let text = query(name) else { return nil }
        guard let timestamp = Timestamp(wire: text) else {
            throw WireError(
                .serialization,
                "Query parameter \(name) must be a time such as 2026-01-01T00:00:00Z or seconds since 1970, not '\(text)'."
            )
        }
        return timestamp
    }
}

extension Timestamp {
    /// RFC 3339 in any zone, or seconds since 1970. What is finer than a millisecond is cut off.
    package init?(wire text: String) {
        if let seconds = Double(text) {
            guard abs(seconds) < 1e12 else { return nil }
            self.init(millisecondsSince1970: Int64((seconds * 1000).rounded(.down)))
            return
        }
        var rest = text.utf8[...]
        func digits(_ count: Int) -> Int64? {
            guard rest.count >= count, rest.prefix(count).allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Int64(String(rest.prefix(count))!)
        }
        func skip(_ allowed: String) -> UInt8? {
            guard let next = rest.first, allowed.utf8.contains(next) else { return nil }
            rest = rest.dropFirst()
            return next
        }
        guard let year = digits(4), skip("-") != nil, let month = digits(2), (1...12).contains(month),
            skip("-") != nil, let day = digits(2), (1...31).contains(day), skip("Tt ") != nil,
            let hour = digits(2), hour < 24, skip(":") != nil, let minute = digits(2), minute < 60,
            skip(":") != nil, let second = digits(2), second <= 60
        else { return nil }
        var milliseconds: Int64 = 0
        if skip(".") != nil {
            var scale: Int64 = 100
            guard rest.first.map({ (0x30...0x39).contains($0) }) == true else { return nil }
            while let digit = digits(1) {
                milliseconds += digit * scale
                scale /= 10
            }
        }
        guard let zone = skip("Zz+-") else { return nil }
        var offsetMinutes: Int64 = 0
        if zone == UInt8(ascii: "+") || zone == UInt8(ascii: "-") {
            guard let hours = digits(2), hours < 24 else { return nil }
            _ = skip(":")
            guard let minutes = digits(2), minutes < 60 else { return nil }
            offsetMinutes = (hours * 60 + minutes) * (zone == UInt8(ascii: "-") ? -1 : 1)
        }
        guard rest.isEmpty else { return nil }
        // Howard Hinnant's `days_from_civil`; years begin in March.
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        let minutes = days * 1440 + hour * 60 + minute - offsetMinutes
        self.init(millisecondsSince1970: (minutes * 60 + second) * 1000 + milliseconds)
    }
}
