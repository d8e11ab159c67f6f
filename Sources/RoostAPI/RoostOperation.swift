package import Domain
package import LambdaAPI

/// An operation of Roost's own API, under `/roost/v1/`, with what its path names.
package enum RoostOperation: Equatable, Sendable {
    /// Its body is streamed: `beginUpload`, `write`, `finishUpload`.
    case putArtifact(Digest)
    case missingArtifacts
    case collectArtifacts
    case putManifest(Digest)
    case deploy
    case rollBack(function: String, alias: String)
    case aliasHistory(function: String, alias: String)
    case versions(function: String)
    /// Its answer may be streamed: `logQuery`, `logTail`, then a subscription of the log.
    case logs(function: String)
    case workers
    case workerEvents
    case executions
    case execution(Execution.ID)
    case executionEvents(Execution.ID)
    case executionInput(Execution.ID)
    case executionResult(Execution.ID)
    case stopExecution(Execution.ID)
    case pauseExecution(Execution.ID)
    case resumeExecution(Execution.ID)
    case redriveExecution(Execution.ID)
    case deleteExecution(Execution.ID)
    case host
    case audit
    case history
    case datasets
    case dataset(String)
    case putDataset(String)
    /// Without a version, all of them.
    case removeDataset(String, version: String?)

    /// Which operation a request means. Cheap, and decided before its body arrives.
    ///
    /// - Parameter segments: of the whole path, `["roost", "v1", ...]`, decoded one by one.
    package static func route(method: String, segments: [String]) throws(WireError) -> RoostOperation {
        guard let (verb, operation) = try find(segments) else {
            throw WireError(.unknownOperation, "Unknown operation: the path names none.")
        }
        if verb == method { return operation }
        var verbs = [verb]
        if let deletion = operation.deletion {
            if method == "DELETE" { return deletion }
            verbs.append("DELETE")
        }
        throw WireError(
            .unknownOperation, "Unknown operation: the path takes no \(method).", status: 405, allow: verbs)
    }

    /// What `DELETE` means on a path that has another verb, too.
    private var deletion: RoostOperation? {
        switch self {
        case .execution(let id): .deleteExecution(id)
        case .dataset(let name): .removeDataset(name, version: nil)
        default: nil
        }
    }

    /// Every path has one verb, but for `deletion`.
    private static func find(
        _ segments: [String]
    ) throws(WireError) -> (verb: String, operation: RoostOperation)? {
        guard segments.count >= 3, segments[0] == "roost", segments[1] == "v1" else { return nil }
        let rest = segments[2...]
        switch (segments[2], rest.count) {
        case ("artifacts", 2) where segments[3] == "missing": return ("POST", .missingArtifacts)
        case ("artifacts", 2) where segments[3] == "gc": return ("POST", .collectArtifacts)
        case ("artifacts", 2): return ("PUT", .putArtifact(try digest(segments[3])))
        case ("manifests", 2): return ("PUT", .putManifest(try digest(segments[3])))
        case ("deployments", 1): return ("POST", .deploy)
        case ("functions", 3) where segments[4] == "versions": return ("GET", .versions(function: segments[3]))
        case ("functions", 3) where segments[4] == "logs": return ("GET", .logs(function: segments[3]))
        case ("functions", 5) where segments[4] == "aliases" && segments[6] == "rollback":
            return ("POST", .rollBack(function: segments[3], alias: segments[5]))
        case ("functions", 5) where segments[4] == "aliases" && segments[6] == "history":
            return ("GET", .aliasHistory(function: segments[3], alias: segments[5]))
        case ("workers", 1): return ("GET", .workers)
        case ("workers", 2) where segments[3] == "events": return ("GET", .workerEvents)
        case ("executions", 1): return ("GET", .executions)
        case ("executions", 2): return ("GET", .execution(Execution.ID(segments[3])))
        case ("executions", 3) where segments[4] == "events":
            return ("GET", .executionEvents(Execution.ID(segments[3])))
        case ("executions", 3) where segments[4] == "input": return ("GET", .executionInput(Execution.ID(segments[3])))
        case ("executions", 3) where segments[4] == "result":
            return ("GET", .executionResult(Execution.ID(segments[3])))
        case ("executions", 3) where segments[4] == "stop": return ("POST", .stopExecution(Execution.ID(segments[3])))
        case ("executions", 3) where segments[4] == "pause":
            return ("POST", .pauseExecution(Execution.ID(segments[3])))
        case ("executions", 3) where segments[4] == "resume":
            return ("POST", .resumeExecution(Execution.ID(segments[3])))
        case ("executions", 3) where segments[4] == "redrive":
            return ("POST", .redriveExecution(Execution.ID(segments[3])))
        case ("host", 1): return ("GET", .host)
        case ("audit", 1): return ("GET", .audit)
        case ("history", 1): return ("GET", .history)
        case ("datasets", 1): return ("GET", .datasets)
        case ("datasets", 2): return ("GET", .dataset(segments[3]))
        case ("datasets", 3) where segments[4] == "versions": return ("POST", .putDataset(segments[3]))
        case ("datasets", 4) where segments[4] == "versions":
            return ("DELETE", .removeDataset(segments[3], version: segments[5]))
        default: return nil
        }
    }

    static func datasetName(_ text: String) throws(WireError) -> DatasetName {
        guard let name = DatasetName(text) else {
            throw WireError.invalid("'\(text)' is no name of a dataset: 1 to 64 letters, digits, '-' and '_'.")
        }
        return name
    }

    static func digest(_ text: String) throws(WireError) -> Digest {
        guard text.hasPrefix("sha256:"), let digest = Digest(text) else {
            throw WireError.invalid("'\(text)' is not 'sha256:' and 64 lower-case hexadecimal digits.")
        }
        return digest
    }
}
