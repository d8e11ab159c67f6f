package import Artifacts
package import Domain
internal import Loop
internal import Registry

/// Where a function's package comes from.
package enum PackageSource: Sendable {
    case zip([UInt8])
    /// A folder whose files and manifest are in the artifact store.
    case manifest(Digest)
}

/// What the artifact store made of a package.
struct StoredCode: Sendable {
    var package: Digest
    var codeDigest: Digest
    var sizeBytes: Int
}

extension Management {
    /// - Returns: the function, and version 1 of it when `publish` is set.
    package func createFunction(
        _ name: FunctionName, _ configuration: FunctionConfiguration, code: PackageSource, publish: Bool,
        tags: [String: String] = [:], by caller: Caller
    ) async throws(ManagementError) -> Version {
        guard catalog.entries[name] == nil else { throw .functionExists(name) }
        let use = artifacts.beginUse()
        defer { use.end() }
        let code = try await store(code, runtime: configuration.runtime)
        return try await perform("CreateFunction", name, by: caller) {
            () async throws(ManagementError) -> ([Change], Version) in
            // Again: another client may have made it while the package was unpacked.
            guard catalog.entries[name] == nil else { throw .functionExists(name) }
            var function = newFunction(name, configuration, code, model: nil, reservedConcurrency: nil)
            function.tags = tags
            var changes: [Change] = []
            var answer = function.latest
            if publish {
                answer = function.publish(as: catalog.nextVersion(of: name), description: nil)
                changes.append(.putVersion(function.id, answer))
            }
            return ([.putFunction(function)] + changes, answer)
        }
    }

    /// - Returns: the new version when `publish` is set, else the new `$LATEST`.
    package func updateCode(
        _ name: FunctionName, _ code: PackageSource, publish: Bool, isDryRun: Bool, revision: String?,
        by caller: Caller
    ) async throws(ManagementError) -> Version {
        let runtime = try catalog.entry(name).function.latest.configuration.runtime
        let use = artifacts.beginUse()
        defer { use.end() }
        let code = try await store(code, runtime: runtime)
        return try await perform("UpdateFunctionCode", name, by: caller) {
            () async throws(ManagementError) -> ([Change], Version) in
            var function = try catalog.entry(name).function
            try function.latest.check(revision: revision)
            // Another client may have changed it while the package was unpacked.
            let current = function.latest.configuration.runtime
            if current != runtime { try await check(code.package, runsOn: current) }
            function.latest.take(code)
            // As it would be; nothing has a new revision.
            if isDryRun { return ([], function.latest) }
            function.touch()
            guard publish else { return ([.putFunction(function)], function.latest) }
            let version = function.publish(as: catalog.nextVersion(of: name), description: nil)
            return ([.putFunction(function), .putVersion(function.id, version)], version)
        }
    }

    /// - Parameter transform: makes the new configuration from the current one.
    package func updateConfiguration(
        _ name: FunctionName, revision: String?, by caller: Caller,
        _ transform: (FunctionConfiguration) throws(ManagementError) -> FunctionConfiguration
    ) async throws(ManagementError) -> Version {
        try await perform("UpdateFunctionConfiguration", name, by: caller) {
            () async throws(ManagementError) -> ([Change], Version) in
            var function = try catalog.entry(name).function
            try function.latest.check(revision: revision)
            let runtime = function.latest.configuration.runtime
            function.latest.configuration = try transform(function.latest.configuration)
            if function.latest.configuration.runtime != runtime {
                try await check(function.latest.package, runsOn: function.latest.configuration.runtime)
            }
            function.touch()
            return ([.putFunction(function)], function.latest)
        }
    }

    /// Executions of the function and the history of its aliases stay; workers that run finish first.
    package func deleteFunction(_ name: FunctionName, by caller: Caller) async throws(ManagementError) {
        try await perform("DeleteFunction", name, by: caller) { () async throws(ManagementError) -> ([Change], Void) in
            ([.deleteFunction(try catalog.entry(name).function.id)], ())
        }
    }

    /// A version that is not there is no error.
    package func deleteVersion(
        _ name: FunctionName, _ number: VersionNumber, by caller: Caller
    ) async throws(ManagementError) {
        try await perform("DeleteFunction", name, subject: number.description, by: caller) {
            () async throws(ManagementError) -> ([Change], Void) in
            guard let entry = catalog.entries[name] else { throw .functionNotFound(name, .version(number)) }
            guard case .published(let number) = number else { throw .latestCannotBeDeleted }
            guard entry.versions[number] != nil else { return ([], ()) }
            let user = entry.aliases.values.first {
                $0.target.version == .published(number) || $0.target.additional?.version == number
            }
            if let user { throw .versionInUse(name, number, by: user.name) }
            return ([.deleteVersion(entry.function.id, number)], ())
        }
    }

