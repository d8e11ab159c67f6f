internal import Artifacts
package import Domain
internal import Registry

/// Datasets: names for uploaded files, each with immutable numbered versions.
extension Management {
    /// Makes the next version of a dataset; the same files as the newest version's make none.
    ///
    /// - Parameter artifact: a manifest that is stored with all of its files.
    /// - Returns: the version that has these files, and whether it is new.
    package func putDataset(
        _ name: DatasetName, _ artifact: Digest, by caller: Caller
    ) async throws(ManagementError) -> (version: DatasetVersion, isNew: Bool) {
        let use = artifacts.beginUse()
        defer { use.end() }
        let manifest = try await manifest(artifact)
        guard !manifest.files.isEmpty else { throw .invalid("A dataset has at least one file.") }
        var number = 0
        return try await perform(
            "PutDataset", nil, subject: DatasetReference(name: name, number: number).description, by: caller
        ) { () async throws(ManagementError) -> ([Change], (DatasetVersion, Bool)) in
            let newest = try await registered { registry throws(RegistryError) in
                try await registry.dataset(DatasetReference(name: name, number: nil))
            }
            if let newest, newest.removedAt == nil, newest.artifact == artifact { return ([], (newest, false)) }
            let last = try await registered { registry throws(RegistryError) in try await registry.lastVersion(of: name)
            }
            number = last + 1
            let version = DatasetVersion(
                name: name, number: number, artifact: artifact, filesCount: manifest.files.count,
                sizeBytes: manifest.sizeBytes, createdAt: now, createdBy: caller.name)
            return ([.addDatasetVersion(version)], (version, true))
        }
    }

    /// Removes a version of a dataset, or all of them. Its number is not given again; its files go with the garbage.
    ///
    /// The registry refuses it while an execution that has not ended has it as a channel, and refuses an execution with a
    /// version that was removed: so of a removal and a training that race, one is refused.
    ///
    /// - Throws: `datasetNotFound`, `datasetRemoved`; `conflict` when it is in use.
    package func removeDataset(_ reference: DatasetReference, by caller: Caller) async throws(ManagementError) {
        do throws(ManagementError) {
            try await perform("RemoveDataset", nil, subject: reference.description, by: caller) {
                () async throws(ManagementError) -> ([Change], Void) in
                _ = try await dataset(reference)
                return ([.removeDataset(reference, at: now)], ())
            }
        } catch .registry(.conflict(.datasetInUse(let used, let execution))) {
            throw .conflict(
                "\(used) cannot be removed: it is a channel of execution \(execution), which has not ended.")
        }
    }

    /// - Throws: `datasetNotFound`, `datasetRemoved`.
    package func dataset(_ reference: DatasetReference) async throws(ManagementError) -> DatasetVersion {
        let version = try await registered { registry throws(RegistryError) in try await registry.dataset(reference) }
        guard let version else { throw .datasetNotFound(reference) }
        guard version.removedAt == nil else { throw .datasetRemoved(reference) }
        return version
    }

    private func registered<Value>(
        _ body: (Registry) async throws(RegistryError) -> Value
    ) async throws(ManagementError) -> Value {
        do throws(RegistryError) { return try await body(registry) } catch { throw .registry(error) }
    }
}
