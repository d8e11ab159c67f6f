package import Domain
package import JSON
internal import Management
internal import Manifests

extension LambdaAPI {
    func publishVersion(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let current = try entry(function).function.latest
        let body = try await object(request.body)
        let (code, description, revision) = try read { () throws(JSONReadError) in
            (
                try body.optional("CodeSha256", as: String.self), try body.optional("Description", as: String.self),
                try body.optional("RevisionId", as: String.self)
            )
        }
        try ConfigurationPatch.refuse(body, "PublishTo")
        try read { () throws(JSONReadError) in try body.refuseUnknown() }
        var violations = Violations()
        if let description {
            violations.check(description, at: "description", length: 0...ConfigurationLimits.descriptionLengthMax)
        }
        try violations.refuse()
        var digest: Digest?
        if let code, !code.isEmpty {
            guard let bytes = Base64.decode(code), bytes.count == 32 else {
                throw .codeDigestMismatch(given: code, current: Base64.encode(current.codeDigest.bytes))
            }
            digest = Digest(bytes: bytes)
        }
        let version = try await verb { () async throws(ManagementError) in
            try await management.publishVersion(
                function, codeDigest: digest, description: description, revision: revision,
                by: request.caller)
        }
        return .json(FunctionDocument.make(function, version, qualifier: .version(version.number)), status: 201)
    }

    func listVersions(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let page = try Page(
            try entry(function).allVersions, of: .listVersionsByFunction, request,
            position: { [$0.number.description] },
            isAfter: { version, last throws(WireError) in
                guard last.count == 1, let number = VersionNumber(last[0]) else {
                    throw .invalid("Marker is not one of this list.")
                }
                return version.number > number
            })
        return page.response("Versions") {
            FunctionDocument.make(function, $0, qualifier: .version($0.number), .summary)
        }
    }

    // MARK: - Aliases

    func createAlias(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let body = try await object(request.body)
        let (name, number) = try read { () throws(JSONReadError) in
            (try body.optional("Name", as: String.self), try body.optional("FunctionVersion", as: String.self))
        }
        var violations = Violations()
        violations.requireValue(name, at: "name")
        violations.requireValue(number, at: "functionVersion")
        try violations.refuse()
        let alias = try aliasName(name!)
        let (version, additional, description) = try aliasFields(body, number, function)
        let made = try await verb { () async throws(ManagementError) in
            try await management.createAlias(
                function, alias, Alias.Target(version: version!, additional: additional ?? nil),
                description: description ?? "", by: request.caller)
        }
        return .json(AliasDocument.make(function, made), status: 201)
    }

