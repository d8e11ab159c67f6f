internal import Domain
internal import JSON
internal import LambdaAPI
internal import Management
internal import Registry

extension RoostAPI {
    /// The audit trail, newest first: who changed what.
    func audit(_ request: WireRequest) async throws(WireError) -> WireResponse {
        // A function that is gone still has its trail.
        let function = try request.query("function").map { text throws(WireError) in
            try FunctionReference(unqualified: text).name
        }
        let limit = try request.integer("limit", in: 1...1000) ?? 100
        var before: Int64?
        if let marker = request.query("marker") {
            guard let sequence = Int64(marker) else { throw .invalid("marker '\(marker)' is not one of this list.") }
            before = sequence
        }
        let position = before
        let entries = try await verb { () async throws(ManagementError) in
            do throws(RegistryError) {
                return try await management.registry.audit(of: function, before: position, limit: limit)
            } catch {
                throw .registry(error)
            }
        }
        var document: JSONObject = ["Entries": .array(entries.map(Self.document))]
        if entries.count == limit, let last = entries.last { document["NextMarker"] = .string(String(last.sequence)) }
        return .json(.object(document))
    }

    private static func document(_ entry: AuditEntry) -> JSONValue {
        [
            "Sequence": .integer(entry.sequence), "At": entry.at.json, "Key": .string(entry.caller.name),
            "RequestId": .string(entry.caller.requestID), "Operation": .string(entry.operation),
            "Function": entry.function.map { .string($0.text) } ?? .null, "Subject": .string(entry.subject),
        ]
    }
}
