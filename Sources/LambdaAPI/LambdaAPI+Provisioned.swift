internal import Dispatching
internal import Domain
internal import JSON
internal import Management

extension LambdaAPI {
    func putProvisioned(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let (function, qualifier) = try provisionable(resource, request)
        let body = try await object(request.body)
        let requested = try read { () throws(JSONReadError) in
            let requested = try body.required("ProvisionedConcurrentExecutions", as: Int.self)
            try body.refuseUnknown()
            return requested
        }
        var violations = Violations()
        violations.check(requested, at: "provisionedConcurrentExecutions", in: 1...Int.max)
        try violations.refuse()
        if qualifier == .version(.latest) {
            throw .invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
        }
        let made = try await verb(.readingAlias) { () async throws(ManagementError) in
            try await management.putProvisionedConcurrency(function, qualifier, requested, by: request.caller)
        }
        return .json(.object(provisionedDocument(try entry(function), made)), status: 202)
    }

    func getProvisioned(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let (function, qualifier) = try published(resource, request)
        let found = Result { () throws(ManagementError) in
            try management.catalog.entry(function, having: qualifier)
        }
        let entry: Catalog.Entry
        switch found {
        case .success(let existing): entry = existing
        case .failure(let error): throw WireError(error, .readingAlias)
        }
        guard let provisioned = entry.provisionedConcurrency[qualifier] else {
            throw WireError(
                .provisionedConcurrencyConfigNotFound, "No Provisioned Concurrency Config found for this function")
        }
        return .json(.object(provisionedDocument(entry, provisioned)))
    }

    func deleteProvisioned(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let (function, qualifier) = try published(resource, request)
        try await verb(.readingAlias) { () async throws(ManagementError) in
            try await management.deleteProvisionedConcurrency(function, qualifier, by: request.caller)
        }
        return .noContent
    }

    func listProvisioned(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        var violations = Violations()
        violations.check(request.query("List") ?? "ALL", at: "list", oneOf: ["ALL"])
        try violations.refuse()
        let function = try FunctionReference(unqualified: resource).name
        let entry = try entry(function)
        let all = entry.provisionedConcurrency.values.sorted { $0.qualifier.description < $1.qualifier.description }
        let page = try Page(
            all, of: .listProvisionedConcurrencyConfigs, request, itemsMax: 50,
            position: { [$0.qualifier.description] },
            isAfter: { element, last throws(WireError) in element.qualifier.description > last[0] })
        return page.response("ProvisionedConcurrencyConfigs") { provisioned in
            var document: JSONObject = ["FunctionArn": .string(ARN.function(function, provisioned.qualifier))]
            for member in provisionedDocument(entry, provisioned).entries { document[member.key] = member.value }
            return .object(document)
        }
    }

    // MARK: - Parts

    /// The qualifier is a parameter of its own, and must be there.
    private func provisionable(
        _ resource: String, _ request: WireRequest
    ) throws(WireError) -> (FunctionName, Qualifier) {
        var violations = Violations()
        violations.requireValue(request.query("Qualifier"), at: "qualifier")
        try violations.refuse()
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        return (reference.name, reference.qualifier ?? .version(.latest))
    }

    private func published(_ resource: String, _ request: WireRequest) throws(WireError) -> (FunctionName, Qualifier) {
        let named = try provisionable(resource, request)
        guard named.1 != .version(.latest) else {
            throw .invalid("The function resource provided must be an alias or a published version.")
        }
        return named
    }

    /// As it is now: the workers are asked, not remembered.
    private func provisionedDocument(_ entry: Catalog.Entry, _ provisioned: ProvisionedConcurrency) -> JSONObject {
        let version = entry.provisionedVersion(provisioned.qualifier)
        let report = version.map { provision(entry.function.id, $0) } ?? ProvisionReport()
        let requested = provisioned.requested
        let available = min(requested, report.available)
        var document: JSONObject = [
            "RequestedProvisionedConcurrentExecutions": .integer(Int64(requested)),
            "AllocatedProvisionedConcurrentExecutions": .integer(Int64(min(requested, report.allocated))),
            "AvailableProvisionedConcurrentExecutions": .integer(Int64(available)),
        ]
        if available == requested {
            document["Status"] = "READY"
        } else if report.isFailing {
            document["Status"] = "FAILED"
            document["StatusReason"] = "FUNCTION_ERROR_INIT_FAILURE"
        } else if version == nil {
            document["Status"] = "FAILED"
            document["StatusReason"] = "The alias points to $LATEST, for which no workers can be provisioned."
        } else {
            document["Status"] = "IN_PROGRESS"
        }
        document["LastModified"] = .string(provisioned.modifiedAt.lambdaText)
        return document
    }
}
