internal import Domain
package import LambdaAPI
package import Signing

/// Which operations a key may use; see `LambdaAPI.authorize`.
extension RoostAPI {
    /// Whether the key may do what the head of a request asks for. A deployment names its functions in the body, and an
    /// execution's function is known when it is found: these ask again.
    ///
    /// - Parameter key: `nil` on a host without keys.
    package func authorize(_ operation: RoostOperation, _ key: AccessKey?) throws(WireError) {
        guard let key else { return }
        switch operation {
        case .putArtifact, .missingArtifacts, .putManifest:
            // Files have no function yet.
            if key.actions.isDisjoint(with: [.manage, .train]) {
                throw WireError(.notAuthorized(keyID: key.id, operation: "PutArtifact", resource: "*"))
            }
        case .datasets, .dataset:
            // Whoever may train something chooses what with.
            if key.actions.isDisjoint(with: [.manage, .train]) {
                throw WireError(.notAuthorized(keyID: key.id, operation: "ListDatasets", resource: "*"))
            }
        case .putDataset: try key.require([.manage], nil, "PutDataset")
        case .removeDataset: try key.require([.manage], nil, "RemoveDataset")
        case .deploy:
            guard key.actions.contains(.manage) else {
                throw WireError(.notAuthorized(keyID: key.id, operation: "Deploy", resource: "*"))
            }
        case .execution, .executionEvents, .executionInput, .executionResult, .stopExecution, .pauseExecution,
            .resumeExecution, .redriveExecution,
            .deleteExecution:
            break
        case .rollBack(let function, _):
            try key.require([.manage], try FunctionReference(function).name, "RollBackAlias")
        case .aliasHistory(let function, _):
            try key.require(Self.anyAction, try FunctionReference(function).name, "GetAliasHistory")
        case .versions(let function):
            try key.require(Self.anyAction, try FunctionReference(function).name, "ListVersions")
        case .logs(let function):
            try key.require(Self.anyAction, try FunctionReference(function).name, "GetLogs")
        case .executions: break
        case .collectArtifacts: try key.require([.manage], nil, "CollectArtifacts")
        case .workers: try key.require([.manage], nil, "ListWorkers")
        case .workerEvents: try key.require([.manage], nil, "ListWorkerEvents")
        case .host: try key.require([.manage], nil, "GetHost")
        case .audit: try key.require([.manage], nil, "GetAudit")
        case .history: try key.require([.manage], nil, "GetHistory")
        }
    }

    static let anyAction = Set(AccessKey.Action.allCases)
}

extension WireRequest {
    func requireReading(_ function: FunctionName?, _ operation: String) throws(WireError) {
        try require(RoostAPI.anyAction, function, operation)
    }
}
