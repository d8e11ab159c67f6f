internal import Domain
internal import Foundation
internal import GRDB

// One change, written inside the transaction (or savepoint) of its commit.

extension Change {
    func write(to db: Database) throws {
        switch self {
        case .putFunction(let function): try put(function, to: db)
        case .deleteFunction(let id): try removeFunction(id, from: db)
        case .putVersion(let function, let version): try insert(version, of: function, to: db)
        case .deleteVersion(let function, let number): try removeVersion(number, of: function, from: db)
        case .putAlias(let function, let alias, let change): try put(alias, of: function, change, to: db)
        case .deleteAlias(let function, let alias, let change): try removeAlias(alias, of: function, change, from: db)
        case .putEventInvokeConfiguration(let function, let configuration):
            try put(configuration, of: function, to: db)
        case .deleteEventInvokeConfiguration(let function, let qualifier):
            try db.run(
                "DELETE FROM eventInvokeConfiguration WHERE function = ? AND qualifier = ?",
                [function.value, qualifier.description])
        case .putProvisionedConcurrency(let function, let provisioned):
            try db.run(
                """
                INSERT INTO provisionedConcurrency (function, qualifier, requested, modifiedAt) VALUES (?, ?, ?, ?)
                ON CONFLICT (function, qualifier) DO UPDATE SET
                    requested = excluded.requested, modifiedAt = excluded.modifiedAt
                """,
                [
                    function.value, provisioned.qualifier.description, provisioned.requested,
                    provisioned.modifiedAt.millisecondsSince1970,
                ], rules: [.SQLITE_CONSTRAINT_FOREIGNKEY: .missing(.function(function))])
        case .deleteProvisionedConcurrency(let function, let qualifier):
            try db.run(
                "DELETE FROM provisionedConcurrency WHERE function = ? AND qualifier = ?",
                [function.value, qualifier.description])
        case .addExecution(let execution): try insert(execution, to: db)
        case .updateExecution(let execution): try update(execution, in: db)
        case .addEvents(let id, let events): try append(events, to: id, in: db)
        case .deleteExecution(let id):
            try db.run("DELETE FROM execution WHERE id = ?", [id.text])
            guard db.changesCount > 0 else { throw RegistryError.missing(.execution(id)) }
        case .deleteEndedExecutions(let before, let limit):
            try db.run(
                """
                DELETE FROM execution WHERE sequence IN
                    (SELECT sequence FROM execution WHERE endedAt < ? ORDER BY endedAt LIMIT ?)
                """, [before.millisecondsSince1970, limit])
        case .addDelivery(let delivery, let document): try insert(delivery, document, to: db)
        case .postponeDelivery(let delivery):
            try db.run(
                "UPDATE delivery SET failures = ?, notBefore = ? WHERE sequence = ?",
                [delivery.failures, delivery.notBefore.millisecondsSince1970, delivery.sequence])
        case .endDelivery(let delivery, let event):
            try db.run("DELETE FROM delivery WHERE sequence = ?", [delivery.sequence])
            if let execution = try sequence(of: delivery.execution, in: db) {
                try append([event], to: execution, in: db)
            }
        case .addDatasetVersion(let version): try insert(version, to: db)
        case .removeDataset(let dataset, let time): try remove(dataset, at: time, from: db)
        case .addAudit(let entry): try insert(entry, to: db)
        }
    }

    /// Roughly what this adds to the write-ahead log beyond its transaction's share, in bytes: a page, and what is large.
    var logBytes: Int {
        switch self {
        case .addExecution(let execution): 4096 + (execution.input.bytes?.count ?? 0)
        case .updateExecution(let execution): 4096 + (execution.result?.bytes?.count ?? 0)
        case .addDelivery(_, let document): 4096 + document.count
        case .addEvents(_, let events): events.reduce(0) { $0 + $1.detail.utf8.count }
        default: 4096
        }
    }
}

extension Database {
    /// Prepared once per connection.
    fileprivate func run(_ sql: String, _ arguments: StatementArguments) throws {
        try cachedStatement(sql: sql).execute(arguments: arguments)
    }

