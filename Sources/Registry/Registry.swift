package import Domain

/// The durable truth: functions, versions, aliases and their history, executions and their events, in one SQLite file.
package final class Registry: Sendable {
    package struct Statistics: Equatable, Sendable {
        /// SQLite transactions, each with one flush to the disk.
        package var transactions = 0
        /// Commits acknowledged.
        package var commits = 0
        /// Commits refused or failed.
        package var failures = 0
        package var checkpoints = 0
    }

    /// Opens `registry.sqlite` in `directory` and brings it to the newest schema. Blocks; take a `DataDirectoryLock` first.
    package init(directory: String) throws(RegistryError) { fatalError() }

    /// Stores all of `changes`, in order, or none of them; returns only when they are on disk.
    package func commit(_ changes: [Change]) async throws(RegistryError) { fatalError() }

    /// Waits for what was committed, then closes the file. Later calls throw `closed`. Blocks.
    package func close() { fatalError() }

    package var statistics: Statistics { fatalError() }
}

extension Registry {
    package func load() async throws(RegistryError) -> Snapshot { fatalError() }

    /// Queued and running, oldest first.
    package func liveExecutions() async throws(RegistryError) -> [ExecutionHead] { fatalError() }

    package func execution(_ id: Execution.ID) async throws(RegistryError) -> Execution? { fatalError() }

    package func execution(
        function: Function.ID, name: ExecutionName
    ) async throws(RegistryError) -> Execution? { fatalError() }

    package func executions(_ query: ExecutionQuery) async throws(RegistryError) -> ExecutionPage { fatalError() }

    /// Events of an execution; `after` is the sequence number of the last one already seen.
    package func events(
        of execution: Execution.ID, isNewestFirst: Bool = false, after: Int? = nil, limit: Int = 1000
    ) async throws(RegistryError) -> [ExecutionEvent] { fatalError() }

    /// The changes of an alias, also of one that was deleted, also when its function was.
    package func aliasHistory(
        function: Function.ID, alias: AliasName, isNewestFirst: Bool = true, limit: Int = 100
    ) async throws(RegistryError) -> [AliasChange] { fatalError() }
}
