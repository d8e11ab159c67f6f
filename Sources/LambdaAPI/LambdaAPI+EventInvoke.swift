internal import Domain
internal import JSON
internal import Management
internal import Signing

extension LambdaAPI {
    func putEventInvokeConfig(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let (function, qualifier, patch) = try await eventInvokePatch(resource, request)
        var new = EventInvokeConfiguration(
            qualifier: qualifier, modifiedAt: Timestamp(millisecondsSince1970: 0))
        patch.apply(to: &new)
        let wanted = new
        let made = try await verb { () async throws(ManagementError) in
            try await management.putEventInvokeConfiguration(function, wanted, by: request.caller)
        }
        return .json(EventInvokePatch.document(function, made))
    }

    func updateEventInvokeConfig(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let (function, qualifier, patch) = try await eventInvokePatch(resource, request)
        let made = try await verb { () async throws(ManagementError) in
            try await management.updateEventInvokeConfiguration(function, qualifier, by: request.caller) {
                patch.apply(to: &$0)
            }
        }
        return .json(EventInvokePatch.document(function, made))
    }

    func getEventInvokeConfig(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        let qualifier = reference.qualifier ?? .version(.latest)
        guard let found = management.catalog.entries[reference.name]?.eventInvokeConfigurations[qualifier] else {
            throw WireError(.noEventInvokeConfiguration(reference.name, qualifier))
        }
        return .json(EventInvokePatch.document(reference.name, found))
    }

    func deleteEventInvokeConfig(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        try await verb { () async throws(ManagementError) in
            try await management.deleteEventInvokeConfiguration(
                reference.name, reference.qualifier ?? .version(.latest), by: request.caller)
        }
        return .noContent
    }

    func listEventInvokeConfigs(_ resource: String, _ request: WireRequest) throws(WireError) -> WireResponse {
        let function = try FunctionReference(unqualified: resource).name
        guard let entry = management.catalog.entries[function] else { throw Self.noFunction }
        let all = entry.eventInvokeConfigurations.values.sorted { $0.qualifier.description < $1.qualifier.description }
        let page = try Page(
            all, of: .listFunctionEventInvokeConfigs, request, itemsMax: 50,
            position: { [$0.qualifier.description] },
            isAfter: { element, last throws(WireError) in element.qualifier.description > last[0] })
        return page.response("FunctionEventInvokeConfigs") { EventInvokePatch.document(function, $0) }
    }

    // MARK: - Parts

    private static var noFunction: WireError { WireError(.resourceNotFound, "The function doesn't exist.") }

    /// What putting and updating have in common.
    private func eventInvokePatch(
        _ resource: String, _ request: WireRequest
    ) async throws(WireError) -> (FunctionName, Qualifier, EventInvokePatch) {
        let reference = try FunctionReference(resource, qualifier: request.query("Qualifier"))
        let body = try await object(request.body)
        var patch = EventInvokePatch()
        let destinations = try read { () throws(JSONReadError) in
            patch.retriesMax = try body.optional("MaximumRetryAttempts")
            patch.ageSecondsMax = try body.optional("MaximumEventAgeInSeconds")
            let destinations = try body.optionalObject("DestinationConfig")
            try body.refuseUnknown()
            return destinations
        }
        var violations = Violations()
        if let retries = patch.retriesMax { violations.check(retries, at: "maximumRetryAttempts", in: 0...2) }
        if let age = patch.ageSecondsMax { violations.check(age, at: "maximumEventAgeInSeconds", in: 60...21_600) }
        try violations.refuse()
        guard patch.retriesMax != nil || patch.ageSecondsMax != nil || destinations != nil else {
            throw .invalid("You must specify at least one of error handling or destination setting.")
        }
        let qualifier = reference.qualifier ?? .version(.latest)
        guard let entry = management.catalog.entries[reference.name], entry.has(qualifier) else {
            throw Self.noFunction
        }
        if let destinations {
            patch.onSuccess = try destination("OnSuccess", of: destinations, for: reference.name)
            patch.onFailure = try destination("OnFailure", of: destinations, for: reference.name)
            for case let destination?? in [patch.onSuccess, patch.onFailure] {
                // Who may not invoke a function may not have it invoked.
                if case .function(let name, _) = destination.receiver { try requireInvoking(name, request) }
            }
            try read { () throws(JSONReadError) in try destinations.refuseUnknown() }
        }
        return (reference.name, qualifier, patch)
    }

    /// - Returns: `nil` when the member is not there, `.some(nil)` when it names no destination.
    private func destination(
        _ member: String, of config: JSONObjectReader, for function: FunctionName
    ) throws(WireError) -> EventInvokeConfiguration.Destination?? {
        let nested = try read { () throws(JSONReadError) in try config.optionalObject(member) }
        guard let nested else { return nil }
        let text = try read { () throws(JSONReadError) in
            let text = try nested.optional("Destination", as: String.self)
            try nested.refuseUnknown()
            return text
        }
        guard let text, !text.isEmpty else { return .some(nil) }
        let field = "destinationConfig.\(member.prefix(1).lowercased())\(member.dropFirst()).destination"
        var violations = Violations()
        violations.check(text, at: field, length: 0...350)
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let isARN = parts[0] == "arn"
        violations.check(
            text, at: field,
            pattern: #"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"#
                + #"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"#,
            isARN ? parts.count >= 6 : !text.contains("/") || text.hasPrefix("kafka://"))
        try violations.refuse()
        if isARN ? parts[2] != "lambda" : text.hasPrefix("kafka://") {
            return .init(text: text, .target(try rules.target(text)))
        }
        guard let reference = try? FunctionReference(text),
            let entry = management.catalog.entries[reference.name],
            reference.qualifier.map({ entry.has($0) }) ?? true
        else { throw .invalid("The destination ARN \(text) is invalid.") }
        guard reference.name != function else {
            throw .invalid("You can't specify the function as a destination for itself.")
        }
        return .init(text: text, .function(reference.name, reference.qualifier))
    }
}

/// The fields of an event-invoke configuration that a request sets; `nil` for those that it leaves.
struct EventInvokePatch {
    var retriesMax: Int?
    var ageSecondsMax: Int?
    /// `.some(nil)` takes it away.
    var onSuccess: EventInvokeConfiguration.Destination??
    var onFailure: EventInvokeConfiguration.Destination??

    func apply(to configuration: inout EventInvokeConfiguration) {
        if let retriesMax { configuration.retriesMax = retriesMax }
        if let ageSecondsMax { configuration.ageSecondsMax = ageSecondsMax }
        if let onSuccess { configuration.onSuccess = onSuccess }
        if let onFailure { configuration.onFailure = onFailure }
    }

    /// The ARN always has its qualifier; the time is a number of seconds.
    static func document(_ function: FunctionName, _ configuration: EventInvokeConfiguration) -> JSONValue {
        func destination(_ destination: EventInvokeConfiguration.Destination?) -> JSONValue {
            destination.map { ["Destination": .string($0.text)] } ?? [:]
        }
        var document: JSONObject = [
            "LastModified": configuration.modifiedAt.json,
            "FunctionArn": .string(ARN.function(function, configuration.qualifier)),
        ]
        if let retries = configuration.retriesMax { document["MaximumRetryAttempts"] = .integer(Int64(retries)) }
        if let age = configuration.ageSecondsMax { document["MaximumEventAgeInSeconds"] = .integer(Int64(age)) }
        document["DestinationConfig"] = [
            "OnSuccess": destination(configuration.onSuccess), "OnFailure": destination(configuration.onFailure),
        ]
        return .object(document)
    }
}
