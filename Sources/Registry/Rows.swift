internal import Domain
internal import Foundation
internal import GRDB

// Between the types of Domain and the columns of Schema.swift. A value that no Roost writes is `RegistryError.corrupt`.

extension VersionNumber {
    var column: Int {
        switch self {
        case .latest: 0
        case .published(let number): number
        }
    }

    init(column: Int) { self = column == 0 ? .latest : .published(column) }
}

/// SQLite's text ends at a NUL, so one in a free text is replaced rather than losing what follows it.
func freeText(_ text: String) -> String {
    text.utf8.contains(0) ? text.replacingOccurrences(of: "\0", with: "\u{FFFD}") : text
}

func stored<Value>(_ value: Value?, _ what: @autoclosure () -> String) throws(RegistryError) -> Value {
    guard let value else { throw .corrupt(detail: "unexpected \(what())") }
    return value
}

func storedDigest(_ text: String) throws(RegistryError) -> Digest { try stored(Digest(text), "digest '\(text)'") }

/// The same value always gives the same text.
func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

func fromJSON<Value: Decodable>(_ text: String, as type: Value.Type) throws(RegistryError) -> Value {
    try stored(try? JSONDecoder().decode(type, from: Data(text.utf8)), "JSON '\(text.prefix(80))'")
}

struct ChannelColumn: Codable {
    var artifact: String
    var dataset: String?
    var name: String

    init(_ channel: Execution.Channel) {
        artifact = channel.artifact.hex
        dataset = channel.dataset?.description
        name = channel.name
    }

    func channel() throws(RegistryError) -> Execution.Channel {
        .init(
            name: name, artifact: try storedDigest(artifact),
            dataset: try dataset.map { text throws(RegistryError) in
                try stored(DatasetReference(text), "dataset '\(text)'")
            })
    }
}

struct FailureColumn: Codable {
    var data: String
    var message: String
    var stackTrace: [String]?
    var type: String

    init(_ failure: Execution.Failure) {
        data = failure.data
        message = failure.message
        stackTrace = failure.stackTrace.isEmpty ? nil : failure.stackTrace
        type = failure.type
    }

    var failure: Execution.Failure { .init(type: type, message: message, data: data, stackTrace: stackTrace ?? []) }
}

struct FileColumn: Codable {
    var digest: String
    var sizeBytes: Int

    /// `nil` for a payload that is no file.
    init?(_ payload: Payload?) {
        guard case .file(let digest, let sizeBytes)? = payload else { return nil }
        self.digest = digest.hex
        self.sizeBytes = sizeBytes
    }

    func payload() throws(RegistryError) -> Payload { .file(try storedDigest(digest), sizeBytes: sizeBytes) }
}

extension Payload {
    /// - Parameter file: the name of the column that is set when it is one.
    init?(row: Row, file: String, bytes: Data?) throws {
        if let text: String = row[file] {
            self = try fromJSON(text, as: FileColumn.self).payload()
        } else if let bytes {
            self = .inline(Array(bytes))
        } else {
            return nil
        }
    }
}

struct DestinationColumn: Codable {
    /// Absent when `text` is a target's ARN.
    var function: String?
    var qualifier: String?
    var text: String

    init(_ destination: EventInvokeConfiguration.Destination) {
        if case .function(let name, let qualifier) = destination.receiver {
            function = name.text
            self.qualifier = qualifier?.description
        }
        text = destination.text
    }

    func destination() throws(RegistryError) -> EventInvokeConfiguration.Destination {
        guard let function else { return .init(text: text, .target(try storedTarget(text))) }
        let qualifier = try qualifier.map { text throws(RegistryError) in
            try stored(Qualifier(text), "qualifier '\(text)'")
        }
        return .init(
            text: text, .function(try stored(FunctionName(function), "function name '\(function)'"), qualifier))
    }
}

func storedTarget(_ text: String) throws(RegistryError) -> TargetARN { try stored(TargetARN(text), "target '\(text)'") }

