internal import Domain
internal import JSON
internal import LambdaAPI
internal import Management
internal import Registry

extension RoostAPI {
    func putDataset(_ text: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let name = try RoostOperation.datasetName(text)
        let body = try await lambda.object(request.body)
        let manifest = try read { () throws(JSONReadError) in
            let manifest = try body.required("Manifest", as: String.self)
            try body.refuseUnknown()
            return manifest
        }
        let artifact = try RoostOperation.digest(manifest)
        let put = try await verb { () async throws(ManagementError) in
            try await management.putDataset(name, artifact, by: request.caller)
        }
        var document = Self.document(put.version)
        document["IsNew"] = .bool(put.isNew)
        return .json(.object(document), status: put.isNew ? 201 : 200)
    }

    /// - Parameter version: `nil` for all versions.
    func removeDataset(_ text: String, _ version: String?, _ request: WireRequest) async throws(WireError)
        -> WireResponse
    {
        let name = try RoostOperation.datasetName(text)
        var reference = DatasetReference(name: name, number: nil)
        if let version {
            guard let named = DatasetReference("\(reference)@\(version)") else {
                throw .invalid("'\(version)' is no version of a dataset: a number from 1, without leading zeros.")
            }
            reference = named
        }
        guard request.body.isEmpty else { throw .invalid("Removing a dataset takes no body.") }
        try await verb { () async throws(ManagementError) in
            try await management.removeDataset(reference, by: request.caller)
        }
        return .json(["Removed": .string(reference.description)])
    }

    /// The newest version of each dataset, by name.
    func listDatasets(_ request: WireRequest) async throws(WireError) -> WireResponse {
        let limit = try request.integer("limit", in: 1...1000) ?? 100
        let after = try request.query("marker").map { text throws(WireError) in try RoostOperation.datasetName(text) }
        let newest = try await registered { registry throws(RegistryError) in
            try await registry.datasets(after: after, limit: limit)
        }
        var document: JSONObject = ["Datasets": .array(newest.map { .object(Self.document($0)) })]
        if newest.count == limit, let last = newest.last { document["NextMarker"] = .string(last.name.text) }
        return .json(.object(document))
    }

    /// All versions of a dataset, newest first.
    func dataset(_ text: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let name = try RoostOperation.datasetName(text)
        let limit = try request.integer("limit", in: 1...1000) ?? 100
        var before: Int?
        if let marker = request.query("marker") {
            guard let number = Int(marker) else { throw .invalid("marker '\(marker)' is not one of this list.") }
            before = number
        }
        let position = before
        let versions = try await registered { registry throws(RegistryError) in
            try await registry.versions(of: name, before: position, limit: limit)
        }
        if versions.isEmpty, position == nil {
            _ = try await verb { () async throws(ManagementError) in
                try await management.dataset(DatasetReference(name: name, number: nil))
            }
        }
        var document: JSONObject = ["Versions": .array(versions.map { .object(Self.document($0)) })]
        if versions.count == limit, let last = versions.last, last.number > 1 {
            document["NextMarker"] = .string(String(last.number))
        }
        return .json(.object(document))
    }

    private func registered<Value>(
        _ body: (Registry) async throws(RegistryError) -> Value
    ) async throws(WireError) -> Value {
        try await verb { () async throws(ManagementError) in
            do throws(RegistryError) { return try await body(management.registry) } catch { throw .registry(error) }
        }
    }

    private static func document(_ version: DatasetVersion) -> JSONObject {
        [
            "Name": .string(version.name.text), "Version": .integer(Int64(version.number)),
            "Manifest": .string(version.artifact.description), "Files": .integer(Int64(version.filesCount)),
            "SizeBytes": .integer(Int64(version.sizeBytes)), "CreatedAt": version.createdAt.json,
            "CreatedBy": .string(version.createdBy),
        ]
    }
}
