internal import Artifacts
internal import Domain
internal import JSON
internal import LambdaAPI
internal import Management

extension RoostAPI {
    /// Removes artifacts that nothing refers to, and answers when that is done.
    func collectArtifacts(_ request: WireRequest) async throws(WireError) -> WireResponse {
        let body = try await lambda.object(request.body)
        let isDryRun = try read { () throws(JSONReadError) in
            let isDryRun = try body.optional("DryRun", as: Bool.self) ?? false
            try body.refuseUnknown()
            return isDryRun
        }
        let count = try await verb { () async throws(ManagementError) in
            try await garbage.collect(isDryRun: isDryRun, by: request.caller)
        }
        return .json([
            "DryRun": .bool(isDryRun), "GraceHours": .real(garbage.grace.seconds / 3600),
            "KeptFiles": .integer(Int64(count.keptFiles)), "KeptBytes": .integer(Int64(count.keptBytes)),
            "YoungFiles": .integer(Int64(count.youngFiles)), "YoungBytes": .integer(Int64(count.youngBytes)),
            "RemovedFiles": .integer(Int64(count.removedFiles)), "RemovedBytes": .integer(Int64(count.removedBytes)),
            "RemovedTrees": .integer(Int64(count.removedTrees)),
        ])
    }
}
