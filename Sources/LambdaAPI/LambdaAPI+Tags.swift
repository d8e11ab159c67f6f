internal import Domain
internal import JSON
internal import Management

extension LambdaAPI {
    func listTags(_ resource: String) throws(WireError) -> WireResponse {
        let function = try Self.taggable(resource)
        return .json(["Tags": Tags.document(try entry(function).function.tags)])
    }

    func tagResource(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try Self.taggable(resource)
        let body = try await object(request.body)
        let tags = try Tags.member(of: body)
        try read { () throws(JSONReadError) in try body.refuseUnknown() }
        var violations = Violations()
        violations.requireValue(tags, at: "tags")
        try violations.refuse()
        guard let tags, !tags.isEmpty else { throw .invalid("Tags must have at least one tag.") }
        try await verb { () async throws(ManagementError) in
            try await management.tag(function, tags, by: request.caller)
        }
        return .noContent
    }

    func untagResource(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let function = try Self.taggable(resource)
        let keys = request.queries("tagKeys")
        var violations = Violations()
        violations.requireValue(keys.isEmpty ? nil : keys, at: "tagKeys")
        for key in keys { Tags.check(key, at: "tagKeys", &violations) }
        try violations.refuse()
        try await verb { () async throws(ManagementError) in
            try await management.untag(function, keys, by: request.caller)
        }
        return .noContent
    }

    /// Whole ARNs only, and of functions only: nothing else here can have tags.
    private static func taggable(_ resource: String) throws(WireError) -> FunctionName {
        let parts = resource.split(separator: ":", omittingEmptySubsequences: false)
        let isARN = parts.count >= 7 && parts[0] == "arn" && parts[2] == "lambda"
        var violations = Violations()
        violations.check(
            resource, at: "resource",
            pattern: #"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:"#
                + #"(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|"#
                + #"code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-"#
                + #"[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector):"#
                + #"[a-zA-Z0-9-_]{1,64})"#, isARN)
        try violations.refuse()
        guard parts[5] == "function" else {
            throw .invalid("Only functions have tags here, and '\(parts[5])' is none.")
        }
        let reference = try FunctionReference(resource)
        guard reference.qualifier == nil else {
            throw .invalid(
                "Tags on function aliases and versions are not supported. Please specify a function ARN.")
        }
        return reference.name
    }
}

/// The tags of a function: free text by which people and tools find and group functions.
enum Tags {
    private static let pattern = #"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"#

    /// The member `Tags` of a body; `nil` when it has none.
    static func member(of body: JSONObjectReader) throws(WireError) -> [String: String]? {
        let tags = try read { () throws(JSONReadError) in try body.optional("Tags", as: [String: String].self) }
        guard let tags else { return nil }
        guard tags.count <= Management.tagsMax else { throw .invalid("Number of tags exceeds function tag limit.") }
        var violations = Violations()
        for (key, value) in tags.sorted(by: { $0.key < $1.key }) {
            check(key, at: "tags", &violations)
            violations.check(value, at: "tags", length: 0...256)
            violations.check(value, at: "tags", pattern: pattern, isText(value))
        }
        try violations.refuse()
        if let key = tags.keys.sorted().first(where: { $0.lowercased().hasPrefix("aws:") }) {
            throw .invalid("The tag key '\(key)' cannot be used: keys that begin with 'aws:' are reserved.")
        }
        return tags
    }

    static func check(_ key: String, at field: String, _ violations: inout Violations) {
        violations.check(key, at: field, length: 1...128)
        violations.check(key, at: field, pattern: pattern, isText(key))
    }

    static func document(_ tags: [String: String]) -> JSONValue {
        var document = JSONObject()
        for (key, value) in tags.sorted(by: { $0.key < $1.key }) { document[key] = .string(value) }
        return .object(document)
    }

    private static func isText(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .spaceSeparator,
                .lineSeparator, .paragraphSeparator, .decimalNumber, .letterNumber, .otherNumber:
                true
            default: "_.:/=+-@".unicodeScalars.contains(scalar)
            }
        }
    }
}