    /// Publishes `$LATEST` when it was updated since the last publish; else answers the newest version as it is.
    package func publishVersion(
        _ name: FunctionName, codeDigest: Digest? = nil, description: String? = nil, revision: String? = nil,
        by caller: Caller
    ) async throws(ManagementError) -> Version {
        try await perform("PublishVersion", name, by: caller) {
            () async throws(ManagementError) -> ([Change], Version) in
            let entry = try catalog.entry(name)
            var function = entry.function
            try function.latest.check(revision: revision)
            if let codeDigest, codeDigest != function.latest.codeDigest {
                throw .codeDigestMismatch(given: codeDigest.hex, current: function.latest.codeDigest.hex)
            }
            if !function.isUpdatedSincePublish, let newest = entry.versions[function.lastPublished] {
                return ([], newest)
            }
            let version = function.publish(as: catalog.nextVersion(of: name), description: description)
            return ([.putFunction(function), .putVersion(function.id, version)], version)
        }
    }

    /// - Parameter limit: `nil` removes it.
    package func setReservedConcurrency(
        _ name: FunctionName, _ limit: Int?, by caller: Caller
    ) async throws(ManagementError) {
        let operation = limit == nil ? "DeleteFunctionConcurrency" : "PutFunctionConcurrency"
        try await perform(operation, name, by: caller) { () async throws(ManagementError) -> ([Change], Void) in
            let entry = try catalog.entry(name)
            var function = entry.function
            function.reservedConcurrency = limit
            try check(reserved: limit, of: entry)
            return ([.putFunction(function)], ())
        }
    }

    // MARK: - Parts

    func newFunction(
        _ name: FunctionName, _ configuration: FunctionConfiguration, _ code: StoredCode, model: Digest?,
        reservedConcurrency: Int?
    ) -> Function {
        let latest = Version(
            number: .latest, configuration: configuration, package: code.package, codeDigest: code.codeDigest,
            codeSizeBytes: code.sizeBytes, model: model, revision: UniqueID.random(), modifiedAt: now)
        return Function(
            id: catalog.nextFunctionID, name: name, latest: latest, reservedConcurrency: reservedConcurrency,
            lastPublished: catalog.nextVersion(of: name) - 1, isUpdatedSincePublish: true, createdAt: now)
    }

    /// Unpacks a zip, or looks up a folder, and checks that the runtime finds what it starts with.
    func store(_ source: PackageSource, runtime: Runtime) async throws(ManagementError) -> StoredCode {
        let code: StoredCode
        switch source {
        case .zip(let bytes):
            let stored = try await stored { store throws(ArtifactError) in try store.storeZip(bytes) }
            code = StoredCode(package: stored.manifest, codeDigest: stored.codeDigest, sizeBytes: stored.codeSizeBytes)
        case .manifest(let digest):
            let manifest = try await self.manifest(digest)
            code = StoredCode(package: digest, codeDigest: digest, sizeBytes: manifest.sizeBytes)
        }
        try await check(code.package, runsOn: runtime)
        return code
    }

    /// Refuses a package without what the runtime starts.
    private func check(_ package: Digest, runsOn runtime: Runtime) async throws(ManagementError) {
        switch runtime {
        case .python3: break
        case .swift, .provided:
            let manifest = try await self.manifest(package)
            let bootstrap = manifest.files.first { $0.path.elementsEqual("bootstrap".utf8) }
            guard let bootstrap, bootstrap.isExecutable else {
                throw .invalid("The package has no executable file 'bootstrap', which runtime \(runtime) needs.")
            }
        }
    }

    /// A stored manifest all of whose files are stored. It counts as used, with all of them; for longer than the grace time
    /// only within a `beginUse` of the caller's.
    package func manifest(_ digest: Digest) async throws(ManagementError) -> Manifest {
        try await stored { store throws(ArtifactError) in
            _ = store.freshen(digest)
            let manifest = try store.manifest(digest)
            try store.requireFiles(of: manifest)
            return manifest
        }
    }
}

extension Function {
    /// Makes a published version of `$LATEST`.
    mutating func publish(as number: Int, description: String?) -> Version {
        var version = Version(
            number: .published(number), configuration: latest.configuration, package: latest.package,
            codeDigest: latest.codeDigest, codeSizeBytes: latest.codeSizeBytes, model: latest.model,
            revision: UniqueID.random(), modifiedAt: now)
        if let description { version.configuration.description = description }
        lastPublished = number
        isUpdatedSincePublish = false
        return version
    }

    /// After any update of `$LATEST`, also one that changed nothing.
    mutating func touch() {
        latest.revision = UniqueID.random()
        latest.modifiedAt = now
        isUpdatedSincePublish = true
    }
}

extension Version {
    mutating func take(_ code: StoredCode) {
        package = code.package
        codeDigest = code.codeDigest
        codeSizeBytes = code.sizeBytes
    }

    func check(revision given: String?) throws(ManagementError) {
        if let given, given != revision { throw .revisionMismatch }
    }
}

var now: Timestamp { EventLoop.wallClock }
