package import Artifacts
package import Domain
package import Loop
package import Registry

/// The verbs of management: functions, versions, aliases. Lives on the loop.
///
/// Each verb decides in memory, commits to the registry, then applies the same changes to the catalog and tells its
/// observer, one verb at a time. So memory never shows what is not on disk, and a reader never sees half a verb.
package final class Management {
    package let catalog: Catalog
    package let registry: Registry
    package let artifacts: ArtifactStore
    let loop: EventLoop
    private let gate = SerialGate(waitersMax: 256)

    /// What all workers together may take of the host; what is provisioned must fit.
    package var capacity = Capacity()

    package struct Capacity: Sendable {
        package var workersMax = Int.max
        package var memoryMegabytesMax = Int.max

        package init() {}
    }

    /// Called after each change that is on disk and in the catalog.
    package var onChange: ((Change) -> Void)?

    package init(catalog: Catalog, registry: Registry, artifacts: ArtifactStore, loop: EventLoop) {
        self.catalog = catalog
        self.registry = registry
        self.artifacts = artifacts
        self.loop = loop
    }

    /// Runs one verb: `decide` reads the catalog and returns what to change and what to answer. What is changed goes into
    /// the audit trail with it.
    ///
    /// - Parameter operation: as the API calls it.
    /// - Parameter subject: what of the function is changed, as in `AuditEntry`; read after the decision.
    package func perform<Answer>(
        _ operation: String, _ function: FunctionName?, subject: @autoclosure () -> String = "", by caller: Caller,
        _ decide: () async throws(ManagementError) -> ([Change], Answer)
    ) async throws(ManagementError) -> Answer {
        try await gate.run { () async throws(ManagementError) -> Answer in
            let (changes, answer) = try await decide()
            if changes.isEmpty { return answer }
            let entry = AuditEntry(
                at: now, caller: caller, operation: operation, function: function, subject: subject())
            do throws(RegistryError) {
                try await registry.commit(changes + [.addAudit(entry)])
            } catch {
                throw .registry(error)
            }
            for change in changes {
                catalog.apply(change)
                onChange?(change)
            }
            return answer
        }
    }

    /// Blocking work of the artifact store, on the thread pool.
    func stored<Value: Sendable>(
        _ work: @escaping @Sendable (ArtifactStore) throws(ArtifactError) -> Value
    ) async throws(ManagementError) -> Value {
        let artifacts = artifacts
        do {
            return try await loop.offload { try work(artifacts) }
        } catch let error as ArtifactError {
            throw .artifact(error)
        } catch {
            preconditionFailure("the artifact store throws ArtifactError only: \(error)")
        }
    }
}

extension Change {
    /// The function that it is about; `nil` for changes of executions and datasets.
    package var function: Function.ID? {
        switch self {
        case .putFunction(let function): function.id
        case .deleteFunction(let id), .putVersion(let id, _), .deleteVersion(let id, _), .putAlias(let id, _, _),
            .deleteAlias(let id, _, _), .putEventInvokeConfiguration(let id, _),
            .deleteEventInvokeConfiguration(let id, _), .putProvisionedConcurrency(let id, _),
            .deleteProvisionedConcurrency(let id, _):
            id
        case .addExecution, .updateExecution, .addEvents, .deleteExecution, .deleteEndedExecutions, .addDelivery,
            .postponeDelivery, .endDelivery, .addDatasetVersion, .removeDataset, .addAudit:
            nil
        }
    }
}
