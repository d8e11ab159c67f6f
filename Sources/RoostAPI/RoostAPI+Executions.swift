internal import Dispatching
internal import Domain
internal import JSON
internal import LambdaAPI
internal import Management
internal import Registry
internal import Signing

extension RoostAPI {
    func listExecutions(_ request: WireRequest) async throws(WireError) -> WireResponse {
        var query = ExecutionQuery(function: nil)
        if let text = request.query("function") {
            let name = try FunctionReference(unqualified: text).name
            try request.requireReading(name, "ListExecutions")
            guard let entry = management.catalog.entries[name] else { throw WireError(.functionNotFound(name, nil)) }
            query.function = entry.function.id
        } else {
            try request.require([.manage], nil, "ListExecutions")
        }
        let statuses = request.queries("status").filter { !$0.isEmpty }
        var violations = Violations()
        for status in statuses {
            violations.check(status, at: "status", oneOf: Execution.Status.allCases.map(\.rawValue))
        }
        try violations.refuse()
        if !statuses.isEmpty { query.statuses = Set(statuses.compactMap(Execution.Status.init(rawValue:))) }
        query.limit = try request.integer("limit", in: 1...1000) ?? 50
        if let marker = request.query("marker") {
            guard let next = Int64(marker) else { throw .invalid("marker '\(marker)' is not one of this list.") }
            query.after = next
        }
        let asked = query
        let page = try await verb { () async throws(ManagementError) in try await executions.list(asked) }
        var document: JSONObject = ["Executions": .array(page.executions.map { .object(Self.document($0)) })]
        if let next = page.next { document["NextMarker"] = .string(String(next)) }
        return .json(.object(document))
    }

    func execution(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let execution = try await verb { () async throws(ManagementError) in try await executions.execution(id) }
        try request.requireReading(execution.functionName, "GetExecution")
        var document = Self.document(ExecutionHead(execution))
        switch execution.result {
        case .inline(let result): document["Result"] = .string(String(decoding: result, as: UTF8.self))
        case .file(let digest, let sizeBytes):
            document["ResultFile"] = [
                "Digest": .string(digest.description), "SizeBytes": .integer(Int64(sizeBytes)),
            ]
        case nil: break
        }
        return .json(.object(document))
    }

    /// Bytes of an event or answer in one answer at the most.
    static let payloadPageBytes = 4 << 20

    func executionInput(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let execution = try await verb { () async throws(ManagementError) in try await executions.execution(id) }
        try request.requireReading(execution.functionName, "GetExecution")
        return try await page(of: execution.input, request)
    }

    func executionResult(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let execution = try await verb { () async throws(ManagementError) in try await executions.execution(id) }
        try request.requireReading(execution.functionName, "GetExecution")
        guard let result = execution.result else {
            throw WireError(
                ManagementError.conflict("The execution has no result; its status is \(execution.status.rawValue)."))
        }
        return try await page(of: result, request)
    }

    /// The bytes from `offset` on, as many as one answer has; `Roost-Size` says how many there are in all.
    private func page(of payload: Payload, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let offset = try request.integer("offset", in: 0...payload.sizeBytes) ?? 0
        let bytes = try await verb { () async throws(ManagementError) in
            try await executions.bytes(of: payload, from: offset, count: Self.payloadPageBytes)
        }
        return WireResponse(
            status: 200,
            headers: [("Content-Type", "application/octet-stream"), ("Roost-Size", String(payload.sizeBytes))],
            body: bytes)
    }

    func executionEvents(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let after = try request.integer("after", in: 0...Int.max)
        let limit = try request.integer("limit", in: 1...1000) ?? 1000
        // An execution without events beyond `after` answers none; one that is not there, 404.
        let execution = try await verb { () async throws(ManagementError) in try await executions.execution(id) }
        try request.requireReading(execution.functionName, "GetExecutionEvents")
        let events = try await verb { () async throws(ManagementError) in
            try await executions.events(of: id, newestFirst: false, after: after, limit: limit)
        }
        let documents: [JSONValue] = events.map { event in
            [
                "Sequence": .integer(Int64(event.sequence)), "Kind": .string(event.kind.rawValue),
                "At": event.at.json, "Detail": (try? JSONValue.parse(event.detail)) ?? [:],
            ]
        }
        return .json(["Events": .array(documents)])
    }

