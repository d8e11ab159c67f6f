package import Domain
internal import Registry

extension Management {
    /// - Parameter qualifier: a published version or an alias that points to one.
    package func putProvisionedConcurrency(
        _ name: FunctionName, _ qualifier: Qualifier, _ requested: Int, by caller: Caller
    ) async throws(ManagementError) -> ProvisionedConcurrency {
        try await perform("PutProvisionedConcurrencyConfig", name, subject: qualifier.description, by: caller) {
            () async throws(ManagementError) -> ([Change], ProvisionedConcurrency) in
            let entry = try catalog.entry(name, having: qualifier)
            guard let version = entry.provisionedVersion(qualifier) else {
                throw .invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
            }
            if let trained = version.configuration.settings.trains {
                throw .invalid("\(name) trains \(trained): each of its executions has a worker of its own.")
            }
            try refuseTwice(qualifier, version, entry)
            let others = entry.provisionedSum - (entry.provisionedConcurrency[qualifier]?.requested ?? 0)
            if let reserved = entry.function.reservedConcurrency, others + requested > reserved {
                throw .invalid(
                    "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                        + "function")
            }
            try checkCapacity(name, qualifier, requested, version)
            let new = ProvisionedConcurrency(qualifier: qualifier, requested: requested, modifiedAt: now)
            return ([.putProvisionedConcurrency(entry.function.id, new)], new)
        }
    }

    /// One that is not there is no error.
    package func deleteProvisionedConcurrency(
        _ name: FunctionName, _ qualifier: Qualifier, by caller: Caller
    ) async throws(ManagementError) {
        try await perform("DeleteProvisionedConcurrencyConfig", name, subject: qualifier.description, by: caller) {
            () async throws(ManagementError) -> ([Change], Void) in
            let entry = try catalog.entry(name, having: qualifier)
            guard entry.provisionedConcurrency[qualifier] != nil else { return ([], ()) }
            return ([.deleteProvisionedConcurrency(entry.function.id, qualifier)], ())
        }
    }

    // MARK: - Parts

    /// What is provisioned must be within what is reserved.
    func check(reserved: Int?, of entry: Catalog.Entry) throws(ManagementError) {
        guard let reserved, reserved < entry.provisionedSum else { return }
        throw .invalid(
            " ReservedConcurrentExecutions  \(reserved) should not be lower than function's total provisioned "
                + "concurrency [\(entry.provisionedSum)].")
    }

    /// A version has workers in its own right or as an alias's, not both.
    private func refuseTwice(
        _ qualifier: Qualifier, _ version: Version, _ entry: Catalog.Entry
    ) throws(ManagementError) {
        switch qualifier {
        case .alias:
            if entry.provisionedConcurrency[.version(version.number)] != nil {
                throw .conflict(
                    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
            }
        case .version:
            let isPointedTo = entry.provisionedConcurrency.keys.contains { other in
                if case .alias = other { entry.provisionedVersion(other)?.number == version.number } else { false }
            }
            if isPointedTo { throw .conflict("Version is pointed by a Provisioned Concurrency alias") }
        }
    }

    /// All that is provisioned must fit into the host.
    private func checkCapacity(
        _ name: FunctionName, _ qualifier: Qualifier, _ requested: Int, _ version: Version
    ) throws(ManagementError) {
        func workers(_ requested: Int, _ version: Version) -> Int {
            let each = version.configuration.settings.workerConcurrency
            return requested / each + (requested % each == 0 ? 0 : 1)
        }
        var workersLeft = capacity.workersMax
        var memoryLeft = capacity.memoryMegabytesMax
        for entry in catalog.entries.values {
            for other in entry.provisionedConcurrency.values {
                guard entry.function.name != name || other.qualifier != qualifier,
                    let version = entry.provisionedVersion(other.qualifier)
                else { continue }
                let count = workers(other.requested, version)
                workersLeft -= count
                memoryLeft -= count * version.configuration.memoryMegabytes
            }
        }
        let count = workers(requested, version)
        guard count <= workersLeft else {
            throw .invalid(
                "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
                    + "[\(max(0, workersLeft))].")
        }
        let memory = version.configuration.memoryMegabytes
        guard count <= max(0, memoryLeft) / memory else {
            throw .invalid(
                "\(count) workers of \(memory) MB are more than the \(max(0, memoryLeft)) MB that this host has left "
                    + "for provisioned concurrency.")
        }
    }
}

extension Catalog {
    /// - Throws: what names the version or the alias, when the function has none such.
    package func entry(_ name: FunctionName, having qualifier: Qualifier) throws(ManagementError) -> Entry {
        guard let entry = entries[name], entry.has(qualifier) else {
            switch qualifier {
            case .version(let number): throw .versionNotFound(name, number)
            case .alias(let alias): throw .aliasNotFound(name, alias)
            }
        }
        return entry
    }
}