    func updateAlias(
        _ resource: String, _ name: String, _ request: WireRequest
    ) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let alias = try aliasName(name)
        let body = try await object(request.body)
        let (number, revision) = try read { () throws(JSONReadError) in
            (try body.optional("FunctionVersion", as: String.self), try body.optional("RevisionId", as: String.self))
        }
        let (version, additional, description) = try aliasFields(body, number, function)
        let made = try await verb { () async throws(ManagementError) in
            try await management.updateAlias(
                function, alias, version: version, additional: additional, description: description,
                revision: revision, by: request.caller)
        }
        return .json(AliasDocument.make(function, made))
    }

    func getAlias(_ resource: String, _ name: String) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let alias = try aliasName(name)
        guard let found = try entry(function).aliases[alias] else {
            throw WireError(.aliasNotFound(function, alias), .readingAlias)
        }
        return .json(AliasDocument.make(function, found))
    }

    func listAliases(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        var all = try entry(function).aliases.values.sorted { $0.name < $1.name }
        if let text = request.query("FunctionVersion") {
            let number = try versionNumber(text, function)
            all.removeAll {
                $0.target.version != number && $0.target.additional.map { .published($0.version) } != number
            }
        }
        let page = try Page(
            all, of: .listAliases, request, position: { [$0.name.text] },
            isAfter: { alias, last throws(WireError) in alias.name.text > last[0] })
        return page.response("Aliases") { AliasDocument.make(function, $0) }
    }

    func deleteAlias(
        _ resource: String, _ name: String, _ request: WireRequest
    ) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let alias = try aliasName(name)
        try await verb { () async throws(ManagementError) in
            try await management.deleteAlias(function, alias, by: request.caller)
        }
        return .noContent
    }

    // MARK: - Parts

    package func aliasName(_ text: String) throws(WireError) -> AliasName {
        if let name = AliasName(text) { return name }
        var violations = Violations()
        violations.check(text, at: "name", length: 1...AliasName.lengthMax)
        let isWord = !text.isEmpty && text.utf8.allSatisfy(isWordByte)
        let isNumber = text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        violations.check(text, at: "name", pattern: "(?!^[0-9]+$)([a-zA-Z0-9-_]+)", isWord && !isNumber)
        try violations.refuse()
        preconditionFailure("the checks say less than AliasName")
    }

    private func versionNumber(_ text: String, _ function: FunctionName) throws(WireError) -> VersionNumber {
        var violations = Violations()
        violations.check(
            text, at: "functionVersion", pattern: #"(\$LATEST|[0-9]+)"#,
            text == "$LATEST" || (!text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }))
        try violations.refuse()
        // Zero, and numbers past 63 bits.
        guard let number = VersionNumber(text) else {
            throw WireError(.resourceNotFound, "Function not found: \(ARN.function(function)):\(text)")
        }
        return number
    }

    /// What creation and update have in common.
    ///
    /// - Returns: with `additional` as `nil` when the request leaves it, and `.some(nil)` when it takes it away.
    private func aliasFields(
        _ body: JSONObjectReader, _ number: String?, _ function: FunctionName
    ) throws(WireError) -> (version: VersionNumber?, additional: Alias.Weight??, description: String?) {
        let (description, routing) = try read { () throws(JSONReadError) in
            (try body.optional("Description", as: String.self), try body.optionalObject("RoutingConfig"))
        }
        var weights: [String: Double]?
        if let routing {
            weights = try read { () throws(JSONReadError) in
                let weights = try routing.optional("AdditionalVersionWeights", as: [String: Double].self)
                try routing.refuseUnknown()
                return weights ?? [:]
            }
        }
        try read { () throws(JSONReadError) in try body.refuseUnknown() }
        var violations = Violations()
        if let description {
            violations.check(description, at: "description", length: 0...ConfigurationLimits.descriptionLengthMax)
        }
        for (key, weight) in weights ?? [:] {
            let field = "routingConfig.additionalVersionWeights"
            violations.check(
                key, at: field, pattern: "[0-9]+", !key.isEmpty && key.utf8.allSatisfy { (0x30...0x39).contains($0) })
            if weight < 0 {
                violations.add("\(weight)", at: field, "Member must have value greater than or equal to 0.0")
            } else if !(weight <= 1) {
                violations.add("\(weight)", at: field, "Member must have value less than or equal to 1.0")
            }
        }
        try violations.refuse()
        let version = try number.map { text throws(WireError) in try versionNumber(text, function) }
        guard let weights else { return (version, nil, description) }
        guard let (key, weight) = weights.first else { return (version, .some(nil), description) }
        guard weights.count == 1 else {
            throw .invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
        }
        guard case .published(let additional) = try versionNumber(key, function) else {
            preconditionFailure("its pattern is digits")
        }
        return (version, .some(Alias.Weight(version: additional, weight: weight)), description)
    }
}

/// An alias as clients see it.
package enum AliasDocument {
    package static func make(_ function: FunctionName, _ alias: Alias) -> JSONValue {
        var document: JSONObject = [
            "AliasArn": .string(ARN.function(function, .alias(alias.name))), "Name": .string(alias.name.text),
        ]
        for entry in target(alias.target).entries { document[entry.key] = entry.value }
        document["Description"] = .string(alias.description)
        document["RevisionId"] = .string(alias.revision)
        return .object(document)
    }

    /// `FunctionVersion`, and `RoutingConfig` when there is a second version.
    package static func target(_ target: Alias.Target) -> JSONObject {
        var document: JSONObject = ["FunctionVersion": .string(target.version.description)]
        if let additional = target.additional {
            document["RoutingConfig"] = [
                "AdditionalVersionWeights": .object([String(additional.version): .real(additional.weight)])
            ]
        }
        return document
    }
}
