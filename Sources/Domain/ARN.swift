/// The names that AWS clients use. Region and account are fixed.
package enum ARN {
    package static let region = "us-east-1"
    package static let account = "000000000000"

    /// `arn:aws:lambda:us-east-1:000000000000:function:NAME`, with `:QUALIFIER` when there is one.
    package static func function(_ name: FunctionName, _ qualifier: Qualifier? = nil) -> String {
        let unqualified = "arn:aws:lambda:\(region):\(account):function:\(name)"
        return qualifier.map { "\(unqualified):\($0)" } ?? unqualified
    }

    /// `...:function:NAME:VERSION/durable-execution/EXECUTION-NAME/ID`.
    package static func execution(
        _ function: FunctionName, _ version: VersionNumber, _ name: ExecutionName, _ id: Execution.ID
    ) -> String {
        "\(Self.function(function, .version(version)))/durable-execution/\(name)/\(id)"
    }
}
