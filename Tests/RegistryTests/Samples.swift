import Domain
import Foundation

@testable import Registry

/// A directory of one test, removed with it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.path + "/roost-registry-" + UUID().uuidString
        try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)  // no test without it
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

func name(_ text: String) -> FunctionName { FunctionName(text)! }
func alias(_ text: String) -> AliasName { AliasName(text)! }
func at(_ seconds: Int64) -> Timestamp { Timestamp(millisecondsSince1970: seconds * 1000) }
func digest(_ digit: Character) -> Digest { Digest(String(repeating: digit, count: 64))! }

func version(_ number: VersionNumber, revision: String = "r1", model: Digest? = nil) -> Version {
    let environment = ["ROOST_KEEP_ALIVE": "5.0", "ROOST_TRAINS": "other", "Z": "1", "A": "a \"quoted\" 中文\u{0}\n"]
    return Version(
        number: number,
        configuration: FunctionConfiguration(
            runtime: .python3(minor: 11), handler: "echo.handler", description: "a description", role: "arn:role",
            memoryMegabytes: 256, timeoutSeconds: 30, environment: environment,
            settings: try! FunctionSettings(environment: environment)),  // the environment above is valid
        package: digest("a"), codeDigest: digest("b"), codeSizeBytes: 1234, model: model, revision: revision,
        modifiedAt: at(100), lineage: model == nil ? nil : #"{"execution":"e"}"#)
}

func function(
    _ id: Int64, _ text: String, lastPublished: Int = 0, revision: String = "r1", reserved: Int? = nil
) -> Function {
    Function(
        id: Function.ID(id), name: name(text), latest: version(.latest, revision: revision),
        reservedConcurrency: reserved, lastPublished: lastPublished, isUpdatedSincePublish: true, createdAt: at(50))
}

func execution(
    _ id: String, function: Int64 = 1, name text: String? = nil, version: VersionNumber = .latest,
    qualifier: Qualifier? = nil, acceptedAt: Int64 = 10, input: [UInt8] = Array(#"{"x":1}"#.utf8)
) -> Execution {
    Execution(
        id: Execution.ID(id), name: ExecutionName(text ?? id)!, function: Function.ID(function),
        functionName: name("echo"), qualifier: qualifier, version: version, input: .inline(input),
        baseVersion: .published(3),
        channels: [
            .init(name: "train", artifact: digest("c")),
            .init(name: "more", artifact: digest("d"), dataset: DatasetReference("dataset:more@2")),
        ], promote: alias("live"), acceptedAt: at(acceptedAt),
        notBefore: at(11))
}

func change(_ text: String, from: Int?, to: Int?, _ cause: AliasChange.Cause, undoes: Int64? = nil) -> AliasChange {
    AliasChange(
        alias: alias(text), from: from.map { .init(version: .published($0)) },
        to: to.map { .init(version: .published($0), additional: .init(version: 1, weight: 0.25)) }, cause: cause,
        undoes: undoes, at: at(7), by: "anonymous", why: "because")
}

func target(_ text: String, _ number: Int, weight: Alias.Weight? = nil) -> Alias {
    Alias(
        name: alias(text), target: .init(version: .published(number), additional: weight), description: "d",
        revision: "r")
}
