internal import GRDB

/// The executions that have not ended. The condition of the index `executionLive`, word for word, or SQLite would not use
/// it.
let isLiveExecution = "status IN ('QUEUED', 'RUNNING', 'PAUSING', 'PAUSED')"

/// Those of them that have channels: the condition of `executionChannels`.
let isLiveTraining = "channels <> '[]' AND \(isLiveExecution)"

/// The schema, as numbered migrations. One that was released never changes; a change is a new one.
///
/// `$LATEST` is version 0 of its function. Times are milliseconds since 1970, digests hexadecimal text.
func makeMigrator() -> DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1") { db in
        try db.execute(
            sql: """
                -- AUTOINCREMENT remembers the highest id ever stored, so that ids are never reused.
                CREATE TABLE function (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    name TEXT NOT NULL UNIQUE,
                    reservedConcurrency INTEGER,
                    isUpdatedSincePublish INTEGER NOT NULL,
                    createdAt INTEGER NOT NULL
                ) STRICT;

                -- The highest version number ever published under a name. Outlives the function.
                CREATE TABLE versionCounter (
                    name TEXT PRIMARY KEY,
                    lastPublished INTEGER NOT NULL
                ) STRICT, WITHOUT ROWID;

                CREATE TABLE version (
                    function INTEGER NOT NULL REFERENCES function(id),
                    number INTEGER NOT NULL,
                    runtime TEXT NOT NULL,
                    handler TEXT NOT NULL,
                    description TEXT NOT NULL,
                    role TEXT NOT NULL,
                    memoryMegabytes INTEGER NOT NULL,
                    timeoutSeconds INTEGER NOT NULL,
                    environment TEXT NOT NULL,
                    package TEXT NOT NULL,
                    codeDigest TEXT NOT NULL,
                    codeSizeBytes INTEGER NOT NULL,
                    model TEXT,
                    revision TEXT NOT NULL,
                    modifiedAt INTEGER NOT NULL,
                    lineage TEXT,
                    PRIMARY KEY (function, number)
                ) STRICT, WITHOUT ROWID;

                CREATE TABLE alias (
                    function INTEGER NOT NULL,
                    name TEXT NOT NULL,
                    version INTEGER NOT NULL,
                    additionalVersion INTEGER,
                    additionalWeight REAL,
                    description TEXT NOT NULL,
                    revision TEXT NOT NULL,
                    PRIMARY KEY (function, name),
                    FOREIGN KEY (function, version) REFERENCES version(function, number),
                    FOREIGN KEY (function, additionalVersion) REFERENCES version(function, number)
                ) STRICT, WITHOUT ROWID;
                CREATE INDEX aliasVersion ON alias(function, version);
                CREATE INDEX aliasAdditionalVersion ON alias(function, additionalVersion);

                -- Append-only. No reference to the function, which it outlives.
                CREATE TABLE aliasChange (
                    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                    function INTEGER NOT NULL,
                    alias TEXT NOT NULL,
                    fromVersion INTEGER,
                    fromAdditionalVersion INTEGER,
                    fromAdditionalWeight REAL,
                    toVersion INTEGER,
                    toAdditionalVersion INTEGER,
                    toAdditionalWeight REAL,
                    cause TEXT NOT NULL,
                    undoes INTEGER,
                    at INTEGER NOT NULL,
                    by TEXT NOT NULL,
                    why TEXT NOT NULL
                ) STRICT;
                CREATE INDEX aliasChangeAlias ON aliasChange(function, alias);

                -- Outlives its function. `sequence` is the order of acceptance and the marker of pages.
                CREATE TABLE execution (
                    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                    id TEXT NOT NULL UNIQUE,
                    function INTEGER NOT NULL,
                    name TEXT NOT NULL,
                    functionName TEXT NOT NULL,
                    qualifier TEXT,
                    version INTEGER NOT NULL,
                    baseVersion INTEGER,
                    channels TEXT NOT NULL,
                    promote TEXT,
                    acceptedAt INTEGER NOT NULL,
                    status TEXT NOT NULL,
                    attempt INTEGER NOT NULL,
                    startedAt INTEGER,
                    endedAt INTEGER,
                    failure TEXT,
                    notBefore INTEGER,
                    publishedVersion INTEGER,
                    progress TEXT,
                    UNIQUE (function, name)
                ) STRICT;
                CREATE INDEX executionFunction ON execution(function);
                CREATE INDEX executionLive ON execution(sequence) WHERE status IN ('QUEUED', 'RUNNING');

                -- Large values apart, so that an update of the state does not rewrite them.
                CREATE TABLE executionInput (
                    execution INTEGER PRIMARY KEY REFERENCES execution(sequence) ON DELETE CASCADE,
                    bytes BLOB NOT NULL
                ) STRICT;
                CREATE TABLE executionResult (
                    execution INTEGER PRIMARY KEY REFERENCES execution(sequence) ON DELETE CASCADE,
                    bytes BLOB NOT NULL
                ) STRICT;

                CREATE TABLE executionEvent (
                    execution INTEGER NOT NULL REFERENCES execution(sequence) ON DELETE CASCADE,
                    sequence INTEGER NOT NULL,
                    kind TEXT NOT NULL,
                    at INTEGER NOT NULL,
                    detail TEXT NOT NULL,
                    PRIMARY KEY (execution, sequence)
                ) STRICT, WITHOUT ROWID;
                """)
    }
    migrator.registerMigration("2") { db in
        try db.execute(
            sql: """
                CREATE TABLE audit (
                    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                    at INTEGER NOT NULL,
                    caller TEXT NOT NULL,
                    requestID TEXT NOT NULL,
                    operation TEXT NOT NULL,
                    function TEXT NOT NULL,
                    subject TEXT NOT NULL
                ) STRICT;
                CREATE INDEX auditFunction ON audit (function, sequence);

                -- What the tries of one client call have in common; NULL when the client named none.
                ALTER TABLE execution ADD COLUMN retryKey TEXT;
                CREATE UNIQUE INDEX executionRetryKey ON execution (retryKey) WHERE retryKey IS NOT NULL;
                """)
    }
    migrator.registerMigration("3") { db in
        try db.execute(
            sql: """
                ALTER TABLE function ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';

                -- What becomes of asynchronous invocations; `qualifier` is '$LATEST', a number or an alias.
                CREATE TABLE eventInvokeConfiguration (
                    function INTEGER NOT NULL REFERENCES function(id),
                    qualifier TEXT NOT NULL,
                    retriesMax INTEGER,
                    ageSecondsMax INTEGER,
                    onSuccess TEXT,
                    onFailure TEXT,
                    modifiedAt INTEGER NOT NULL,
                    PRIMARY KEY (function, qualifier)
                ) STRICT, WITHOUT ROWID;

                CREATE TABLE provisionedConcurrency (
                    function INTEGER NOT NULL REFERENCES function(id),
                    qualifier TEXT NOT NULL,
                    requested INTEGER NOT NULL,
                    modifiedAt INTEGER NOT NULL,
                    PRIMARY KEY (function, qualifier)
                ) STRICT, WITHOUT ROWID;

                ALTER TABLE execution ADD COLUMN chainDepth INTEGER NOT NULL DEFAULT 0;
                ALTER TABLE execution ADD COLUMN pausedAt INTEGER;
                ALTER TABLE execution ADD COLUMN pausedMilliseconds INTEGER NOT NULL DEFAULT 0;
                DROP INDEX executionLive;
                CREATE INDEX executionLive ON execution(sequence)
                    WHERE status IN ('QUEUED', 'RUNNING', 'PAUSING', 'PAUSED');
                """)
    }
    migrator.registerMigration("4") { db in
        try db.execute(
            sql: """
                CREATE TABLE datasetVersion (
                    name TEXT NOT NULL,
                    number INTEGER NOT NULL,
                    artifact TEXT NOT NULL,
                    filesCount INTEGER NOT NULL,
                    sizeBytes INTEGER NOT NULL,
                    createdAt INTEGER NOT NULL,
                    createdBy TEXT NOT NULL,
                    PRIMARY KEY (name, number)
                ) STRICT, WITHOUT ROWID;

                -- What became of the alias that a training was to move, as JSON.
                ALTER TABLE execution ADD COLUMN promotion TEXT;
                """)
    }
    migrator.registerMigration("5") { db in
        try db.execute(
            sql: """
                CREATE INDEX executionEnded ON execution(endedAt) WHERE endedAt IS NOT NULL;
                ALTER TABLE execution ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
                """)
    }
    migrator.registerMigration("6") { db in
        try db.execute(
            sql: """
                -- A version that was removed keeps its row, so that its number is never given again.
                ALTER TABLE datasetVersion ADD COLUMN removedAt INTEGER;
                -- What trainings that have not ended read.
                CREATE INDEX executionChannels ON execution(sequence)
                    WHERE channels <> '[]' AND status IN ('QUEUED', 'RUNNING', 'PAUSING', 'PAUSED');
                """)
    }
    migrator.registerMigration("7") { db in
        try db.execute(
            sql: """
                ALTER TABLE version ADD COLUMN deadLetterTarget TEXT;

                -- What targets are to be told of executions' ends. Outlives its execution.
                CREATE TABLE delivery (
                    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                    execution TEXT NOT NULL,
                    content TEXT NOT NULL,
                    target TEXT NOT NULL,
                    createdAt INTEGER NOT NULL,
                    failures INTEGER NOT NULL,
                    notBefore INTEGER NOT NULL
                ) STRICT;
                CREATE INDEX deliveryDue ON delivery(target, notBefore);
                CREATE TABLE deliveryDocument (
                    delivery INTEGER PRIMARY KEY REFERENCES delivery(sequence) ON DELETE CASCADE,
                    bytes BLOB NOT NULL
                ) STRICT;
                """)
    }
    migrator.registerMigration("8") { db in
        try db.execute(
            sql: """
                -- Where the bytes of a large event or answer are, as JSON; their tables then have none.
                ALTER TABLE execution ADD COLUMN inputFile TEXT;
                ALTER TABLE execution ADD COLUMN resultFile TEXT;
                """)
    }
    return migrator
}
