/// What is wrong with the content of a document that is well-formed JSON. Paths read like `training.channels[2].name`.
package enum JSONReadError: Error, Equatable, Sendable, CustomStringConvertible {
    case missing(path: String, expected: String)
    case wrongKind(path: String, expected: String, found: String)
    /// The right kind, but a value that is not allowed; `reason` follows the path in a sentence: "must be at least 1".
    case notAllowed(path: String, reason: String)
    case unknownKeys(paths: [String])

    package var description: String {
        switch self {
        case .missing(let path, let expected): "\(path) is missing: \(expected) is required"
        case .wrongKind(let path, let expected, let found): "\(path) must be \(expected), not \(found)"
        case .notAllowed(let path, let reason): "\(path) \(reason)"
        case .unknownKeys(let paths):
            paths.count == 1 ? "\(paths[0]) is not a known key" : "unknown keys: \(paths.joined(separator: ", "))"
        }
    }
}

/// A Swift type that one JSON value can become.
package protocol JSONReadable {
    /// What a message says was expected: "a string".
    static var jsonKind: String { get }
    /// Nil when the value has another kind. `path` names the value in errors about what is inside it.
    static func read(_ value: JSONValue, path: String) throws(JSONReadError) -> Self?
}

/// Reads an object member by member and remembers which members were asked for, so that misspelt ones are refused.
///
/// A member that is `null` counts as absent, as AWS clients mean it. Not thread-safe; use and drop it in one function.
package final class JSONObjectReader {
    package let object: JSONObject
    /// Empty for the top of a document.
    package let path: String
    private var readKeys: Set<String> = []

    package init(_ object: JSONObject, path: String = "") {
        self.object = object
        self.path = path
    }

    /// For the top of a document; `name` is what the error calls it ("the request body").
    package init(_ value: JSONValue, named name: String = "the document") throws(JSONReadError) {
        guard case .object(let object) = value else {
            throw .wrongKind(path: name, expected: "an object", found: value.kind)
        }
        self.object = object
        self.path = ""
    }

    /// True if the member is there, even as `null`. Does not count as reading it.
    package func has(_ key: String) -> Bool { object[key] != nil }

    package func required<T: JSONReadable>(_ key: String, as type: T.Type = T.self) throws(JSONReadError) -> T {
        guard let value = try optional(key, as: type) else {
            throw .missing(path: path(of: key), expected: T.jsonKind)
        }
        return value
    }

    /// Nil when the member is absent or `null`.
    package func optional<T: JSONReadable>(_ key: String, as type: T.Type = T.self) throws(JSONReadError) -> T? {
        readKeys.insert(key)
        guard let value = object[key], value != .null else { return nil }
        return try Self.read(value, path: path(of: key))
    }

    package func required<T: JSONReadable & Comparable>(
        _ key: String, as type: T.Type = T.self, in range: ClosedRange<T>
    ) throws(JSONReadError) -> T {
        try check(required(key, as: type), key, range)
    }

    package func optional<T: JSONReadable & Comparable>(
        _ key: String, as type: T.Type = T.self, in range: ClosedRange<T>
    ) throws(JSONReadError) -> T? {
        guard let value = try optional(key, as: type) else { return nil }
        return try check(value, key, range)
    }

    /// A nested object, to be read with a reader of its own (whose `refuseUnknown` is the caller's to call).
    package func requiredObject(_ key: String) throws(JSONReadError) -> JSONObjectReader {
        JSONObjectReader(try required(key, as: JSONObject.self), path: path(of: key))
    }

    package func optionalObject(_ key: String) throws(JSONReadError) -> JSONObjectReader? {
        guard let nested = try optional(key, as: JSONObject.self) else { return nil }
        return JSONObjectReader(nested, path: path(of: key))
    }

    /// An array of objects; empty when absent.
    package func objects(_ key: String) throws(JSONReadError) -> [JSONObjectReader] {
        var readers: [JSONObjectReader] = []
        for (index, element) in (try optional(key, as: [JSONObject].self) ?? []).enumerated() {
            readers.append(JSONObjectReader(element, path: "\(path(of: key))[\(index)]"))
        }
        return readers
    }

    /// Throws if the object has members that were never asked for.
    package func refuseUnknown() throws(JSONReadError) {
        let unknown = object.keys.filter { !readKeys.contains($0) }
        if !unknown.isEmpty { throw .unknownKeys(paths: unknown.map(path(of:))) }
    }

    /// The error for a value of the right kind that the caller cannot accept; throw it.
    package func notAllowed(_ key: String, _ reason: String) -> JSONReadError {
        .notAllowed(path: path(of: key), reason: reason)
    }

    package func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    static func read<T: JSONReadable>(_ value: JSONValue, path: String) throws(JSONReadError) -> T {
        guard let read = try T.read(value, path: path) else {
            throw .wrongKind(path: path, expected: T.jsonKind, found: value.kind)
        }
        return read
    }

    private func check<T: Comparable>(
        _ value: T, _ key: String, _ range: ClosedRange<T>
    ) throws(JSONReadError) -> T {
        guard range.contains(value) else {
            throw notAllowed(key, "must be from \(range.lowerBound) to \(range.upperBound), not \(value)")
        }
        return value
    }
}

extension JSONValue: JSONReadable {
    package static let jsonKind = "a value"
    package static func read(_ value: JSONValue, path: String) -> JSONValue? { value }
}
extension JSONObject: JSONReadable {
    package static let jsonKind = "an object"
    package static func read(_ value: JSONValue, path: String) -> JSONObject? { value.objectValue }
}
extension String: JSONReadable {
    package static let jsonKind = "a string"
    package static func read(_ value: JSONValue, path: String) -> String? { value.stringValue }
}
extension Bool: JSONReadable {
    package static let jsonKind = "a boolean"
    package static func read(_ value: JSONValue, path: String) -> Bool? { value.boolValue }
}
extension Int: JSONReadable {
    package static let jsonKind = "an integer"
    package static func read(_ value: JSONValue, path: String) -> Int? {
        value.integerValue.flatMap(Int.init(exactly:))
    }
}
extension Int64: JSONReadable {
    package static let jsonKind = "an integer"
    package static func read(_ value: JSONValue, path: String) -> Int64? { value.integerValue }
}
extension Double: JSONReadable {
    package static let jsonKind = "a number"
    package static func read(_ value: JSONValue, path: String) -> Double? { value.realValue }
}
extension Array: JSONReadable where Element: JSONReadable {
    package static var jsonKind: String { "an array" }
    package static func read(_ value: JSONValue, path: String) throws(JSONReadError) -> [Element]? {
        guard let elements = value.arrayValue else { return nil }
        var result: [Element] = []
        result.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() {
            result.append(try JSONObjectReader.read(element, path: "\(path)[\(index)]"))
        }
        return result
    }
}
extension Dictionary: JSONReadable where Key == String, Value: JSONReadable {
    package static var jsonKind: String { "an object" }
    package static func read(_ value: JSONValue, path: String) throws(JSONReadError) -> [String: Value]? {
        guard let object = value.objectValue else { return nil }
        var result: [String: Value] = [:]
        for entry in object.entries {
            result[entry.key] = try JSONObjectReader.read(entry.value, path: "\(path).\(entry.key)")
        }
        return result
    }
}