extension Delivery {
    init(row: Row) throws {
        let content: String = row["content"]
        self.init(
            sequence: row["sequence"], execution: Execution.ID(row["execution"]),
            content: try stored(Content(rawValue: content), "content of a delivery '\(content)'"),
            target: try storedTarget(row["target"]), createdAt: Timestamp(millisecondsSince1970: row["createdAt"]),
            failures: row["failures"], notBefore: Timestamp(millisecondsSince1970: row["notBefore"]))
    }
}

extension EventInvokeConfiguration {
    init(row: Row) throws {
        func destination(_ column: String) throws -> Destination? {
            try (row[column] as String?).map { try fromJSON($0, as: DestinationColumn.self).destination() }
        }
        let qualifier: String = row["qualifier"]
        self.init(
            qualifier: try stored(Qualifier(qualifier), "qualifier '\(qualifier)'"), retriesMax: row["retriesMax"],
            ageSecondsMax: row["ageSecondsMax"], onSuccess: try destination("onSuccess"),
            onFailure: try destination("onFailure"), modifiedAt: Timestamp(millisecondsSince1970: row["modifiedAt"]))
    }
}

extension ProvisionedConcurrency {
    init(row: Row) throws {
        let qualifier: String = row["qualifier"]
        self.init(
            qualifier: try stored(Qualifier(qualifier), "qualifier '\(qualifier)'"), requested: row["requested"],
            modifiedAt: Timestamp(millisecondsSince1970: row["modifiedAt"]))
    }
}

extension Version {
    init(row: Row) throws {
        let environment = try fromJSON(row["environment"], as: [String: String].self)
        let settings: FunctionSettings
        do {
            settings = try FunctionSettings(environment: environment)
        } catch {
            throw RegistryError.corrupt(detail: error.description)
        }
        let runtime: String = row["runtime"]
        let model: String? = row["model"]
        let deadLetterTarget: String? = row["deadLetterTarget"]
        self.init(
            number: VersionNumber(column: row["number"]),
            configuration: FunctionConfiguration(
                runtime: try stored(Runtime(runtime), "runtime '\(runtime)'"), handler: row["handler"],
                description: row["description"], role: row["role"], memoryMegabytes: row["memoryMegabytes"],
                timeoutSeconds: row["timeoutSeconds"], environment: environment, settings: settings,
                deadLetterTarget: try deadLetterTarget.map(storedTarget)),
            package: try storedDigest(row["package"]), codeDigest: try storedDigest(row["codeDigest"]),
            codeSizeBytes: row["codeSizeBytes"], model: try model.map(storedDigest), revision: row["revision"],
            modifiedAt: Timestamp(millisecondsSince1970: row["modifiedAt"]), lineage: row["lineage"])
    }
}

extension Alias.Target {
    /// `nil` when the version's column is NULL.
    init?(row: Row, version: String, additionalVersion: String, additionalWeight: String) {
        guard let number: Int = row[version] else { return nil }
        var additional: Alias.Weight?
        if let number: Int = row[additionalVersion], let weight: Double = row[additionalWeight] {
            additional = Alias.Weight(version: number, weight: weight)
        }
        self.init(version: VersionNumber(column: number), additional: additional)
    }
}

extension Alias {
    init(row: Row) throws {
        let name: String = row["name"]
        let target = Target(
            row: row, version: "version", additionalVersion: "additionalVersion", additionalWeight: "additionalWeight")
        self.init(
            name: try stored(AliasName(name), "alias name '\(name)'"), target: try stored(target, "alias target"),
            description: row["description"], revision: row["revision"])
    }
}

extension AliasChange {
    init(row: Row) throws {
        let alias: String = row["alias"]
        let cause: String = row["cause"]
        self.init(
            sequence: row["sequence"], alias: try stored(AliasName(alias), "alias name '\(alias)'"),
            from: Alias.Target(
                row: row, version: "fromVersion", additionalVersion: "fromAdditionalVersion",
                additionalWeight: "fromAdditionalWeight"),
            to: Alias.Target(
                row: row, version: "toVersion", additionalVersion: "toAdditionalVersion",
                additionalWeight: "toAdditionalWeight"),
            cause: try stored(Cause(rawValue: cause), "cause '\(cause)'"), undoes: row["undoes"],
            at: Timestamp(millisecondsSince1970: row["at"]), by: row["by"], why: row["why"])
    }
}

