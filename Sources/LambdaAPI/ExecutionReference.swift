package import Domain

/// What the ARN of an execution says.
package struct ExecutionReference: Equatable, Sendable {
    package let function: FunctionName
    package let version: VersionNumber
    package let name: ExecutionName
    package let id: Execution.ID

    /// `nil` when `text` is no such ARN, or of another region.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[1] == "durable-execution" else { return nil }
        let resource = parts[0].split(separator: ":", omittingEmptySubsequences: false)
        guard resource.count == 8, resource[0] == "arn", resource[2] == "lambda", resource[3] == ARN.region,
            resource[5] == "function", let function = FunctionName(resource[6]),
            let version = VersionNumber(resource[7]), let name = ExecutionName(parts[2]),
            // An id has the same letters as a name.
            ExecutionName(parts[3]) != nil
        else { return nil }
        self.function = function
        self.version = version
        self.name = name
        id = Execution.ID(String(parts[3]))
    }
}
