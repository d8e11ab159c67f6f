import CJansson

/// Why jansson could not make a tree of a text.
package struct JSONParseError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Both from 1; the column counts characters.
    package let line: Int
    package let column: Int
    /// In bytes from the start.
    package let offset: Int
    package let text: String

    package var description: String { "\(text) (line \(line), column \(column))" }
}

extension JSONValue {
    /// Reads one JSON text of any kind. Duplicate keys are refused, because two readers could take different ones.
    /// Numbers must fit 64-bit integers or doubles, and nesting 2048. About 25 ns per byte: texts over 64 KiB belong
    /// off the event loop.
    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONParseError) -> JSONValue {
        var error = json_error_t()
        let flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES
        // jansson wants a pointer even for no bytes.
        let root = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1) { none in
            let start = bytes.baseAddress ?? UnsafeRawPointer(none.baseAddress!)
            return json_loadb(start.assumingMemoryBound(to: CChar.self), bytes.count, Int(flags), &error)
        }
        guard let root else {
            let text = withUnsafeBytes(of: error.text) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw JSONParseError(
                line: Int(error.line), column: Int(error.column), offset: Int(error.position), text: text)
        }
        defer { json_decref(root) }
        return JSONValue(jansson: root)
    }

    package static func parse(_ bytes: [UInt8]) throws(JSONParseError) -> JSONValue {
        let result: Result<JSONValue, JSONParseError> = bytes.withUnsafeBytes { raw in
            do throws(JSONParseError) { return .success(try parse(raw)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    package static func parse(_ text: String) throws(JSONParseError) -> JSONValue { try parse(Array(text.utf8)) }

    /// Copies a jansson tree. Its depth is at most jansson's own limit of 2048, so recursion is safe.
    private init(jansson json: UnsafeMutablePointer<json_t>) {
        switch json.pointee.type {
        case JSON_OBJECT:
            var object = JSONObject()
            var iterator = json_object_iter(json)
            while let current = iterator {
                let key = Self.string(json_object_iter_key(current), json_object_iter_key_len(current))
                object[key] = JSONValue(jansson: json_object_iter_value(current)!)
                iterator = json_object_iter_next(json, current)
            }
            self = .object(object)
        case JSON_ARRAY:
            let count = json_array_size(json)
            var elements: [JSONValue] = []
            elements.reserveCapacity(count)
            for index in 0..<count { elements.append(JSONValue(jansson: json_array_get(json, index)!)) }
            self = .array(elements)
        case JSON_STRING: self = .string(Self.string(json_string_value(json), json_string_length(json)))
        case JSON_INTEGER: self = .integer(Int64(json_integer_value(json)))
        case JSON_REAL: self = .real(json_real_value(json))
        case JSON_TRUE: self = .bool(true)
        case JSON_FALSE: self = .bool(false)
        default: self = .null
        }
    }

    private static func string(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
        String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }
}
