internal import Artifacts
package import Dispatching
internal import Domain
internal import JSON
package import LambdaAPI
package import Loop
package import Management
package import Workers

/// Roost's own API under `/roost/v1/`: what the Lambda API has no operation for. Lives on the loop.
///
/// Bodies, answers and errors have the form of the Lambda API, so that one client library serves both.
package final class RoostAPI {
    package struct Limits: Sendable {
        /// Of one uploaded file. Default 100 GB, as in the artifact store.
        package var artifactBytesMax = 100_000_000_000
        /// Of a manifest's text. Default 16 MiB.
        package var manifestBytesMax = 16 << 20
        /// Of any other body. Default 1 MiB, which is 10,000 digests.
        package var requestBytesMax = 1 << 20
        package init() {}
    }

    let lambda: LambdaAPI
    let management: Management
    let garbage: GarbageCollector
    let executions: any ExecutionService
    let logs: FunctionLogs
    let loop: EventLoop
    package let limits: Limits
    private let scheduling: () -> SchedulingReport
    private let events: (Int) -> [HostEvent]
    let history: () async -> [UInt8]
    private let host: () -> HostReport

    /// - Parameter lambda: reads bodies, and knows which runtimes the machine has.
    /// - Parameter scheduling: pools and workers as they are now.
    /// - Parameter events: the newest of them, at most so many, the newest at the end.
    /// - Parameter history: what has run lately, as lines of a trace.
    package init(
        lambda: LambdaAPI, garbage: GarbageCollector, executions: any ExecutionService, logs: FunctionLogs,
        loop: EventLoop,
        limits: Limits = .init(), scheduling: @escaping () -> SchedulingReport,
        events: @escaping (Int) -> [HostEvent], history: @escaping () async -> [UInt8],
        host: @escaping () -> HostReport
    ) {
        self.lambda = lambda
        management = lambda.management
        self.garbage = garbage
        self.executions = executions
        self.logs = logs
        self.loop = loop
        self.limits = limits
        self.scheduling = scheduling
        self.events = events
        self.history = history
        self.host = host
    }

    package func bodyBytesMax(_ operation: RoostOperation) -> Int {
        switch operation {
        case .putArtifact: limits.artifactBytesMax
        case .putManifest: limits.manifestBytesMax
        default: limits.requestBytesMax
        }
    }

    /// The error for a longer body.
    package func tooLarge(_ operation: RoostOperation) -> WireError {
        WireError(.requestEntityTooLarge, "Request must be smaller than \(bodyBytesMax(operation)) bytes")
    }

    /// Runs any operation but `putArtifact`, whose body is streamed. Of `logs` it answers the lines that are there.
    package func perform(_ operation: RoostOperation, _ request: WireRequest) async -> WireResponse {
        do throws(WireError) { return try await answer(operation, request) } catch { return error.response }
    }

    private func answer(_ operation: RoostOperation, _ request: WireRequest) async throws(WireError) -> WireResponse {
        switch operation {
        case .missingArtifacts: try await missingArtifacts(request)
        case .collectArtifacts: try await collectArtifacts(request)
        case .putManifest(let digest): try await putManifest(digest, request)
        case .deploy: try await deploy(request)
        case .rollBack(let function, let alias): try await rollBack(function, alias, request)
        case .aliasHistory(let function, let alias): try await aliasHistory(function, alias)
        case .versions(let function): try versions(function)
        case .logs(let function): await logTail(try logQuery(function, request))
        case .workers: .json(scheduling().json)
        case .workerEvents:
            .json(["Events": .array(events(try request.integer("limit", in: 1...1000) ?? 100).map(\.json))])
        case .executions: try await listExecutions(request)
        case .execution(let id): try await execution(id, request)
        case .executionEvents(let id): try await executionEvents(id, request)
        case .executionInput(let id): try await executionInput(id, request)
        case .executionResult(let id): try await executionResult(id, request)
        case .stopExecution(let id): try await stopExecution(id, request)
        case .pauseExecution(let id): try await pauseExecution(id, request)
        case .resumeExecution(let id): try await resumeExecution(id, request)
        case .redriveExecution(let id): try await redriveExecution(id, request)
        case .deleteExecution(let id): try await deleteExecution(id, request)
        case .host: .json(host().json)
        case .audit: try await audit(request)
        case .history: await historyTrace()
        case .datasets: try await listDatasets(request)
        case .dataset(let name): try await dataset(name, request)
        case .putDataset(let name): try await putDataset(name, request)
        case .removeDataset(let name, let version): try await removeDataset(name, version, request)
        case .putArtifact: preconditionFailure("an upload is streamed, not performed")
        }
    }

    func verb<Answer>(
        _ body: () async throws(ManagementError) -> Answer
    ) async throws(WireError) -> Answer {
        do throws(ManagementError) { return try await body() } catch { throw WireError(error) }
    }

    /// Blocking work of the artifact store, on the thread pool.
    func stored<Value: Sendable>(
        _ work: @escaping @Sendable (ArtifactStore) throws -> Value
    ) async throws(WireError) -> Value {
        let store = management.artifacts
        do {
            return try await loop.offload { try work(store) }
        } catch let error as ArtifactError {
            throw WireError(error)
        } catch {
            preconditionFailure("the artifact store throws ArtifactError only: \(error)")
        }
    }
}