    /// Throws, when a constraint of a kind in `rules` is violated, the error beside it.
    fileprivate func run(
        _ sql: String, _ arguments: StatementArguments, rules: KeyValuePairs<ResultCode, RegistryError>
    ) throws {
        do {
            try run(sql, arguments)
        } catch let error as DatabaseError {
            throw rules.first { $0.key == error.extendedResultCode }?.value ?? error
        }
    }
}

// MARK: - Functions, versions, aliases

private func put(_ function: Function, to db: Database) throws {
    try db.run(
        """
        INSERT INTO function (id, name, reservedConcurrency, isUpdatedSincePublish, createdAt, tags)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET
            reservedConcurrency = excluded.reservedConcurrency,
            isUpdatedSincePublish = excluded.isUpdatedSincePublish, tags = excluded.tags
        """,
        [
            function.id.value, function.name.text, function.reservedConcurrency, function.isUpdatedSincePublish,
            function.createdAt.millisecondsSince1970, try jsonText(function.tags),
        ],
        rules: [.SQLITE_CONSTRAINT_UNIQUE: .conflict(.functionName(function.name))])
    try raiseVersionCounter(of: function.name.text, to: function.lastPublished, in: db)
    try db.run(
        """
        INSERT INTO version \(versionColumns)
        ON CONFLICT (function, number) DO UPDATE SET
            runtime = excluded.runtime, handler = excluded.handler, description = excluded.description,
            role = excluded.role, memoryMegabytes = excluded.memoryMegabytes,
            timeoutSeconds = excluded.timeoutSeconds, environment = excluded.environment,
            package = excluded.package, codeDigest = excluded.codeDigest, codeSizeBytes = excluded.codeSizeBytes,
            model = excluded.model, revision = excluded.revision, modifiedAt = excluded.modifiedAt,
            lineage = excluded.lineage, deadLetterTarget = excluded.deadLetterTarget
        """, try versionArguments(function.latest, of: function.id))
}

private func raiseVersionCounter(of name: String, to number: Int, in db: Database) throws {
    try db.run(
        """
        INSERT INTO versionCounter (name, lastPublished) VALUES (?, ?)
        ON CONFLICT (name) DO UPDATE SET lastPublished = max(lastPublished, excluded.lastPublished)
        """, [name, number])
}

private func removeFunction(_ id: Function.ID, from db: Database) throws {
    try db.run("DELETE FROM alias WHERE function = ?", [id.value])
    try db.run("DELETE FROM eventInvokeConfiguration WHERE function = ?", [id.value])
    try db.run("DELETE FROM provisionedConcurrency WHERE function = ?", [id.value])
    try db.run("DELETE FROM version WHERE function = ?", [id.value])
    try db.run("DELETE FROM function WHERE id = ?", [id.value])
    guard db.changesCount > 0 else { throw RegistryError.missing(.function(id)) }
}

private let versionColumns = """
    (function, number, runtime, handler, description, role, memoryMegabytes, timeoutSeconds, environment, package,
     codeDigest, codeSizeBytes, model, revision, modifiedAt, lineage, deadLetterTarget)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    """

private func versionArguments(_ version: Version, of function: Function.ID) throws -> StatementArguments {
    let configuration = version.configuration
    return [
        function.value, version.number.column, configuration.runtime.description, freeText(configuration.handler),
        freeText(configuration.description), freeText(configuration.role), configuration.memoryMegabytes,
        configuration.timeoutSeconds, try jsonText(configuration.environment), version.package.hex,
        version.codeDigest.hex, version.codeSizeBytes, version.model?.hex, version.revision,
        version.modifiedAt.millisecondsSince1970, version.lineage.map(freeText),
        configuration.deadLetterTarget?.text,
    ]
}

