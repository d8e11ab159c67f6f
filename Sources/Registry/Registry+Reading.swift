package import Domain
internal import Foundation
internal import GRDB

extension Registry {
    /// All functions with their versions and aliases. A function's `lastPublished` is its name's version counter.
    package func load() async throws(RegistryError) -> Snapshot {
        try await read { db in
            var counters: [FunctionName: Int] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT name, lastPublished FROM versionCounter") {
                let name: String = row["name"]
                counters[try stored(FunctionName(name), "function name '\(name)'")] = row["lastPublished"]
            }
            var latest: [Int64: Version] = [:]
            var versions: [Int64: [Version]] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT * FROM version ORDER BY function, number") {
                let version = try Version(row: row)
                if version.number == .latest {
                    latest[row["function"]] = version
                } else {
                    versions[row["function"], default: []].append(version)
                }
            }
            var aliases: [Int64: [Alias]] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT * FROM alias ORDER BY function, name") {
                aliases[row["function"], default: []].append(try Alias(row: row))
            }
            var eventInvokeConfigurations: [Int64: [EventInvokeConfiguration]] = [:]
            for row in try Row.fetchAll(
                db, sql: "SELECT * FROM eventInvokeConfiguration ORDER BY function, qualifier")
            {
                eventInvokeConfigurations[row["function"], default: []].append(try EventInvokeConfiguration(row: row))
            }
            var provisioned: [Int64: [ProvisionedConcurrency]] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT * FROM provisionedConcurrency ORDER BY function, qualifier") {
                provisioned[row["function"], default: []].append(try ProvisionedConcurrency(row: row))
            }
            let functions = try Row.fetchAll(db, sql: "SELECT * FROM function ORDER BY id").map { row in
                let id: Int64 = row["id"]
                let nameText: String = row["name"]
                let name = try stored(FunctionName(nameText), "function name '\(nameText)'")
                return Snapshot.Entry(
                    function: Function(
                        id: Function.ID(id), name: name, latest: try stored(latest[id], "function without $LATEST"),
                        reservedConcurrency: row["reservedConcurrency"], lastPublished: counters[name] ?? 0,
                        isUpdatedSincePublish: row["isUpdatedSincePublish"],
                        createdAt: Timestamp(millisecondsSince1970: row["createdAt"]),
                        tags: try fromJSON(row["tags"], as: [String: String].self)),
                    versions: versions[id] ?? [], aliases: aliases[id] ?? [],
                    eventInvokeConfigurations: eventInvokeConfigurations[id] ?? [],
                    provisionedConcurrency: provisioned[id] ?? [])
            }
            let idMax = try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'function'")
            return Snapshot(functions: functions, versionCounters: counters, functionIDMax: idMax ?? 0)
        }
    }

    /// Those that have not ended, in the order in which they were accepted.
    package func liveExecutions() async throws(RegistryError) -> [ExecutionHead] {
        try await read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM execution WHERE \(isLiveExecution) ORDER BY sequence").map(
                ExecutionHead.init(row:))
        }
    }

    /// Those of which an attempt was running, or being paused, when this was stored.
    package func runningExecutions() async throws(RegistryError) -> [ExecutionHead] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM execution WHERE \(isLiveExecution) AND status IN ('RUNNING', 'PAUSING') ORDER BY sequence
                    """
            ).map(ExecutionHead.init(row:))
        }
    }

    /// When the execution that ended first did; `nil` when none has.
    package func oldestEnd() async throws(RegistryError) -> Timestamp? {
        try await read { db in
            try Int64.fetchOne(db, sql: "SELECT min(endedAt) FROM execution WHERE endedAt IS NOT NULL")
                .map(Timestamp.init(millisecondsSince1970:))
        }
    }

    /// What a place in line needs of an execution that has not ended.
    package struct WaitingExecution: Sendable {
        package let sequence: Int64
        package let id: Execution.ID
        package let function: Function.ID
        package let priority: Int
        /// Else it is paused, or an attempt is running.
        package let isQueued: Bool
        package let notBefore: Timestamp?
    }

    /// A page of those that have not ended, in the order in which they were accepted.
    ///
    /// - Parameter after: the sequence number of the last one already seen; 0 for the first page.
    package func waitingExecutions(after: Int64, limit: Int) async throws(RegistryError) -> [WaitingExecution] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT sequence, id, function, priority, status, notBefore FROM execution
                    WHERE \(isLiveExecution) AND sequence > ? ORDER BY sequence LIMIT ?
                    """, arguments: [after, limit]
            ).map { row in
                WaitingExecution(
                    sequence: row["sequence"], id: Execution.ID(row["id"]), function: Function.ID(row["function"]),
                    priority: row["priority"], isQueued: row["status"] == Execution.Status.queued.rawValue,
                    notBefore: (row["notBefore"] as Int64?).map(Timestamp.init(millisecondsSince1970:)))
            }
        }
    }

    package func execution(_ id: Execution.ID) async throws(RegistryError) -> Execution? {
        try await read { db in try fetchExecution(db, where: "id = ?", [id.text]) }
    }

    package func execution(
        function: Function.ID, name: ExecutionName
    ) async throws(RegistryError) -> Execution? {
        try await read { db in
            try fetchExecution(db, where: "function = ? AND name = ?", [function.value, name.text])
        }
    }

    package func execution(retryKey: String) async throws(RegistryError) -> Execution? {
        try await read { db in try fetchExecution(db, where: "retryKey = ?", [retryKey]) }
    }

    package func executions(_ query: ExecutionQuery) async throws(RegistryError) -> ExecutionPage {
        try await read { db in
            var conditions: [String] = []
            var arguments = StatementArguments()
            func filter(_ condition: String, _ values: StatementArguments) {
                conditions.append(condition)
                arguments += values
            }
            func filter(_ column: String, in values: [any DatabaseValueConvertible]) {
                let marks = Array(repeating: "?", count: values.count).joined(separator: ", ")
                filter("\(column) IN (\(marks))", StatementArguments(values))
            }
            if let function = query.function { filter("function = ?", [function.value]) }
            if let name = query.name { filter("name = ?", [name.text]) }
            if let qualifier = query.qualifier { filter("qualifier = ?", [qualifier.description]) }
            if let versions = query.versions { filter("version", in: versions.map(\.column)) }
            if let statuses = query.statuses { filter("status", in: statuses.map(\.rawValue).sorted()) }
            if let after = query.acceptedAfter { filter("acceptedAt >= ?", [after.millisecondsSince1970]) }
            if let before = query.acceptedBefore { filter("acceptedAt <= ?", [before.millisecondsSince1970]) }
            if let marker = query.after { filter(query.isNewestFirst ? "sequence < ?" : "sequence > ?", [marker]) }
            let limit = max(0, query.limit)
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM execution \(conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND "))
                    ORDER BY sequence \(query.isNewestFirst ? "DESC" : "ASC") LIMIT ?
                    """, arguments: arguments + [limit + 1])
            let page = rows.prefix(limit)
            return ExecutionPage(
                executions: try page.map(ExecutionHead.init(row:)),
                next: rows.count > limit ? page.last.map { $0["sequence"] } : nil)
        }
    }

    /// Events of an execution; `after` is the sequence number of the last one already seen.
    package func events(
        of execution: Execution.ID, isNewestFirst: Bool = false, after: Int? = nil, limit: Int = 1000
    ) async throws(RegistryError) -> [ExecutionEvent] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT executionEvent.* FROM executionEvent
                    JOIN execution ON execution.sequence = executionEvent.execution
                    WHERE execution.id = ? AND executionEvent.sequence \(isNewestFirst ? "<" : ">") ?
                    ORDER BY executionEvent.sequence \(isNewestFirst ? "DESC" : "ASC") LIMIT ?
                    """, arguments: [execution.text, after ?? (isNewestFirst ? Int.max : 0), max(0, limit)]
            ).map(ExecutionEvent.init(row:))
        }
    }

    /// Events of one kind since a time, oldest first.
    package func events(
        of execution: Execution.ID, kind: ExecutionEvent.Kind, since: Timestamp
    ) async throws(RegistryError) -> [ExecutionEvent] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT executionEvent.* FROM executionEvent
                    JOIN execution ON execution.sequence = executionEvent.execution
                    WHERE execution.id = ? AND kind = ? AND at >= ? ORDER BY executionEvent.sequence
                    """, arguments: [execution.text, kind.rawValue, since.millisecondsSince1970]
            ).map(ExecutionEvent.init(row:))
        }
    }

    /// The changes of an alias, also of one that was deleted, also when its function was.
    package func aliasHistory(
        function: Function.ID, alias: AliasName, isNewestFirst: Bool = true, limit: Int = 100
    ) async throws(RegistryError) -> [AliasChange] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM aliasChange WHERE function = ? AND alias = ?
                    ORDER BY sequence \(isNewestFirst ? "DESC" : "ASC") LIMIT ?
                    """, arguments: [function.value, alias.text, max(0, limit)]
            ).map(AliasChange.init(row:))
        }
    }

    /// The newest version of each dataset, by name; those that were removed left out.
    ///
    /// - Parameter after: the last name already seen.
    package func datasets(after: DatasetName? = nil, limit: Int = 100) async throws(RegistryError) -> [DatasetVersion] {
        try await read { db in
            // SQLite takes the other columns from the row with the maximum.
            try Row.fetchAll(
                db,
                sql: """
                    SELECT name, max(number) AS number, artifact, filesCount, sizeBytes, createdAt, createdBy, removedAt
                    FROM datasetVersion WHERE name > ? AND removedAt IS NULL GROUP BY name ORDER BY name LIMIT ?
                    """, arguments: [after?.text ?? "", max(0, limit)]
            ).map(DatasetVersion.init(row:))
        }
    }

    /// Versions of a dataset, newest first; those that were removed left out.
    ///
    /// - Parameter before: the number of the last one already seen.
    package func versions(
        of dataset: DatasetName, before: Int? = nil, limit: Int = 100
    ) async throws(RegistryError) -> [DatasetVersion] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM datasetVersion WHERE name = ? AND number < ? AND removedAt IS NULL
                    ORDER BY number DESC LIMIT ?
                    """,
                arguments: [dataset.text, before ?? Int.max, max(0, limit)]
            ).map(DatasetVersion.init(row:))
        }
    }

    /// The named version of a dataset, or its newest that was not removed; one that was, when there is no other.
    package func dataset(_ reference: DatasetReference) async throws(RegistryError) -> DatasetVersion? {
        try await read { db in
            try Row.fetchOne(
                db,
                sql: """
                    SELECT * FROM datasetVersion WHERE name = ?1 AND (?2 IS NULL OR number = ?2)
                    ORDER BY removedAt IS NOT NULL, number DESC LIMIT 1
                    """, arguments: [reference.name.text, reference.number]
            ).map(DatasetVersion.init(row:))
        }
    }

    /// What targets are still to be told: how many deliveries each.
    package func deliveryCounts() async throws(RegistryError) -> [TargetARN: Int] {
        try await read { db in
            var counts: [TargetARN: Int] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT target, count(*) AS count FROM delivery GROUP BY target") {
                counts[try storedTarget(row["target"])] = row["count"]
            }
            return counts
        }
    }

    /// The deliveries to a target whose time has come first, whether it has come or not.
    package func deliveries(to target: TargetARN, limit: Int) async throws(RegistryError) -> [Delivery] {
        try await read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM delivery WHERE target = ? ORDER BY notBefore, sequence LIMIT ?",
                arguments: [target.text, max(0, limit)]
            ).map(Delivery.init(row:))
        }
    }

    /// What a delivery brings; `nil` when it is over.
    package func document(ofDelivery sequence: Int64) async throws(RegistryError) -> [UInt8]? {
        try await read { db in
            try Data.fetchOne(db, sql: "SELECT bytes FROM deliveryDocument WHERE delivery = ?", arguments: [sequence])
                .map { Array($0) }
        }
    }

    /// The highest number that a version of the dataset has had; 0 when there was none.
    package func lastVersion(of dataset: DatasetName) async throws(RegistryError) -> Int {
        try await read { db in
            try Int.fetchOne(
                db, sql: "SELECT max(number) FROM datasetVersion WHERE name = ?", arguments: [dataset.text]) ?? 0
        }
    }

    /// What versions of datasets that were not removed, and channels of executions that have not ended, refer to: each
    /// artifact or set of channels once, with the name of one of those that refer to it.
    package func referredArtifacts() async throws(RegistryError) -> [(by: String, artifact: Digest)] {
        try await read { db in
            var referred: [(by: String, artifact: Digest)] = []
            for row in try Row.fetchAll(
                db,
                sql:
                    "SELECT name, max(number) AS number, artifact FROM datasetVersion WHERE removedAt IS NULL GROUP BY artifact"
            ) {
                let (name, number, artifact): (String, Int, String) = (row["name"], row["number"], row["artifact"])
                referred.append(("\(DatasetReference.prefix)\(name)@\(number)", try storedDigest(artifact)))
            }
            for row in try Row.fetchAll(
                db, sql: "SELECT min(id) AS id, channels FROM execution WHERE \(isLiveTraining) GROUP BY channels")
            {
                let id: String = row["id"]
                for column in try fromJSON(row["channels"], as: [ChannelColumn].self) {
                    let channel = try column.channel()
                    referred.append(("channel '\(channel.name)' of execution \(id)", channel.artifact))
                }
            }
            return referred
        }
    }

    /// The files that are events or answers of executions, ended ones included.
    package func payloadFiles() async throws(RegistryError) -> [Digest] {
        try await read { db in
            try ["inputFile", "resultFile"].flatMap { column in
                try String.fetchAll(db, sql: "SELECT \(column) FROM execution WHERE \(column) IS NOT NULL").map {
                    try storedDigest(try fromJSON($0, as: FileColumn.self).digest)
                }
            }
        }
    }

    /// The audit trail, newest first.
    ///
    /// - Parameter before: the sequence number of the last entry already seen.
    package func audit(
        of function: FunctionName? = nil, before: Int64? = nil, limit: Int = 100
    ) async throws(RegistryError) -> [AuditEntry] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM audit WHERE sequence < ?1 \(function == nil ? "" : "AND function = ?2")
                    ORDER BY sequence DESC LIMIT \(max(0, limit))
                    """,
                arguments: [before ?? Int64.max] + (function.map { [$0.text] } ?? [])
            ).map(AuditEntry.init(row:))
        }
    }
}

private func fetchExecution(_ db: Database, where condition: String, _ arguments: StatementArguments) throws
    -> Execution?
{
    let row = try Row.fetchOne(
        db,
        sql: """
            SELECT execution.*, executionInput.bytes AS input, executionResult.bytes AS result FROM execution
            JOIN executionInput ON executionInput.execution = sequence
            LEFT JOIN executionResult ON executionResult.execution = sequence
            WHERE \(condition)
            """, arguments: arguments)
    guard let row else { return nil }
    return Execution(
        head: try ExecutionHead(row: row),
        input: try stored(try Payload(row: row, file: "inputFile", bytes: row["input"]), "execution without an event"),
        result: try Payload(row: row, file: "resultFile", bytes: row["result"]))
}
