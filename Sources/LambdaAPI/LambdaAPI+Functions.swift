internal import Artifacts
package import Domain
internal import JSON
internal import Loop
internal import Management
internal import Manifests
internal import Signing

extension LambdaAPI {
    func createFunction(_ request: WireRequest) async throws(WireError) -> WireResponse {
        let body = try await object(request.body)
        let (name, role) = try read { () throws(JSONReadError) in
            (try body.optional("FunctionName", as: String.self), try body.optional("Role", as: String.self))
        }
        var violations = Violations()
        violations.requireValue(name, at: "functionName")
        violations.requireValue(role, at: "role")
        violations.requireValue(body.object["Code"], at: "code")
        try violations.refuse()
        let function = try FunctionReference(new: name!).name
        try request.require([.manage], function, Operation.Name.createFunction.rawValue)
        let patch = try ConfigurationPatch(body, rules)
        try requireTrained(patch, request, .createFunction)
        let tags = try Tags.member(of: body) ?? [:]
        let publish = try read { () throws(JSONReadError) in try body.optional("Publish", as: Bool.self) ?? false }
        let code = try read { () throws(JSONReadError) in try body.requiredObject("Code") }
        let zip = try read { () throws(JSONReadError) in try zipFile(code) }
        try read { () throws(JSONReadError) in
            try code.refuseUnknown()
            try body.refuseUnknown()
        }
        guard let runtime = patch.runtime, let handler = patch.handler else {
            throw .invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages.")
        }
        guard let zip else { throw .invalid("Please provide a source for function code: Code.ZipFile.") }
        let package = try await package(zip)
        let configuration = patch.applied(to: FunctionConfiguration(runtime: runtime, handler: handler))
        let version = try await verb { () async throws(ManagementError) in
            try await management.createFunction(
                function, configuration, code: package, publish: publish, tags: tags, by: request.caller)
        }
        // Named without its number also when it was published at once.
        return .json(FunctionDocument.make(function, version, qualifier: nil), status: 201)
    }

    func getFunction(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        let (entry, version) = try named(reference)
        var document: JSONObject = [
            "Configuration": FunctionDocument.make(reference.name, version, qualifier: reference.qualifier),
            // There is no URL to fetch the package from; the manifest of its files is in the artifact store.
            "Code": ["RepositoryType": "Roost", "Location": .string(version.package.description)],
        ]
        if let limit = entry.function.reservedConcurrency {
            document["Concurrency"] = ["ReservedConcurrentExecutions": .integer(Int64(limit))]
        }
        if !entry.function.tags.isEmpty { document["Tags"] = Tags.document(entry.function.tags) }
        return .json(.object(document))
    }

    func getFunctionConfiguration(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        let version = try named(reference).version
        return .json(FunctionDocument.make(reference.name, version, qualifier: reference.qualifier))
    }

    func listFunctions(_ request: WireRequest) throws(WireError) -> WireResponse {
        let isEveryVersion: Bool
        switch request.query("FunctionVersion") {
        case nil: isEveryVersion = false
        case "ALL": isEveryVersion = true
        case let other?:
            var violations = Violations()
            violations.check(other, at: "functionVersion", oneOf: ["ALL"])
            try violations.refuse()
            isEveryVersion = false
        }
        if let region = request.query("MasterRegion"), region != "ALL", region != ARN.region {
            throw .invalid("MasterRegion is not supported here.")
        }
        var all: [(name: FunctionName, version: Version)] = []
        for entry in management.catalog.entries.values.sorted(by: { $0.function.name < $1.function.name }) {
            let versions = isEveryVersion ? entry.allVersions : [entry.function.latest]
            for version in versions { all.append((entry.function.name, version)) }
        }
        let page = try Page(
            all, of: .listFunctions, request, position: { [$0.name.text, $0.version.number.description] },
            isAfter: { element, last throws(WireError) in
                guard last.count == 2, let name = FunctionName(last[0]), let number = VersionNumber(last[1]) else {
                    throw .invalid("Marker is not one of this list.")
                }
                return (element.name, element.version.number) > (name, number)
            })
        return page.response("Functions") { name, version in
            FunctionDocument.make(
                name, version, qualifier: isEveryVersion ? .version(version.number) : nil, .summary)
        }
    }

