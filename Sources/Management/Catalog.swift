package import Domain
package import Registry

/// What routing needs, in memory: the functions with their versions and aliases as the registry has them.
///
/// Lives on the loop. Changed only by `apply`, after the same change is on disk.
package final class Catalog {
    /// One function and all that belongs to it.
    package struct Entry {
        package var function: Function
        package var versions: [Int: Version] = [:]
        package var aliases: [AliasName: Alias] = [:]
        /// By qualifier, `$LATEST` for invocations without one.
        package var eventInvokeConfigurations: [Qualifier: EventInvokeConfiguration] = [:]
        /// By qualifier, which is a published version or an alias.
        package var provisionedConcurrency: [Qualifier: ProvisionedConcurrency] = [:]

        /// `nil` when that version was never published, or deleted.
        package func version(_ number: VersionNumber) -> Version? {
            switch number {
            case .latest: function.latest
            case .published(let number): versions[number]
            }
        }

        /// Whether it is a version or an alias of the function.
        package func has(_ qualifier: Qualifier) -> Bool {
            switch qualifier {
            case .version(let number): version(number) != nil
            case .alias(let name): aliases[name] != nil
            }
        }

        /// The version whose workers are provisioned for a qualifier: of an alias the one that it points to, whatever its
        /// weights. `nil` for an alias that points to `$LATEST`, which cannot be.
        package func provisionedVersion(_ qualifier: Qualifier) -> Version? {
            switch qualifier {
            case .version(.published(let number)): return versions[number]
            case .version(.latest): return nil
            case .alias(let name):
                guard case .published(let number)? = aliases[name]?.target.version else { return nil }
                return versions[number]
            }
        }

        /// Requested of all its versions together.
        package var provisionedSum: Int { provisionedConcurrency.values.reduce(0) { $0 + $1.requested } }

        fileprivate mutating func removeConfigurations(of qualifier: Qualifier) {
            eventInvokeConfigurations[qualifier] = nil
            provisionedConcurrency[qualifier] = nil
        }
    }

    /// What a reference to a function comes down to.
    package struct Route {
        package let function: Function
        package let version: Version

        package init(function: Function, version: Version) {
            self.function = function
            self.version = version
        }
    }

    package private(set) var entries: [FunctionName: Entry] = [:]
    private var names: [Function.ID: FunctionName] = [:]
    private var versionCounters: [FunctionName: Int]
    private var functionIDMax: Int64

    package init(_ snapshot: Snapshot) {
        versionCounters = snapshot.versionCounters
        functionIDMax = snapshot.functionIDMax
        for stored in snapshot.functions {
            var entry = Entry(function: stored.function)
            for version in stored.versions {
                guard case .published(let number) = version.number else { continue }
                entry.versions[number] = version
            }
            for alias in stored.aliases { entry.aliases[alias.name] = alias }
            for configuration in stored.eventInvokeConfigurations {
                entry.eventInvokeConfigurations[configuration.qualifier] = configuration
            }
            for provisioned in stored.provisionedConcurrency {
                entry.provisionedConcurrency[provisioned.qualifier] = provisioned
            }
            entries[stored.function.name] = entry
            names[stored.function.id] = stored.function.name
        }
    }

    package func entry(_ name: FunctionName) throws(ManagementError) -> Entry {
        guard let entry = entries[name] else { throw .functionNotFound(name, nil) }
        return entry
    }

    package func entry(_ id: Function.ID) -> Entry? { names[id].flatMap { entries[$0] } }

    /// The version that an invocation of `name` with `qualifier` runs, drawn anew each time when an alias has weights.
    ///
    /// - Parameter draw: a number in 0..<1; what decides between the versions of a weighted alias.
    package func route(
        _ name: FunctionName, _ qualifier: Qualifier?, draw: @autoclosure () -> Double = .random(in: 0..<1)
    ) throws(ManagementError) -> Route {
        guard let entry = entries[name] else { throw .functionNotFound(name, qualifier) }
        let number: VersionNumber
        switch qualifier {
        case nil: number = .latest
        case .version(let named): number = named
        case .alias(let alias):
            guard let target = entry.aliases[alias]?.target else { throw .functionNotFound(name, qualifier) }
            if let additional = target.additional, draw() < additional.weight {
                number = .published(additional.version)
            } else {
                number = target.version
            }
        }
        guard let version = entry.version(number) else { throw .functionNotFound(name, qualifier) }
        return Route(function: entry.function, version: version)
    }

    /// The next number to publish under `name`. Numbers are not reused, not even by a function of the same name made anew.
    package func nextVersion(of name: FunctionName) -> Int { (versionCounters[name] ?? 0) + 1 }

    package var nextFunctionID: Function.ID { Function.ID(functionIDMax + 1) }

    package func apply(_ change: Change) {
        switch change {
        case .putFunction(let function):
            functionIDMax = max(functionIDMax, function.id.value)
            names[function.id] = function.name
            count(function.lastPublished, of: function.name)
            if entries[function.name]?.function.id == function.id {
                entries[function.name]?.function = function
            } else {
                entries[function.name] = Entry(function: function)
            }
        case .deleteFunction(let id):
            if let name = names.removeValue(forKey: id) { entries[name] = nil }
        case .putVersion(let id, let version):
            guard let name = names[id], case .published(let number) = version.number else { return }
            entries[name]?.versions[number] = version
            count(number, of: name)
        case .deleteVersion(let id, let number):
            guard let name = names[id] else { return }
            entries[name]?.versions[number] = nil
            entries[name]?.removeConfigurations(of: .version(.published(number)))
        case .putAlias(let id, let alias, _):
            if let name = names[id] { entries[name]?.aliases[alias.name] = alias }
        case .deleteAlias(let id, let alias, _):
            guard let name = names[id] else { return }
            entries[name]?.aliases[alias] = nil
            entries[name]?.removeConfigurations(of: .alias(alias))
        case .putEventInvokeConfiguration(let id, let configuration):
            if let name = names[id] {
                entries[name]?.eventInvokeConfigurations[configuration.qualifier] = configuration
            }
        case .deleteEventInvokeConfiguration(let id, let qualifier):
            if let name = names[id] { entries[name]?.eventInvokeConfigurations[qualifier] = nil }
        case .putProvisionedConcurrency(let id, let provisioned):
            if let name = names[id] { entries[name]?.provisionedConcurrency[provisioned.qualifier] = provisioned }
        case .deleteProvisionedConcurrency(let id, let qualifier):
            if let name = names[id] { entries[name]?.provisionedConcurrency[qualifier] = nil }
        case .addExecution, .updateExecution, .addEvents, .deleteExecution, .deleteEndedExecutions, .addDelivery,
            .postponeDelivery, .endDelivery, .addDatasetVersion, .removeDataset, .addAudit:
            break
        }
    }

    private func count(_ published: Int, of name: FunctionName) {
        versionCounters[name] = max(versionCounters[name] ?? 0, published)
    }
}
