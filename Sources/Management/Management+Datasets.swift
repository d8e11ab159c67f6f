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
        let manifest = try await manifest(artifact)
        guard !manifest.files.isEmpty else { throw .invalid("A dataset has at least one file.") }
        var number = 0
        return try await perform(
            "PutDataset", nil, subject: DatasetReference(name: name, number: number).description, by: caller
        ) { () async throws(ManagementError) -> ([Change], (DatasetVersion, Bool)) in
            let newest = try await newestVersion(of: name)
            if let newest, newest.artifact == artifact { return ([], (newest, false)) }
            number = (newest?.number ?? 0) + 1
            let version = DatasetVersion(
                name: name, number: number, artifact: artifact, filesCount: manifest.files.count,
                sizeBytes: manifest.sizeBytes, createdAt: now, createdBy: caller.name)
            return ([.addDatasetVersion(version)], (version, true))
        }
    }

    /// - Throws: `datasetNotFound`.
    package func dataset(_ reference: DatasetReference) async throws(ManagementError) -> DatasetVersion {
        let version: DatasetVersion?
        do throws(RegistryError) { version = try await registry.dataset(reference) } catch { throw .registry(error) }
        guard let version else { throw .datasetNotFound(reference) }
        return version
    }

    private func newestVersion(of name: DatasetName) async throws(ManagementError) -> DatasetVersion? {
        do throws(RegistryError) {
            return try await registry.dataset(DatasetReference(name: name, number: nil))
        } catch {
            throw .registry(error)
        }
    }
}
