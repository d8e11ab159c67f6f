/// Everything about a function that its package and model do not say. Part of a version's identity.
package struct FunctionConfiguration: Equatable, Sendable {
    package var runtime: Runtime
    /// What the runtime calls; its form is the runtime's (`echo.handler`, `infer`).
    package var handler: String
    package var description: String
    /// The AWS role the client named. Kept and answered, without meaning here.
    package var role: String
    package var memoryMegabytes: Int
    /// From dispatch to answer, in seconds.
    package var timeoutSeconds: Int
    /// As the client set it, `ROOST_...` settings included; what those mean is in `settings`.
    package var environment: [String: String]
    package var settings: FunctionSettings
    /// Who gets the events of asynchronous invocations that failed for good; `nil` is nobody.
    package var deadLetterTarget: TargetARN?

    package init(
        runtime: Runtime, handler: String, description: String = "", role: String = "", memoryMegabytes: Int = 128,
        timeoutSeconds: Int = 3, environment: [String: String] = [:], settings: FunctionSettings = .init(),
        deadLetterTarget: TargetARN? = nil
    ) {
        self.runtime = runtime
        self.handler = handler
        self.description = description
        self.role = role
        self.memoryMegabytes = memoryMegabytes
        self.timeoutSeconds = timeoutSeconds
        self.environment = environment
        self.settings = settings
        self.deadLetterTarget = deadLetterTarget
    }

    /// Whether it is a training whose `handler` is a script of the package, run as a program (PROTOCOL.md, section 12).
    package var isScript: Bool { settings.trains != nil && handler.hasSuffix(".py") }
}

/// A function: its mutable `$LATEST`, and what its versions share.
package struct Function: Equatable, Sendable, Identifiable {
    /// Never reused, so that a function made anew under an old name is another one.
    package struct ID: Hashable, Sendable {
        package let value: Int64
        package init(_ value: Int64) { self.value = value }
    }

    package let id: ID
    package let name: FunctionName
    package var latest: Version
    /// Invocations of all versions together that may run at once; `nil` means no limit of its own, 0 refuses all.
    package var reservedConcurrency: Int?
    /// The highest version number ever published under this name, by this function or one deleted before it.
    package var lastPublished: Int
    /// Whether `$LATEST` was updated since the last publish.
    package var isUpdatedSincePublish: Bool
    package var createdAt: Timestamp
    /// Of the function, not of a version; at most 50.
    package var tags: [String: String]

    package init(
        id: ID, name: FunctionName, latest: Version, reservedConcurrency: Int?, lastPublished: Int,
        isUpdatedSincePublish: Bool, createdAt: Timestamp, tags: [String: String] = [:]
    ) {
        self.id = id
        self.name = name
        self.latest = latest
        self.reservedConcurrency = reservedConcurrency
        self.lastPublished = lastPublished
        self.isUpdatedSincePublish = isUpdatedSincePublish
        self.createdAt = createdAt
        self.tags = tags
    }
}

/// One snapshot of a function: three digests (package, model, configuration) and where they came from.
///
/// A published version never changes. `$LATEST` is a version whose `revision` changes with every update.
package struct Version: Equatable, Sendable {
    package let number: VersionNumber
    package var configuration: FunctionConfiguration
    /// The manifest of the unpacked package.
    package var package: Digest
    /// What clients see as `CodeSha256`: the digest of the zip that was sent, or of the manifest.
    package var codeDigest: Digest
    /// Bytes of the zip that was sent, or of all files of the folder.
    package var codeSizeBytes: Int
    /// The manifest of the model's files; `nil` for a version without a model.
    package var model: Digest?
    /// A UUID, new with every update.
    package var revision: String
    package var modifiedAt: Timestamp
    /// How this version came to be; `nil` unless a training published it. JSON, see docs/ARCHITECTURE.md.
    package var lineage: String?

    package init(
        number: VersionNumber, configuration: FunctionConfiguration, package: Digest, codeDigest: Digest,
        codeSizeBytes: Int, model: Digest?, revision: String, modifiedAt: Timestamp, lineage: String? = nil
    ) {
        self.number = number
        self.configuration = configuration
        self.package = package
        self.codeDigest = codeDigest
        self.codeSizeBytes = codeSizeBytes
        self.model = model
        self.revision = revision
        self.modifiedAt = modifiedAt
        self.lineage = lineage
    }
}