private func insert(_ version: Version, of function: Function.ID, to db: Database) throws {
    try db.run(
        "INSERT INTO version \(versionColumns)", try versionArguments(version, of: function),
        rules: [
            .SQLITE_CONSTRAINT_PRIMARYKEY: .conflict(.versionNumber(function, version.number.column)),
            .SQLITE_CONSTRAINT_FOREIGNKEY: .missing(.function(function)),
        ])
    let name = try String.fetchOne(
        try db.cachedStatement(sql: "SELECT name FROM function WHERE id = ?"), arguments: [function.value])
    guard let name else { throw RegistryError.missing(.function(function)) }
    try raiseVersionCounter(of: name, to: version.number.column, in: db)
}

private func removeVersion(_ number: Int, of function: Function.ID, from db: Database) throws {
    try db.run(
        "DELETE FROM version WHERE function = ? AND number = ? AND number > 0", [function.value, number],
        rules: [.SQLITE_CONSTRAINT_FOREIGNKEY: .conflict(.versionInUse(function, number))])
    guard db.changesCount > 0 else { throw RegistryError.missing(.version(function, number)) }
    try removeConfigurations(of: .version(.published(number)), of: function, from: db)
}

/// What is configured for a qualifier goes with it.
private func removeConfigurations(of qualifier: Qualifier, of function: Function.ID, from db: Database) throws {
    for table in ["eventInvokeConfiguration", "provisionedConcurrency"] {
        try db.run(
            "DELETE FROM \(table) WHERE function = ? AND qualifier = ?", [function.value, qualifier.description])
    }
}

private func put(_ configuration: EventInvokeConfiguration, of function: Function.ID, to db: Database) throws {
    try db.run(
        """
        INSERT INTO eventInvokeConfiguration
            (function, qualifier, retriesMax, ageSecondsMax, onSuccess, onFailure, modifiedAt)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (function, qualifier) DO UPDATE SET
            retriesMax = excluded.retriesMax, ageSecondsMax = excluded.ageSecondsMax, onSuccess = excluded.onSuccess,
            onFailure = excluded.onFailure, modifiedAt = excluded.modifiedAt
        """,
        [
            function.value, configuration.qualifier.description, configuration.retriesMax,
            configuration.ageSecondsMax, try configuration.onSuccess.map { try jsonText(DestinationColumn($0)) },
            try configuration.onFailure.map { try jsonText(DestinationColumn($0)) },
            configuration.modifiedAt.millisecondsSince1970,
        ], rules: [.SQLITE_CONSTRAINT_FOREIGNKEY: .missing(.function(function))])
}

private func put(_ alias: Alias, of function: Function.ID, _ change: AliasChange, to db: Database) throws {
    try db.run(
        """
        INSERT INTO alias (function, name, version, additionalVersion, additionalWeight, description, revision)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (function, name) DO UPDATE SET
            version = excluded.version, additionalVersion = excluded.additionalVersion,
            additionalWeight = excluded.additionalWeight, description = excluded.description,
            revision = excluded.revision
        """,
        [
            function.value, alias.name.text, alias.target.version.column, alias.target.additional?.version,
            alias.target.additional?.weight, freeText(alias.description), alias.revision,
        ],
        rules: [.SQLITE_CONSTRAINT_FOREIGNKEY: .conflict(.aliasTarget(function, alias.name))])
    try insert(change, of: function, to: db)
}

private func removeAlias(_ alias: AliasName, of function: Function.ID, _ change: AliasChange, from db: Database) throws
{
    try db.run("DELETE FROM alias WHERE function = ? AND name = ?", [function.value, alias.text])
    guard db.changesCount > 0 else { throw RegistryError.missing(.alias(function, alias)) }
    try removeConfigurations(of: .alias(alias), of: function, from: db)
    try insert(change, of: function, to: db)
}

