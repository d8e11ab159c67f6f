package import Domain
package import JSON

/// A version as clients see it: `FunctionConfiguration` of the service's model.
package enum FunctionDocument {
    package enum Detail: Sendable {
        /// An element of a list.
        case summary
        /// With the states that waiters poll. They are never anything else: what was acknowledged is in effect.
        case full
    }

    /// - Parameter qualifier: what the ARN ends in; `nil` when the client named the function alone.
    package static func make(
        _ name: FunctionName, _ version: Version, qualifier: Qualifier?, _ detail: Detail = .full
    ) -> JSONValue {
        let configuration = version.configuration
        var document: JSONObject = [
            "FunctionName": .string(name.text),
            "FunctionArn": .string(ARN.function(name, qualifier)),
            "Runtime": .string(configuration.runtime.description),
            "Role": .string(configuration.role),
            "Handler": .string(configuration.handler),
            "CodeSize": .integer(Int64(version.codeSizeBytes)),
            "Description": .string(configuration.description),
            "Timeout": .integer(Int64(configuration.timeoutSeconds)),
            "MemorySize": .integer(Int64(configuration.memoryMegabytes)),
            "LastModified": .string(version.modifiedAt.lambdaText),
            "CodeSha256": .string(Base64.encode(version.codeDigest.bytes)),
            "Version": .string(version.number.description),
        ]
        if !configuration.environment.isEmpty {
            var variables = JSONObject()
            for (name, value) in configuration.environment.sorted(by: { $0.key < $1.key }) {
                variables[name] = .string(value)
            }
            document["Environment"] = ["Variables": .object(variables)]
        }
        if let target = configuration.deadLetterTarget {
            document["DeadLetterConfig"] = ["TargetArn": .string(target.text)]
        }
        document["TracingConfig"] = ["Mode": "PassThrough"]
        document["RevisionId"] = .string(version.revision)
        if detail == .full {
            document["State"] = "Active"
            document["LastUpdateStatus"] = "Successful"
        }
        document["PackageType"] = "Zip"
        document["Architectures"] = [.string(ConfigurationRules.architecture)]
        document["EphemeralStorage"] = ["Size": 512]
        document["SnapStart"] = ["ApplyOn": "None", "OptimizationStatus": "Off"]
        document["LoggingConfig"] = ["LogFormat": "Text", "LogGroup": .string("/aws/lambda/\(name)")]
        return .object(document)
    }
}

extension Timestamp {
    /// `2026-11-23T12:00:00.000+0000`, the form of `LastModified`.
    package var lambdaText: String { text.dropLast() + "+0000" }

    /// Seconds since 1970, as the model's timestamps are sent.
    package var json: JSONValue { .real(secondsSince1970) }
}