    func updateFunctionCode(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        _ = try entry(function)
        let body = try await object(request.body)
        let (publish, isDryRun, revision) = try read { () throws(JSONReadError) in
            (
                try body.optional("Publish", as: Bool.self) ?? false,
                try body.optional("DryRun", as: Bool.self) ?? false, try body.optional("RevisionId", as: String.self)
            )
        }
        let zip = try read { () throws(JSONReadError) in try zipFile(body) }
        try ConfigurationPatch.refuse(
            body, "Architectures", unless: [.array([.string(ConfigurationRules.architecture)])])
        try ConfigurationPatch.refuse(body, "PublishTo")
        try read { () throws(JSONReadError) in try body.refuseUnknown() }
        guard let zip else { throw .invalid("Please provide a source for function code: ZipFile.") }
        let package = try await package(zip)
        let version = try await verb { () async throws(ManagementError) in
            try await management.updateCode(
                function, package, publish: publish, isDryRun: isDryRun, revision: revision, by: request.caller)
        }
        let qualifier: Qualifier? = publish && !isDryRun ? .version(version.number) : nil
        return .json(FunctionDocument.make(function, version, qualifier: qualifier))
    }

    func updateFunctionConfiguration(
        _ resource: String, _ request: WireRequest
    ) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        _ = try entry(function)
        let body = try await object(request.body)
        let patch = try ConfigurationPatch(body, rules)
        try requireTrained(patch, request, .updateFunctionConfiguration)
        let revision = try read { () throws(JSONReadError) in
            let revision = try body.optional("RevisionId", as: String.self)
            try body.refuseUnknown()
            return revision
        }
        let version = try await verb { () async throws(ManagementError) in
            try await management.updateConfiguration(function, revision: revision, by: request.caller) {
                patch.applied(to: $0)
            }
        }
        return .json(FunctionDocument.make(function, version, qualifier: nil))
    }

    func deleteFunction(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        try await verb { () async throws(ManagementError) in
            switch reference.qualifier {
            case nil: try await management.deleteFunction(reference.name, by: request.caller)
            case .version(let number):
                try await management.deleteVersion(reference.name, number, by: request.caller)
            case .alias: throw .invalid("Deletion of aliases is not currently supported.")
            }
        }
        return .noContent
    }

    // MARK: - Reserved concurrency

    func putConcurrency(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        let body = try await object(request.body)
        let limit = try read { () throws(JSONReadError) in
            let limit = try body.required("ReservedConcurrentExecutions", as: Int.self)
            try body.refuseUnknown()
            return limit
        }
        var violations = Violations()
        violations.check(limit, at: "reservedConcurrentExecutions", in: ConfigurationLimits.reservedConcurrency)
        try violations.refuse()
        try await verb(.qualified) { () async throws(ManagementError) in
            try await management.setReservedConcurrency(function, limit, by: request.caller)
        }
        return .json(["ReservedConcurrentExecutions": .integer(Int64(limit))])
    }

    func getConcurrency(_ resource: String) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        guard let limit = try entry(function, .qualified).function.reservedConcurrency else { return .json([:]) }
        return .json(["ReservedConcurrentExecutions": .integer(Int64(limit))])
    }

    func deleteConcurrency(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        try await verb(.qualified) { () async throws(ManagementError) in
            try await management.setReservedConcurrency(function, nil, by: request.caller)
        }
        return .noContent
    }

    // MARK: - Parts

    /// The version that a reference reads. Of a weighted alias it is the main one, not one by chance.
    func named(_ reference: FunctionReference) throws(WireError) -> (entry: Catalog.Entry, version: Version) {
        let found = Result { () throws(ManagementError) in
            let entry = try management.catalog.entry(reference.name)
            let route = try management.catalog.route(reference.name, reference.qualifier, draw: 1)
            return (entry, route.version)
        }
        switch found {
        case .success(let (entry, version)): return (entry, version)
        // The function was not found, or its version was not: either way it is named as the client did.
        case .failure: throw WireError(.functionNotFound(reference.name, reference.qualifier))
        }
    }

    /// Base 64 of a zip, `nil` when there is none; other sources of code are refused by name.
    private func zipFile(_ code: JSONObjectReader) throws(JSONReadError) -> String? {
        for field in ["S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri", "SourceKMSKeyArn"] {
            if let value = try code.optional(field, as: JSONValue.self), !value.saysNothing {
                throw code.notAllowed(field, "is not supported here; send the package as ZipFile")
            }
        }
        return try code.optional("ZipFile")
    }

    private func package(_ base64: String) async throws(WireError) -> PackageSource {
        let bytes: [UInt8]?
        if base64.utf8.count <= Self.bytesOnLoopMax {
            bytes = Base64.decode(base64)
        } else {
            bytes = (try? await loop.offload { Base64.decode(base64) }) ?? nil
        }
        guard let bytes else {
            throw WireError(.serialization, "ZipFile must be a zip in base 64, with padding and without white space.")
        }
        guard !bytes.isEmpty else { throw WireError(.artifact(.empty)) }
        return .zip(bytes)
    }
}

extension Catalog.Entry {
    /// `$LATEST` first, then ascending.
    package var allVersions: [Version] {
        [function.latest] + versions.sorted { $0.key < $1.key }.map(\.value)
    }
}
