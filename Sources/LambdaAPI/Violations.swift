/// Values that break the form the service's model gives them, gathered, because a client is told of all at once.
package struct Violations {
    private var texts: [String] = []

    package init() {}

    /// - Parameter field: as the service names it, `functionName`.
    package mutating func add(_ value: String, at field: String, _ constraint: String) {
        texts.append("Value '\(value)' at '\(field)' failed to satisfy constraint: \(constraint)")
    }

    package mutating func check(_ value: String, at field: String, pattern: String, _ matches: Bool) {
        if !matches { add(value, at: field, "Member must satisfy regular expression pattern: \(pattern)") }
    }

    package mutating func check(_ value: Int, at field: String, in range: ClosedRange<Int>) {
        if value < range.lowerBound {
            add(String(value), at: field, "Member must have value greater than or equal to \(range.lowerBound)")
        } else if value > range.upperBound {
            add(String(value), at: field, "Member must have value less than or equal to \(range.upperBound)")
        }
    }

    package mutating func check(_ value: String, at field: String, length range: ClosedRange<Int>) {
        if value.unicodeScalars.count < range.lowerBound {
            add(value, at: field, "Member must have length greater than or equal to \(range.lowerBound)")
        } else if value.unicodeScalars.count > range.upperBound {
            add(value, at: field, "Member must have length less than or equal to \(range.upperBound)")
        }
    }

    package mutating func check(_ value: String, at field: String, oneOf values: [String]) {
        if !values.contains(value) {
            add(value, at: field, "Member must satisfy enum value set: [\(values.joined(separator: ", "))]")
        }
    }

    package mutating func requireValue(_ value: Any?, at field: String) {
        if value == nil { texts.append(Self.null(at: field)) }
    }

    package func refuse() throws(WireError) {
        if !texts.isEmpty { throw Self.error(texts) }
    }

    static func error(_ texts: String...) -> WireError { error(texts) }

    private static func error(_ texts: [String]) -> WireError {
        let count = texts.count == 1 ? "1 validation error" : "\(texts.count) validation errors"
        return WireError(.validation, "\(count) detected: \(texts.joined(separator: "; "))")
    }

    /// - Parameter path: of a member of the body, `Code.ZipFile`.
    static func null(at path: String) -> String {
        let field = path.prefix(1).lowercased() + path.dropFirst()
        return "Value null at '\(field)' failed to satisfy constraint: Member must not be null"
    }
}
