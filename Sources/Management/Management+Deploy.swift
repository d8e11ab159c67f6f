internal import Artifacts
package import Domain
package import Registry

/// A function folder as `deploy` sends it: all of it takes effect in one commit, or nothing.
package struct Deployment: Sendable {
    /// One of the two functions that a folder can make.
    package struct Part: Sendable {
        package var name: FunctionName
        package var configuration: FunctionConfiguration
        package var reservedConcurrency: Int?

        package init(name: FunctionName, configuration: FunctionConfiguration, reservedConcurrency: Int?) {
            self.name = name
            self.configuration = configuration
            self.reservedConcurrency = reservedConcurrency
        }
    }

    package var function: Part
    /// The training function `<name>-train`, when the folder has one. It shares the package.
    package var training: Part?
    /// Manifest of the package.
    package var package: Digest
    /// Manifest of the model; `nil` keeps the one that `$LATEST` has.
    package var model: Digest?
    package var publish: Bool

    package init(function: Part, training: Part?, package: Digest, model: Digest?, publish: Bool) {
        self.function = function
        self.training = training
        self.package = package
        self.model = model
        self.publish = publish
    }
}

extension Management {
    /// Creates or updates the function and its training function. A part that is as it was before stays untouched, with
    /// its workers.
    ///
    /// - Returns: `$LATEST`, or the published version when `publish` is set.
    package func deploy(_ deployment: Deployment, by caller: Caller) async throws(ManagementError) -> Version {
        let use = artifacts.beginUse()
        defer { use.end() }
        let code = try await store(.manifest(deployment.package), runtime: deployment.function.configuration.runtime)
        if let model = deployment.model { _ = try await manifest(model) }
        return try await perform("Deploy", deployment.function.name, by: caller) {
            () async throws(ManagementError) -> ([Change], Version) in
            for part in [deployment.function, deployment.training].compactMap({ $0 }) {
                if let entry = catalog.entries[part.name] { try check(reserved: part.reservedConcurrency, of: entry) }
            }
            var changes: [Change] = []
            var function = placed(deployment.function, code, model: deployment.model)
            var answer = function.latest
            var version: Version?
            if deployment.publish {
                if !function.isUpdatedSincePublish,
                    let newest = catalog.entries[function.name]?.versions[function.lastPublished]
                {
                    answer = newest
                } else {
                    answer = function.publish(as: catalog.nextVersion(of: function.name), description: nil)
                    version = answer
                }
            }
            if catalog.entries[function.name]?.function != function { changes.append(.putFunction(function)) }
            if let version { changes.append(.putVersion(function.id, version)) }
            if let part = deployment.training {
                var training = placed(part, code, model: nil)
                // Both may be new; ids are given in order.
                if catalog.entries[training.name] == nil, catalog.entries[function.name] == nil {
                    training = training.renumbered(Function.ID(function.id.value + 1))
                }
                if catalog.entries[training.name]?.function != training { changes.append(.putFunction(training)) }
            }
            return (changes, answer)
        }
    }

    private func placed(_ part: Deployment.Part, _ code: StoredCode, model: Digest?) -> Function {
        guard var function = catalog.entries[part.name]?.function else {
            return newFunction(
                part.name, part.configuration, code, model: model, reservedConcurrency: part.reservedConcurrency)
        }
        let before = function.latest
        function.reservedConcurrency = part.reservedConcurrency
        function.latest.configuration = part.configuration
        function.latest.take(code)
        if let model { function.latest.model = model }
        if function.latest != before { function.touch() }
        return function
    }

    /// Publishes what a training made: the base version's package and configuration with the new model, which becomes
    /// `$LATEST`'s too; moves the alias if asked; and ends the execution. One commit, so it happens once or not at all.
    ///
    /// - Parameter finish: given the published number, the changes that end the execution.
    /// - Parameter promote: the alias that moves, decided while nobody else can move it; called before `finish`.
    /// - Parameter lineage: where the version comes from, as JSON.
    package func publishTrained(
        _ name: FunctionName, base: VersionNumber, model: Digest, by caller: Caller, lineage: String,
        promote: (Catalog.Entry) -> AliasName?, finish: (Int) -> [Change]
    ) async throws(ManagementError) -> Version {
        try await perform("PublishTrainedVersion", name, by: caller) {
            () async throws(ManagementError) -> ([Change], Version) in
            let entry = try catalog.entry(name)
            guard let base = entry.version(base) else { throw .versionNotFound(name, base) }
            let number = catalog.nextVersion(of: name)
            let version = Version(
                number: .published(number), configuration: base.configuration, package: base.package,
                codeDigest: base.codeDigest, codeSizeBytes: base.codeSizeBytes, model: model,
                revision: UniqueID.random(), modifiedAt: now, lineage: lineage)
            var function = entry.function
            function.lastPublished = number
            function.latest.model = model
            function.latest.revision = UniqueID.random()
            function.latest.modifiedAt = now
            // What differs from the new version has still not been published.
            function.isUpdatedSincePublish =
                function.latest.package != version.package
                || function.latest.configuration != version.configuration
            var changes: [Change] = [.putFunction(function), .putVersion(function.id, version)]
            if let promote = promote(entry) {
                let target = Alias.Target(version: .published(number))
                if var alias = entry.aliases[promote] {
                    let from = alias.target
                    alias.target = target
                    changes += try move(&alias, of: entry, from: from, .promoted, by: caller.name, why: "trained")
                } else {
                    let alias = Alias(name: promote, target: target, description: "", revision: UniqueID.random())
                    let change = AliasChange(
                        alias: promote, from: nil, to: target, cause: .created, at: now, by: caller.name,
                        why: "trained")
                    changes.append(.putAlias(function.id, alias, change))
                }
            }
            return (changes + finish(number), version)
        }
    }
}

extension Function {
    func renumbered(_ id: ID) -> Function {
        Function(
            id: id, name: name, latest: latest, reservedConcurrency: reservedConcurrency,
            lastPublished: lastPublished, isUpdatedSincePublish: isUpdatedSincePublish, createdAt: createdAt,
            tags: tags)
    }
}
