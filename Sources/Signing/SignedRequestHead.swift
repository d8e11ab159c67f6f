/// What of a request's head a signature covers: everything as it was received, undecoded.
package struct SignedRequestHead: Sendable {
    package struct Field: Sendable {
        /// In lower case.
        package let name: String
        package let value: [UInt8]
    }

    package let method: String
    /// The request target before `?`.
    package let rawPath: [UInt8]
    /// The request target after the first `?`; empty without one.
    package let rawQuery: [UInt8]
    /// In the order of arrival; a name may come more than once.
    package private(set) var fields: [Field] = []

    package init(method: String, rawPath: [UInt8], rawQuery: [UInt8]) {
        self.method = method
        self.rawPath = rawPath
        self.rawQuery = rawQuery
        fields.reserveCapacity(16)
    }

    package init(method: String, target: String, fields: [(name: String, value: String)] = []) {
        let parts = target.utf8.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        self.init(method: method, rawPath: Array(parts[0]), rawQuery: parts.count > 1 ? Array(parts[1]) : [])
        for field in fields { add(name: Array(field.name.utf8), value: Array(field.value.utf8)) }
    }

    package mutating func add(name: [UInt8], value: [UInt8]) {
        let lower = name.map { $0 &- UInt8(ascii: "A") < 26 ? $0 | 0x20 : $0 }
        fields.append(Field(name: String(decoding: lower, as: UTF8.self), value: value))
    }

    /// Every value of a name, which is in lower case.
    func values(of name: String) -> [[UInt8]] {
        var values: [[UInt8]] = []
        for field in fields where field.name == name { values.append(field.value) }
        return values
    }
}
