/// A JSON text as a tree, for what the host itself reads and writes: settings, API bodies, manifests, answers.
/// Invocation payloads never become one (see `JSONScanner`).
package enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// A number written without fraction and exponent that fits 64 bits.
    case integer(Int64)
    case real(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// What a message calls this value: "a string", "null", ...
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .real: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// The member of an object; nil for other kinds and for keys that are not there.
    package subscript(key: String) -> JSONValue? { objectValue?[key] }
    /// The element of an array; nil for other kinds and past its end.
    package subscript(index: Int) -> JSONValue? {
        guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
        return elements[index]
    }

    package var isNull: Bool { self == .null }
    package var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var stringValue: String? { if case .string(let value) = self { value } else { nil } }
    package var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    package var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }
    /// An integer, also one written as `3.0` or `3e0`.
    package var integerValue: Int64? {
        switch self {
        case .integer(let value): value
        case .real(let value): Int64(exactly: value)
        default: nil
        }
    }
    package var realValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .real(let value): value
        default: nil
        }
    }

    /// Compact text. Members stand in insertion order, or sorted by the bytes of their keys.
    package func encoded(sortedKeys: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes, sortedKeys: sortedKeys)
        return bytes
    }

    /// The compact text as a string, for logs and the command line.
    package func text(sortedKeys: Bool = false) -> String {
        String(decoding: encoded(sortedKeys: sortedKeys), as: UTF8.self)
    }

    func append(to bytes: inout [UInt8], sortedKeys: Bool) {
        switch self {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): JSONWriter.appendInteger(value, to: &bytes)
        case .real(let value): JSONWriter.appendReal(value, to: &bytes)
        case .string(let value): JSONWriter.appendString(value, to: &bytes)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                element.append(to: &bytes, sortedKeys: sortedKeys)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object):
            bytes.append(UInt8(ascii: "{"))
            let entries =
                sortedKeys
                ? object.entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } : object.entries
            for (index, entry) in entries.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                JSONWriter.appendString(entry.key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                entry.value.append(to: &bytes, sortedKeys: sortedKeys)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(nilLiteral: ()) { self = .null }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .real(value) }
    package init(stringLiteral value: String) { self = .string(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (key, value) in elements { object[key] = value }
        self = .object(object)
    }
}

/// The members of a JSON object in the order in which they were added. Keys are unique, compared by Unicode scalars
/// as JSON does (`é` and `e` + accent are two keys), not by Swift's canonical equivalence.
package struct JSONObject: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        package let key: String
        package var value: JSONValue
    }

    package private(set) var entries: [Entry] = []
    /// Position by key, kept only once a linear search would be slow.
    private var positions: [Key: Int]?

    private static let linearSearchMax = 12

    private struct Key: Hashable {
        let text: String
        static func == (left: Key, right: Key) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
        func hash(into hasher: inout Hasher) {
            var text = text
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    package init() {}

    package var count: Int { entries.count }
    package var isEmpty: Bool { entries.isEmpty }
    package var keys: [String] { entries.map(\.key) }

    /// Setting nil removes the member; setting an existing key keeps its place.
    package subscript(key: String) -> JSONValue? {
        get { position(of: key).map { entries[$0].value } }
        set {
            switch (position(of: key), newValue) {
            case (let at?, let value?): entries[at].value = value
            case (let at?, nil):
                entries.remove(at: at)
                positions = nil
                indexIfLarge()
            case (nil, let value?): append(key, value)
            case (nil, nil): break
            }
        }
    }

    /// Two objects are equal when they have the same members, in whatever order.
    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.count == right.count && left.entries.allSatisfy { right[$0.key] == $0.value }
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(count) }

    private func position(of key: String) -> Int? {
        if let positions { return positions[Key(text: key)] }
        return entries.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
    }

    /// The key must be new.
    private mutating func append(_ key: String, _ value: JSONValue) {
        entries.append(Entry(key: key, value: value))
        if positions != nil {
            positions![Key(text: key)] = entries.count - 1
        } else {
            indexIfLarge()
        }
    }

    private mutating func indexIfLarge() {
        guard entries.count > Self.linearSearchMax else { return }
        positions = Dictionary(uniqueKeysWithValues: entries.enumerated().map { (Key(text: $1.key), $0) })
    }
}