    func stopExecution(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        try await requireChange(of: id, request, "StopExecution")
        let at = try await verb { () async throws(ManagementError) in
            try await executions.stop(id, nil, by: request.caller)
        }
        return .json(["StopTimestamp": at.json])
    }

    func pauseExecution(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        try await requireChange(of: id, request, "PauseExecution")
        let asked = try await executionSwitch(request)
        try await verb { () async throws(ManagementError) in
            try await executions.pause(id, asked, by: request.caller)
        }
        return .json([:], status: 202)
    }

    func resumeExecution(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        try await requireChange(of: id, request, "ResumeExecution")
        let asked = try await executionSwitch(request)
        try await verb { () async throws(ManagementError) in
            try await executions.resume(id, asked, by: request.caller)
        }
        return .json([:], status: 202)
    }

    func redriveExecution(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        try await requireChange(of: id, request, "RedriveExecution")
        let (execution, isNew) = try await verb { () async throws(ManagementError) in
            try await executions.redrive(id, by: request.caller)
        }
        var document = Self.document(execution)
        document["IsNew"] = .bool(isNew)
        return .json(.object(document), status: 202)
    }

    func deleteExecution(_ id: Execution.ID, _ request: WireRequest) async throws(WireError) -> WireResponse {
        try await requireChange(of: id, request, "DeleteExecution")
        let at = try await verb { () async throws(ManagementError) in
            try await executions.delete(id, by: request.caller)
        }
        return .json(["DeletionTimestamp": at.json])
    }

    private func executionSwitch(_ request: WireRequest) async throws(WireError) -> Executions.Switch {
        let body = try await lambda.object(request.body)
        let reason = try read { () throws(JSONReadError) in
            let reason = try body.optional("Reason", as: String.self)
            try body.refuseUnknown()
            return reason
        }
        var violations = Violations()
        if let reason { violations.check(reason, at: "reason", length: 0...1024) }
        try violations.refuse()
        return Executions.Switch(reason: reason)
    }

    /// As `LambdaAPI.authorize` has it for executions.
    private func requireChange(
        of id: Execution.ID, _ request: WireRequest, _ operation: String
    ) async throws(WireError) {
        guard request.key != nil else { return }
        let execution = try await verb { () async throws(ManagementError) in try await executions.execution(id) }
        let function = execution.functionName
        let isTraining = lambda.isTraining(function, execution.version)
        try request.require([.manage, isTraining ? .train : .invoke], function, operation)
    }

    /// All but payloads. What is not set is absent.
    static func document(_ execution: ExecutionHead) -> JSONObject {
        let arn = ARN.execution(execution.functionName, execution.version, execution.name, execution.id)
        var document: JSONObject = [
            "ExecutionArn": .string(arn), "Id": .string(execution.id.text), "Name": .string(execution.name.text),
            "FunctionName": .string(execution.functionName.text), "Version": .string(execution.version.description),
            "Status": .string(execution.status.rawValue), "Attempt": .integer(Int64(execution.attempt)),
            "AcceptedAt": execution.acceptedAt.json,
        ]
        if execution.priority != 0 { document["Priority"] = .integer(Int64(execution.priority)) }
        if let startedAt = execution.startedAt { document["StartedAt"] = startedAt.json }
        if let endedAt = execution.endedAt { document["EndedAt"] = endedAt.json }
        if let failure = execution.failure {
            document["Error"] = ["ErrorType": .string(failure.type), "ErrorMessage": .string(failure.message)]
        }
        if let progress = execution.progress { document["Progress"] = (try? JSONValue.parse(progress)) ?? .null }
        if let version = execution.publishedVersion { document["PublishedVersion"] = .integer(Int64(version)) }
        if let promotion = execution.promotion {
            document["Promotion"] = (try? JSONValue.parse(promotion)) ?? .null
        }
        if let alias = execution.promote { document["Promote"] = .string(alias.text) }
        return document
    }
}
