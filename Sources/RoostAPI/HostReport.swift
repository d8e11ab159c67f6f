package import JSON

/// What the host says of itself: `roost doctor`.
package struct HostReport: Sendable {
    package struct Check: Sendable {
        package var name: String
        package var isOK: Bool
        package var detail: String

        package init(name: String, isOK: Bool, detail: String) {
            self.name = name
            self.isOK = isOK
            self.detail = detail
        }
    }

    package var version: String
    /// `bubblewrap` or `none`.
    package var sandboxMode: String
    /// Why workers cannot be sandboxed; `nil` when they can.
    package var sandboxProblem: String?
    package var dataDirectory: String
    package var limits: JSONObject
    package var checks: [Check]

    package init(
        version: String, sandboxMode: String, sandboxProblem: String?, dataDirectory: String, limits: JSONObject,
        checks: [Check]
    ) {
        self.version = version
        self.sandboxMode = sandboxMode
        self.sandboxProblem = sandboxProblem
        self.dataDirectory = dataDirectory
        self.limits = limits
        self.checks = checks
    }

    package var json: JSONValue {
        [
            "Version": .string(version),
            "Sandbox": [
                "Mode": .string(sandboxMode), "Problem": sandboxProblem.map(JSONValue.string) ?? .null,
            ],
            "DataDirectory": .string(dataDirectory),
            "Limits": .object(limits),
            "Checks": .array(
                checks.map { ["Name": .string($0.name), "Ok": .bool($0.isOK), "Detail": .string($0.detail)] }),
        ]
    }
}
