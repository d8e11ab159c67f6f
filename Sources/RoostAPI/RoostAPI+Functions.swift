package import Domain
internal import JSON
package import LambdaAPI
internal import Management
internal import Workers

extension RoostAPI {
    func rollBack(
        _ resource: String, _ name: String, _ request: WireRequest
    ) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let alias = try lambda.aliasName(name)
        let body = try await lambda.object(request.body)
        let why = try read { () throws(JSONReadError) in
            let why = try body.optional("Why", as: String.self) ?? ""
            try body.refuseUnknown()
            return why
        }
        guard why.utf8.count <= Self.whyBytesMax else {
            throw .invalid("Why has \(why.utf8.count) bytes; allowed are \(Self.whyBytesMax).")
        }
        let (made, change) = try await verb { () async throws(ManagementError) in
            try await management.rollBack(function, alias, by: request.caller, why: why)
        }
        guard case .object(var document) = AliasDocument.make(function, made) else {
            preconditionFailure("an alias is an object")
        }
        document["From"] = Self.target(change.from)
        document["Undoes"] = change.undoes.map(JSONValue.integer) ?? .null
        return .json(.object(document))
    }

    private static let whyBytesMax = 1024

    func aliasHistory(_ resource: String, _ name: String) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let alias = try lambda.aliasName(name)
        let history = try await verb { () async throws(ManagementError) in
            try await management.aliasHistory(function, alias)
        }
        // The history of an alias outlives it.
        guard !history.isEmpty else { throw WireError(.aliasNotFound(function, alias)) }
        return .json(["History": .array(history.map(Self.change))])
    }

    private static func change(_ change: AliasChange) -> JSONValue {
        var document: JSONObject = [
            "Sequence": .integer(change.sequence), "From": target(change.from), "To": target(change.to),
            "Cause": .string(change.cause.rawValue),
        ]
        if let undoes = change.undoes { document["Undoes"] = .integer(undoes) }
        document["At"] = change.at.json
        document["By"] = .string(change.by)
        document["Why"] = .string(change.why)
        return .object(document)
    }

    private static func target(_ target: Alias.Target?) -> JSONValue {
        target.map { .object(AliasDocument.target($0)) } ?? .null
    }

    func versions(_ resource: String) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let entry: Catalog.Entry
        do throws(ManagementError) { entry = try management.catalog.entry(function) } catch { throw WireError(error) }
        var aliases: [VersionNumber: [AliasName]] = [:]
        for alias in entry.aliases.values {
            aliases[alias.target.version, default: []].append(alias.name)
            if let additional = alias.target.additional {
                aliases[.published(additional.version), default: []].append(alias.name)
            }
        }
        let all = [entry.function.latest] + entry.versions.sorted { $0.key > $1.key }.map(\.value)
        let documents: [JSONValue] = all.map { version in
            [
                "Version": .string(version.number.description),
                "CodeSha256": .string(Base64.encode(version.codeDigest.bytes)),
                "Package": .string(version.package.description),
                "Model": version.model.map { .string($0.description) } ?? .null,
                "LastModified": .string(version.modifiedAt.lambdaText),
                "Description": .string(version.configuration.description),
                "Lineage": version.lineage.flatMap { try? JSONValue.parse($0) } ?? .null,
                "Aliases": .array((aliases[version.number] ?? []).sorted().map { .string($0.text) }),
            ]
        }
        return .json(["Versions": .array(documents)])
    }

    // MARK: - Logs

    package struct LogQuery: Equatable, Sendable {
        package let function: FunctionName
        /// How many of the newest lines come first.
        package let linesCount: Int
        /// Whether the answer stays open for the lines to come.
        package let follow: Bool
    }

    package func logQuery(_ resource: String, _ request: WireRequest) throws(WireError) -> LogQuery {
        let function = try FunctionReference(unqualified: resource).name
        let lines = try request.integer("lines", in: 0...100_000) ?? 100
        let follow = try request.boolean("follow") ?? false
        // A function's log is read through its name, so one that is gone has none.
        guard management.catalog.entries[function] != nil else { throw WireError(.functionNotFound(function, nil)) }
        return LogQuery(function: function, linesCount: lines, follow: follow)
    }

    /// The lines that are there: an answer of its own, or the start of a followed one.
    package func logTail(_ query: LogQuery) async -> WireResponse {
        let lines = query.linesCount == 0 ? [] : await logs.tail(query.function, lines: query.linesCount)
        return WireResponse(status: 200, headers: [("Content-Type", "text/plain; charset=utf-8")], body: lines)
    }
}