private func insert(_ change: AliasChange, of function: Function.ID, to db: Database) throws {
    try db.run(
        """
        INSERT INTO aliasChange (function, alias, fromVersion, fromAdditionalVersion, fromAdditionalWeight, toVersion,
            toAdditionalVersion, toAdditionalWeight, cause, undoes, at, by, why)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
            function.value, change.alias.text, change.from?.version.column, change.from?.additional?.version,
            change.from?.additional?.weight, change.to?.version.column, change.to?.additional?.version,
            change.to?.additional?.weight, change.cause.rawValue, change.undoes, change.at.millisecondsSince1970,
            freeText(change.by), freeText(change.why),
        ])
}

// MARK: - Datasets

private func insert(_ version: DatasetVersion, to db: Database) throws {
    try db.run(
        """
        INSERT INTO datasetVersion (name, number, artifact, filesCount, sizeBytes, createdAt, createdBy)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        [
            version.name.text, version.number, version.artifact.hex, version.filesCount, version.sizeBytes,
            version.createdAt.millisecondsSince1970, freeText(version.createdBy),
        ], rules: [.SQLITE_CONSTRAINT_PRIMARYKEY: .conflict(.datasetVersion(version.name, version.number))])
}

private func remove(_ dataset: DatasetReference, at time: Timestamp, from db: Database) throws {
    let range = "name = ?1 AND (?2 IS NULL OR number = ?2) AND removedAt IS NULL"
    let user = try Row.fetchOne(
        try db.cachedStatement(
            sql: """
                SELECT execution.id, value ->> 'dataset' AS dataset FROM execution, json_each(channels)
                WHERE \(isLiveTraining) AND value ->> 'dataset' IN
                    (SELECT '\(DatasetReference.prefix)' || name || '@' || number FROM datasetVersion WHERE \(range))
                ORDER BY sequence LIMIT 1
                """), arguments: [dataset.name.text, dataset.number])
    if let user {
        let text: String = user["dataset"]
        throw RegistryError.conflict(
            .datasetInUse(
                try stored(DatasetReference(text), "dataset '\(text)'"), by: Execution.ID(user["id"])))
    }
    try db.run(
        "UPDATE datasetVersion SET removedAt = ?3 WHERE \(range)",
        [dataset.name.text, dataset.number, time.millisecondsSince1970])
}

/// Throws when a version of a dataset was removed.
private func require(_ dataset: DatasetReference, in db: Database) throws {
    let removed = try Int.fetchOne(
        try db.cachedStatement(
            sql: "SELECT 1 FROM datasetVersion WHERE name = ? AND number = ? AND removedAt IS NOT NULL"),
        arguments: [dataset.name.text, dataset.number])
    if removed != nil { throw RegistryError.conflict(.datasetRemoved(dataset)) }
}

// MARK: - Audit trail

private func insert(_ entry: AuditEntry, to db: Database) throws {
    try db.run(
        "INSERT INTO audit (at, caller, requestID, operation, function, subject) VALUES (?, ?, ?, ?, ?, ?)",
        [
            entry.at.millisecondsSince1970, freeText(entry.caller.name), entry.caller.requestID, entry.operation,
            entry.function?.text ?? "", freeText(entry.subject),
        ])
    try db.run("DELETE FROM audit WHERE sequence <= ?", [db.lastInsertedRowID - Registry.auditEntriesMax])
}

// MARK: - Executions

