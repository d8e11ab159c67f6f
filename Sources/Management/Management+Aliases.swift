package import Domain
internal import Registry

extension Management {
    package func createAlias(
        _ name: FunctionName, _ alias: AliasName, _ target: Alias.Target, description: String, by caller: Caller
    ) async throws(ManagementError) -> Alias {
        try await perform("CreateAlias", name, subject: alias.text, by: caller) {
            () async throws(ManagementError) -> ([Change], Alias) in
            let entry = try catalog.entry(name)
            if entry.aliases[alias] != nil { throw .aliasExists(name, alias) }
            try check(target, in: entry)
            let new = Alias(name: alias, target: target, description: description, revision: UniqueID.random())
            let change = AliasChange(
                alias: alias, from: nil, to: target, cause: .created, at: now, by: caller.name, why: "")
            return ([.putAlias(entry.function.id, new, change)], new)
        }
    }

    /// `nil` keeps what is there.
    ///
    /// - Parameter additional: `.some(nil)` removes the second version.
    package func updateAlias(
        _ name: FunctionName, _ alias: AliasName, version: VersionNumber?, additional: Alias.Weight??,
        description: String?, revision: String?, by caller: Caller, why: String = ""
    ) async throws(ManagementError) -> Alias {
        try await perform("UpdateAlias", name, subject: alias.text, by: caller) {
            () async throws(ManagementError) -> ([Change], Alias) in
            let entry = try catalog.entry(name)
            guard var new = entry.aliases[alias] else { throw .aliasNotFound(name, alias) }
            if let revision, revision != new.revision { throw .revisionMismatch }
            let from = new.target
            if let version { new.target.version = version }
            if let additional { new.target.additional = additional }
            if let description { new.description = description }
            try check(new.target, in: entry)
            return (try move(&new, of: entry, from: from, .updated, by: caller.name, why: why), new)
        }
    }

    /// An alias that is not there is no error.
    package func deleteAlias(_ name: FunctionName, _ alias: AliasName, by caller: Caller) async throws(ManagementError)
    {
        try await perform("DeleteAlias", name, subject: alias.text, by: caller) {
            () async throws(ManagementError) -> ([Change], Void) in
            let entry = try catalog.entry(name)
            guard let old = entry.aliases[alias] else { return ([], ()) }
            let change = AliasChange(
                alias: alias, from: old.target, to: nil, cause: .deleted, at: now, by: caller.name, why: "")
            return ([.deleteAlias(entry.function.id, alias, change)], ())
        }
    }

    /// Undoes the newest change of the alias that is not undone yet: once more goes one further back.
    package func rollBack(
        _ name: FunctionName, _ alias: AliasName, by caller: Caller, why: String
    ) async throws(ManagementError) -> (alias: Alias, change: AliasChange) {
        try await perform("RollBackAlias", name, subject: alias.text, by: caller) {
            () async throws(ManagementError) -> ([Change], (Alias, AliasChange)) in
            let entry = try catalog.entry(name)
            guard var current = entry.aliases[alias] else { throw .aliasNotFound(name, alias) }
            let history = try await self.history(of: alias, in: entry)
            guard let undone = RollBack.target(history), let target = undone.from else {
                throw .nothingToRollBack(name, alias)
            }
            // A version that no alias points to may have been deleted since.
            try check(target, in: entry)
            let from = current.target
            current.target = target
            current.revision = UniqueID.random()
            let change = AliasChange(
                alias: alias, from: from, to: target, cause: .rolledBack, undoes: undone.sequence, at: now,
                by: caller.name, why: why)
            return ([.putAlias(entry.function.id, current, change)], (current, change))
        }
    }

    /// Newest first.
    package func aliasHistory(
        _ name: FunctionName, _ alias: AliasName
    ) async throws(ManagementError) -> [AliasChange] {
        try await history(of: alias, in: try catalog.entry(name))
    }

    // MARK: - Parts

    private func history(
        of alias: AliasName, in entry: Catalog.Entry
    ) async throws(ManagementError) -> [AliasChange] {
        do throws(RegistryError) {
            return try await registry.aliasHistory(function: entry.function.id, alias: alias, limit: 10_000)
        } catch {
            throw .registry(error)
        }
    }

    func move(
        _ alias: inout Alias, of entry: Catalog.Entry, from: Alias.Target, _ cause: AliasChange.Cause, by: String,
        why: String
    ) throws(ManagementError) -> [Change] {
        alias.revision = UniqueID.random()
        let change = AliasChange(
            alias: alias.name, from: from, to: alias.target, cause: cause, at: now, by: by, why: why)
        return [.putAlias(entry.function.id, alias, change)]
    }

    private func check(_ target: Alias.Target, in entry: Catalog.Entry) throws(ManagementError) {
        guard entry.version(target.version) != nil else {
            throw .versionNotFound(entry.function.name, target.version)
        }
        guard let additional = target.additional else { return }
        guard target.version != .latest else {
            throw .invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        }
        guard target.version != .published(additional.version) else {
            throw .invalid(
                "Invalid function version \(additional.version). Function version \(additional.version) is already "
                    + "included in routing configuration.")
        }
        guard entry.versions[additional.version] != nil else {
            throw .versionNotFound(entry.function.name, .published(additional.version))
        }
    }
}

/// Which change a roll-back undoes. The history reads as a stack: moves push, roll-backs pop.
enum RollBack {
    /// - Parameter history: of one alias, newest first.
    /// - Returns: the newest move that is not undone; `nil` when there is none since the alias was created.
    static func target(_ history: [AliasChange]) -> AliasChange? {
        var undone: Set<Int64> = []
        for change in history {
            switch change.cause {
            case .rolledBack:
                if let sequence = change.undoes { undone.insert(sequence) }
            case .updated, .promoted:
                if change.from != change.to, !undone.contains(change.sequence) { return change }
            case .created, .deleted:
                return nil
            }
        }
        return nil
    }
}
