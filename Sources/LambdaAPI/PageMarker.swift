internal import Domain
internal import JSON

/// Where the next page of a list starts. Clients hand it back as it is; a wrong one is refused.
enum PageMarker {
    /// - Parameter list: the operation, so that the marker of one list is none of another.
    static func encode(_ list: Operation.Name, _ position: [String]) -> String {
        Base64.encode(([list.rawValue] + position).joined(separator: " ").utf8)
    }

    static func decode(_ marker: String?, of list: Operation.Name) throws(WireError) -> [String]? {
        guard let marker else { return nil }
        guard let bytes = Base64.decode(marker) else { throw .invalid("Marker '\(marker)' is not one of this list.") }
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ").map(String.init)
        guard parts.first == list.rawValue, parts.count > 1 else {
            throw .invalid("Marker '\(marker)' is not one of this list.")
        }
        return Array(parts.dropFirst())
    }
}

/// One page of a list that is in memory.
struct Page<Element> {
    /// However many a client asks for.
    static var lengthMax: Int { 50 }

    let elements: ArraySlice<Element>
    let marker: String?

    /// - Parameter all: in the list's order.
    /// - Parameter itemsMax: the most that a client may ask for.
    /// - Parameter position: what identifies an element, ascending in the list's order under `isAfter`.
    init(
        _ all: [Element], of list: Operation.Name, _ request: WireRequest, itemsMax: Int = 10_000,
        position: (Element) -> [String],
        isAfter: (Element, [String]) throws(WireError) -> Bool
    ) throws(WireError) {
        let length = min(try request.integer("MaxItems", in: 1...itemsMax) ?? Self.lengthMax, Self.lengthMax)
        var start = 0
        if let last = try PageMarker.decode(request.query("Marker"), of: list) {
            // What was deleted meanwhile is no reason to start again: the first element behind the marker's place.
            start = all.count
            for (index, element) in all.enumerated() where try isAfter(element, last) {
                start = index
                break
            }
        }
        elements = all[start..<min(start + length, all.count)]
        marker =
            elements.endIndex < all.endIndex ? elements.last.map { PageMarker.encode(list, position($0)) } : nil
    }

    func response(_ key: String, _ document: (Element) -> JSONValue) -> WireResponse {
        var object = JSONObject()
        object[key] = .array(elements.map(document))
        if let marker { object["NextMarker"] = .string(marker) }
        return .json(.object(object))
    }
}

extension WireRequest {
    package func integer(_ name: String, in range: ClosedRange<Int>) throws(WireError) -> Int? {
        guard let text = query(name) else { return nil }
        guard let value = Int(text) else {
            throw WireError(.serialization, "Query parameter \(name) must be an integer, not '\(text)'.")
        }
        var violations = Violations()
        violations.check(value, at: name.prefix(1).lowercased() + name.dropFirst(), in: range)
        try violations.refuse()
        return value
    }

    package func boolean(_ name: String) throws(WireError) -> Bool? {
        switch query(name)?.lowercased() {
        case nil: return nil
        case "true": return true
        case "false": return false
        case let text?: throw WireError(.serialization, "Query parameter \(name) must be true or false, not '\(text)'.")
        }
    }
}
