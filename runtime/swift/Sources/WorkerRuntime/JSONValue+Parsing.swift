import CJansson

/// Bytes that are not JSON.
public struct JSONError: Error, Sendable, CustomStringConvertible {
    /// What is wrong, in jansson's words, with line and column.
    public let description: String
    /// Bytes read before the error was noticed.
    public let position: Int
}

extension JSONValue {
    /// Reads one JSON text: UTF-8, any kind of value at the top, nothing but white space after it.
    ///
    /// Of two members with one key the later wins. Nesting is limited to 2048 levels. A number beyond 64 bits makes
    /// the whole text be read with integers as floating point numbers, so it is never refused.
    public init(parsing bytes: some Collection<UInt8>) throws(JSONError) {
        let parsed =
            bytes.withContiguousStorageIfAvailable { Self.parse(UnsafeRawBufferPointer($0)) }
            ?? Array(bytes).withUnsafeBytes { Self.parse($0) }
        self = try parsed.get()
    }

    public init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer) -> Result<JSONValue, JSONError> {
        // jansson takes a null pointer for an argument error without a message.
        guard let base = bytes.baseAddress, !bytes.isEmpty else {
            return .failure(JSONError(description: "empty text", position: 0))
        }
        let start = base.assumingMemoryBound(to: CChar.self)
        let flags = Int(JSON_DECODE_ANY | JSON_ALLOW_NUL)
        var error = json_error_t()
        var root = json_loadb(start, bytes.count, flags, &error)
        if root == nil, error.isNumericOverflow {
            root = json_loadb(start, bytes.count, flags | Int(JSON_DECODE_INT_AS_REAL), &error)
        }
        guard let root else {
            return .failure(JSONError(description: error.message, position: Int(error.position)))
        }
        defer { json_decref(root) }
        return .success(JSONValue(root))
    }

    /// Copies a jansson tree. The depth is bounded by jansson's own parser limit.
    private init(_ node: UnsafeMutablePointer<json_t>) {
        switch node.pointee.type {
        case JSON_OBJECT:
            var object = JSONObject()
            var iterator = json_object_iter(node)
            while let current = iterator {
                object.appendUnique(
                    String(cString: json_object_iter_key(current)), JSONValue(json_object_iter_value(current)))
                iterator = json_object_iter_next(node, current)
            }
            self = .object(object)
        case JSON_ARRAY:
            self = .array((0..<json_array_size(node)).map { JSONValue(json_array_get(node, $0)) })
        case JSON_STRING:
            let length = json_string_length(node)
            let text = json_string_value(node).withMemoryRebound(to: UInt8.self, capacity: length) {
                String(decoding: UnsafeBufferPointer(start: $0, count: length), as: UTF8.self)
            }
            self = .string(text)
        case JSON_INTEGER: self = .integer(Int64(json_integer_value(node)))
        case JSON_REAL: self = .number(json_real_value(node))
        case JSON_TRUE: self = .bool(true)
        case JSON_FALSE: self = .bool(false)
        default: self = .null
        }
    }
}

extension json_error_t {
    /// jansson keeps the error's code in the last byte of its text field (`json_error_code`, an inline function that
    /// older headers lack).
    fileprivate var isNumericOverflow: Bool {
        withUnsafeBytes(of: text) { Int32($0[$0.count - 1]) == Int32(json_error_numeric_overflow.rawValue) }
    }

    fileprivate var message: String {
        let text = withUnsafeBytes(of: text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return "\(text) (line \(line), column \(column))"
    }
}