extension ExecutionHead {
    init(row: Row) throws {
        func timestamp(_ column: String) -> Timestamp? {
            (row[column] as Int64?).map(Timestamp.init(millisecondsSince1970:))
        }
        let name: String = row["name"]
        let functionName: String = row["functionName"]
        let qualifier: String? = row["qualifier"]
        let baseVersion: Int? = row["baseVersion"]
        let promote: String? = row["promote"]
        let status: String = row["status"]
        let failure: String? = row["failure"]
        self.init(
            id: Execution.ID(row["id"]), name: try stored(ExecutionName(name), "execution name '\(name)'"),
            function: Function.ID(row["function"]),
            functionName: try stored(FunctionName(functionName), "function name '\(functionName)'"),
            qualifier: try qualifier.map { try stored(Qualifier($0), "qualifier '\($0)'") },
            version: VersionNumber(column: row["version"]), baseVersion: baseVersion.map(VersionNumber.init(column:)),
            channels: try fromJSON(row["channels"], as: [ChannelColumn].self).map { try $0.channel() },
            promote: try promote.map { try stored(AliasName($0), "alias name '\($0)'") },
            acceptedAt: Timestamp(millisecondsSince1970: row["acceptedAt"]), chainDepth: row["chainDepth"],
            priority: row["priority"],
            status: try stored(Execution.Status(rawValue: status), "status '\(status)'"), attempt: row["attempt"],
            startedAt: timestamp("startedAt"), endedAt: timestamp("endedAt"),
            failure: try failure.map { try fromJSON($0, as: FailureColumn.self).failure },
            notBefore: timestamp("notBefore"), pausedAt: timestamp("pausedAt"),
            pausedMilliseconds: row["pausedMilliseconds"], publishedVersion: row["publishedVersion"],
            promotion: row["promotion"], progress: row["progress"])
    }
}

extension Execution {
    init(head: ExecutionHead, input: Payload, result: Payload?) {
        self.init(
            id: head.id, name: head.name, function: head.function, functionName: head.functionName,
            qualifier: head.qualifier, version: head.version, input: input, baseVersion: head.baseVersion,
            channels: head.channels, promote: head.promote, acceptedAt: head.acceptedAt, chainDepth: head.chainDepth,
            priority: head.priority,
            status: head.status,
            attempt: head.attempt, startedAt: head.startedAt, endedAt: head.endedAt, result: result,
            failure: head.failure, notBefore: head.notBefore, pausedAt: head.pausedAt,
            pausedMilliseconds: head.pausedMilliseconds, publishedVersion: head.publishedVersion,
            promotion: head.promotion, progress: head.progress)
    }
}

extension AuditEntry {
    init(row: Row) throws {
        let function: String = row["function"]
        self.init(
            sequence: row["sequence"], at: Timestamp(millisecondsSince1970: row["at"]),
            caller: Caller(name: row["caller"], requestID: row["requestID"]), operation: row["operation"],
            function: function.isEmpty ? nil : try stored(FunctionName(function), "function name '\(function)'"),
            subject: row["subject"])
    }
}

extension DatasetVersion {
    init(row: Row) throws {
        let name: String = row["name"]
        self.init(
            name: try stored(DatasetName(name), "dataset name '\(name)'"), number: row["number"],
            artifact: try storedDigest(row["artifact"]), filesCount: row["filesCount"], sizeBytes: row["sizeBytes"],
            createdAt: Timestamp(millisecondsSince1970: row["createdAt"]), createdBy: row["createdBy"],
            removedAt: (row["removedAt"] as Int64?).map(Timestamp.init(millisecondsSince1970:)))
    }
}

extension ExecutionEvent {
    init(row: Row) throws {
        let kind: String = row["kind"]
        self.init(
            sequence: row["sequence"], kind: try stored(Kind(rawValue: kind), "event '\(kind)'"),
            at: Timestamp(millisecondsSince1970: row["at"]), detail: row["detail"])
    }
}