private func insert(_ execution: Execution, to db: Database) throws {
    if execution.chainDepth == 0 {
        for channel in execution.channels { if let dataset = channel.dataset { try require(dataset, in: db) } }
    }
    do {
        try db.run(
            """
            INSERT INTO execution (id, function, name, functionName, qualifier, version, baseVersion, channels, promote,
                acceptedAt, retryKey, chainDepth, priority, inputFile, status, attempt, startedAt, endedAt, failure, notBefore,
                pausedAt, pausedMilliseconds, publishedVersion, promotion, progress, resultFile)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                execution.id.text, execution.function.value, execution.name.text, execution.functionName.text,
                execution.qualifier?.description, execution.version.column, execution.baseVersion?.column,
                try jsonText(execution.channels.map { ChannelColumn($0) }),
                execution.promote?.text, execution.acceptedAt.millisecondsSince1970, execution.retryKey,
                execution.chainDepth, execution.priority, try FileColumn(execution.input).map { try jsonText($0) },
            ] + state(of: execution))
    } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_CONSTRAINT_UNIQUE {
        if try sequence(of: execution.id, in: db) != nil { throw RegistryError.conflict(.executionID(execution.id)) }
        if let retryKey = execution.retryKey {
            let tried = try Int.fetchOne(db, sql: "SELECT 1 FROM execution WHERE retryKey = ?", arguments: [retryKey])
            if tried != nil { throw RegistryError.conflict(.executionRetry(retryKey)) }
        }
        throw RegistryError.conflict(.executionName(execution.function, execution.name))
    }
    let sequence = db.lastInsertedRowID
    try db.run(
        "INSERT INTO executionInput (execution, bytes) VALUES (?, ?)", [sequence, Data(execution.input.bytes ?? [])])
    try put(result: execution.result?.bytes, of: sequence, in: db)
}

private func update(_ execution: Execution, in db: Database) throws {
    try db.run(
        """
        UPDATE execution SET status = ?, attempt = ?, startedAt = ?, endedAt = ?, failure = ?, notBefore = ?,
            pausedAt = ?, pausedMilliseconds = ?, publishedVersion = ?, promotion = ?, progress = ?,
            resultFile = ?
        WHERE id = ? AND \(isLiveExecution)
        """, try state(of: execution) + [execution.id.text])
    let isUpdated = db.changesCount > 0
    guard let sequence = try sequence(of: execution.id, in: db) else {
        throw RegistryError.missing(.execution(execution.id))
    }
    guard isUpdated else { throw RegistryError.executionEnded(execution.id) }
    try put(result: execution.result?.bytes, of: sequence, in: db)
}

/// What an update may change, in the order of the statements above.
private func state(of execution: Execution) throws -> StatementArguments {
    [
        execution.status.rawValue, execution.attempt, execution.startedAt?.millisecondsSince1970,
        execution.endedAt?.millisecondsSince1970, try execution.failure.map { try jsonText(FailureColumn($0)) },
        execution.notBefore?.millisecondsSince1970, execution.pausedAt?.millisecondsSince1970,
        execution.pausedMilliseconds, execution.publishedVersion, execution.promotion, execution.progress,
        try FileColumn(execution.result).map { try jsonText($0) },
    ]
}

private func put(result: [UInt8]?, of sequence: Int64, in db: Database) throws {
    guard let result else { return }
    try db.run(
        """
        INSERT INTO executionResult (execution, bytes) VALUES (?, ?)
        ON CONFLICT (execution) DO UPDATE SET bytes = excluded.bytes
        """, [sequence, Data(result)])
}

private func append(_ events: [ExecutionEvent], to id: Execution.ID, in db: Database) throws {
    guard let execution = try sequence(of: id, in: db) else { throw RegistryError.missing(.execution(id)) }
    try append(events, to: execution, in: db)
}

private func append(_ events: [ExecutionEvent], to execution: Int64, in db: Database) throws {
    for event in events {
        try db.run(
            """
            INSERT INTO executionEvent (execution, sequence, kind, at, detail)
            SELECT ?1, coalesce(max(sequence), 0) + 1, ?2, ?3, ?4 FROM executionEvent WHERE execution = ?1
            """, [execution, event.kind.rawValue, event.at.millisecondsSince1970, event.detail])
    }
}

// MARK: - Deliveries

private func insert(_ delivery: Delivery, _ document: [UInt8], to db: Database) throws {
    try db.run(
        """
        INSERT INTO delivery (execution, content, target, createdAt, failures, notBefore) VALUES (?, ?, ?, ?, ?, ?)
        """,
        [
            delivery.execution.text, delivery.content.rawValue, delivery.target.text,
            delivery.createdAt.millisecondsSince1970, delivery.failures, delivery.notBefore.millisecondsSince1970,
        ])
    try db.run(
        "INSERT INTO deliveryDocument (delivery, bytes) VALUES (?, ?)", [db.lastInsertedRowID, Data(document)])
}

private func sequence(of id: Execution.ID, in db: Database) throws -> Int64? {
    try Int64.fetchOne(
        try db.cachedStatement(sql: "SELECT sequence FROM execution WHERE id = ?"), arguments: [id.text])
}
