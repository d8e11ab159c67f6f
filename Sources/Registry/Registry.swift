internal import GRDB
internal import Glibc
internal import Synchronization

/// The durable truth: functions, versions, aliases and their history, executions and their events, in one SQLite file.
///
/// The host decides in memory, on its loop, and hands finished records to `commit`; nothing here blocks the loop.
///
/// 1. One thread writes (GRDB's serial queue of the pool's writer). It takes all commits that wait, up to
///    `groupMax`, writes them in one transaction with a savepoint each, and acknowledges them after the one flush.
///    Groups form by themselves: what arrives during a flush is the next group.
/// 2. A commit that breaks a rule undoes only itself. One that meets a full or failing disk fails its whole group,
///    because SQLite may have undone the transaction by then.
/// 3. `synchronous` is FULL on the writer, so that an acknowledged commit survives a power failure.
/// 4. Checkpoints run on a connection of their own, in passive mode, which never makes the writer wait. Only when the
///    log has grown past `logFramesMax` all the same does the writer truncate it, between two groups.
/// 5. Readers have connections of their own and see the last finished transaction.
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

    /// Commits in one transaction at most.
    package static let groupMax = 256
    /// Commits that may wait for the disk.
    package static let waitingMax = 65_536
    /// Entries of the audit trail; older ones go.
    static let auditEntriesMax: Int64 = 1_000_000
    /// What is written before the log is checkpointed, in bytes, estimated.
    private static let checkpointBytes = 8 << 20
    /// What a transaction adds to the log at least, in bytes, estimated: the pages that its changes share.
    private static let transactionBytes = 16 << 10
    /// Pages of 4 KiB in the log before the writer truncates it.
    private static let logFramesMax = 16_384

    private struct Commit: Sendable {
        var changes: [Change]
        var continuation: CheckedContinuation<Result<Void, RegistryError>, Never>
    }

    private struct State {
        var waiting: [Commit] = []
        var isWriting = false
        var isClosed = false
        var bytesSinceCheckpoint = 0
        var isCheckpointing = false
        var needsTruncation = false
        var statistics = Statistics()
    }

    private let pool: DatabasePool
    private let checkpointer: DatabaseQueue
    private let state = Mutex(State())

    /// Opens `registry.sqlite` in `directory`, which exists, and brings it to the newest schema. Blocks; take a
    /// `DataDirectoryLock` first.
    package init(directory: String) throws(RegistryError) {
        let path = directory + "/registry.sqlite"
        // Made here because SQLite would let everybody read it, and environments hold secrets.
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .io(detail: unsafe "\(path): \(String(cString: strerror(errno)))") }
        Glibc.close(descriptor)
        do {
            var configuration = Configuration()
            configuration.label = "roost.registry"
            configuration.maximumReaderCount = 2
            configuration.busyMode = .timeout(1)
            configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA wal_autocheckpoint = 0") }
            pool = try DatabasePool(path: path, configuration: configuration)
            let migrator = makeMigrator()
            try pool.writeWithoutTransaction { db in
                guard try !migrator.hasBeenSuperseded(db) else {
                    let unknown = try migrator.appliedIdentifiers(db).subtracting(migrator.migrations)
                    throw RegistryError.newerDatabase(path: path, unknown: unknown.sorted())
                }
                // GRDB chooses NORMAL when it sets up the log, after the preparation above.
                try db.execute(sql: "PRAGMA synchronous = FULL")
            }
            try migrator.migrate(pool)
            checkpointer = try DatabaseQueue(path: path, configuration: configuration)
        } catch {
            throw RegistryError(error)
        }
    }

    /// Stores all of `changes`, in order, or none of them; returns only when they are on disk.
    ///
    /// Commits are taken up in the order of the calls. Cancelling the task does not cancel the commit.
    package func commit(_ changes: [Change]) async throws(RegistryError) {
        let result = await withCheckedContinuation { continuation in
            enqueue(Commit(changes: changes, continuation: continuation))
        }
        try result.get()
    }

    package var statistics: Statistics { state.withLock { $0.statistics } }

    /// A setting of the writer's connection, for the tests.
    func writerSetting(_ name: String) throws -> Int? {
        try pool.writeWithoutTransaction { db in try Int.fetchOne(db, sql: "PRAGMA \(name)") }
    }

    /// Waits for what was committed, then closes the file. Later calls throw `closed`. Blocks.
    package func close() {
        let wasClosed = state.withLock { state in
            defer { state.isClosed = true }
            return state.isClosed
        }
        guard !wasClosed else { return }
        pool.writeWithoutTransaction { _ in }  // behind the groups that are still to be written
        // A failure in any of these leaves a log, which the next start reads.
        try? checkpointer.close()
        pool.writeWithoutTransaction { db in _ = try? db.checkpoint(.truncate) }
        try? pool.close()
    }

    /// Reads on a connection of its own, off the caller's thread.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(RegistryError) -> Value {
        let result: Result<Value, RegistryError> = await withCheckedContinuation { continuation in
            pool.asyncRead { database in
                continuation.resume(
                    returning: Result { try body(database.get()) }.mapError { error in
                        self.state.withLock { $0.isClosed } ? .closed : RegistryError(error)
                    })
            }
        }
        return try result.get()
    }

    // MARK: - Writing

    private func enqueue(_ commit: Commit) {
        let refusal: RegistryError? = state.withLock { state in
            if state.isClosed { return .closed }
            if state.waiting.count >= Self.waitingMax { return .overloaded(limit: Self.waitingMax) }
            state.waiting.append(commit)
            // Handed over inside the lock, so that `close` waits for every commit that was let in.
            if !state.isWriting {
                state.isWriting = true
                pool.asyncWriteWithoutTransaction { db in self.writeAllWaiting(to: db) }
            }
            return nil
        }
        if let refusal { commit.continuation.resume(returning: .failure(refusal)) }
    }

    /// On the writer's thread.
    private func writeAllWaiting(to db: Database) {
        while true {
            let (group, needsTruncation) = state.withLock { state in
                let group = Array(state.waiting.prefix(Self.groupMax))
                state.waiting.removeFirst(group.count)
                state.isWriting = !group.isEmpty
                defer { state.needsTruncation = false }
                return (group, state.needsTruncation)
            }
            if needsTruncation { _ = try? db.checkpoint(.truncate) }
            if group.isEmpty { return }
            let results = write(group, to: db)
            let failures = results.count { if case .failure = $0 { true } else { false } }
            let startsCheckpoint = state.withLock { state in
                state.statistics.transactions += 1
                state.statistics.failures += failures
                state.statistics.commits += results.count - failures
                state.bytesSinceCheckpoint += Self.transactionBytes
                for commit in group {
                    state.bytesSinceCheckpoint += commit.changes.reduce(0) { $0 + $1.logBytes }
                }
                guard state.bytesSinceCheckpoint >= Self.checkpointBytes, !state.isCheckpointing else { return false }
                state.bytesSinceCheckpoint = 0
                state.isCheckpointing = true
                return true
            }
            for (commit, result) in zip(group, results) { commit.continuation.resume(returning: result) }
            if startsCheckpoint { checkpoint() }
        }
    }

    private func write(_ group: [Commit], to db: Database) -> [Result<Void, RegistryError>] {
        var results: [Result<Void, RegistryError>] = []
        do {
            try db.inTransaction(.immediate) {
                for commit in group {
                    do {
                        try db.inSavepoint {
                            for change in commit.changes { try change.write(to: db) }
                            return .commit
                        }
                        results.append(.success(()))
                    } catch let error as RegistryError {
                        results.append(.failure(error))
                    } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
                        results.append(.failure(RegistryError(error)))
                    }
                }
                return .commit
            }
        } catch {
            return group.map { _ in .failure(RegistryError(error)) }
        }
        return results
    }

    private func checkpoint() {
        checkpointer.asyncWriteWithoutTransaction { db in
            let log = try? db.checkpoint(.passive)
            self.state.withLock { state in
                state.isCheckpointing = false
                state.statistics.checkpoints += 1
                // A log that is never quite finished, because the writer keeps adding, would grow for ever.
                if let log, log.walFrameCount > Self.logFramesMax { state.needsTruncation = true }
            }
        }
    }
}

extension RegistryError {
    init(_ error: any Error) {
        switch error {
        case let error as RegistryError: self = error
        case let error as DatabaseError:
            self =
                switch error.resultCode {
                case .SQLITE_FULL: .diskFull(detail: error.description)
                case .SQLITE_CORRUPT, .SQLITE_NOTADB: .corrupt(detail: error.description)
                default: .io(detail: error.description)
                }
        default: self = .io(detail: "\(error)")
        }
    }
}
