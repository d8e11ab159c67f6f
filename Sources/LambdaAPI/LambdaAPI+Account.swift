internal import Artifacts
internal import Domain
internal import JSON
internal import Management

/// What tools ask before they begin: the host's limits, and settings that have one value here.
extension LambdaAPI {
    func getAccountSettings() -> WireResponse {
        let entries = management.catalog.entries.values
        let codeBytes = entries.reduce(0) { $0 + $1.allVersions.reduce(0) { $0 + $1.codeSizeBytes } }
        let workersMax = management.capacity.workersMax
        let reserved = entries.reduce(0) { $0 + ($1.function.reservedConcurrency ?? 0) }
        return .json([
            "AccountLimit": [
                // The disk is the limit.
                "TotalCodeSize": .integer(Int64.max),
                "CodeSizeUnzipped": .integer(Int64(management.artifacts.limits.packageBytesMax)),
                // Of a body, as base 64.
                "CodeSizeZipped": .integer(Int64(limits.packageRequestBytesMax / 4 * 3)),
                // Workers with several places take more.
                "ConcurrentExecutions": .integer(Int64(workersMax)),
                "UnreservedConcurrentExecutions": .integer(Int64(max(0, workersMax - reserved))),
            ],
            "AccountUsage": [
                "TotalCodeSize": .integer(Int64(codeBytes)), "FunctionCount": .integer(Int64(entries.count)),
            ],
        ])
    }

    /// No function has one: code is not signed here.
    func getCodeSigningConfig(_ resource: String) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        _ = try entry(function)
        return .json(["CodeSigningConfigArn": "", "FunctionName": .string(function.text)])
    }

    // MARK: - Recursion

    /// A chain of destinations is ended by the host after `Executions.chainDepthMax`.
    func getRecursionConfig(_ resource: String) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        _ = try entry(function)
        return .json(["RecursiveLoop": "Terminate"])
    }

    func putRecursionConfig(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let value = try await only("RecursiveLoop", of: request, oneOf: ["Allow", "Terminate"])
        _ = try entry(function)
        guard value == "Terminate" else {
            throw .invalid("RecursiveLoop cannot be \(value) here: a chain of destinations is always ended.")
        }
        return .json(["RecursiveLoop": "Terminate"])
    }

    // MARK: - Runtime management

    /// A function runs on the runtime that the machine has when its worker starts.
    func getRuntimeManagement(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        _ = try named(reference)
        return .json(Self.runtimeManagement(reference))
    }

    func putRuntimeManagement(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        let value = try await only("UpdateRuntimeOn", of: request, oneOf: ["Auto", "Manual", "FunctionUpdate"])
        _ = try named(reference)
        guard value == "Auto" else {
            throw .invalid(
                "UpdateRuntimeOn cannot be \(value) here: a function runs on the runtime that the machine has.")
        }
        return .json(Self.runtimeManagement(reference))
    }

    private static func runtimeManagement(_ reference: FunctionReference) -> JSONValue {
        [
            "UpdateRuntimeOn": "Auto",
            "FunctionArn": .string(ARN.function(reference.name, reference.qualifier ?? .version(.latest))),
        ]
    }

    /// The one member that a body has.
    private func only(
        _ member: String, of request: WireRequest, oneOf values: [String]
    ) async throws(WireError) -> String {
        let body = try await object(request.body)
        let value = try read { () throws(JSONReadError) in
            let value = try body.required(member, as: String.self)
            try body.refuseUnknown()
            return value
        }
        var violations = Violations()
        violations.check(value, at: member.prefix(1).lowercased() + member.dropFirst(), oneOf: values)
        try violations.refuse()
        return value
    }
}
