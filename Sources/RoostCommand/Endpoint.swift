/// Where a host is reached: scheme, host, port and an optional path before all others.
struct Endpoint: Equatable {
    /// Without a slash at its end.
    let url: String
    /// Without port and brackets.
    let hostName: String
    /// The field Host of its requests: the name, with the port if there is one.
    let authority: String
    /// What stands before the paths of all requests; empty, or with a slash at its start and none at its end.
    let basePath: String

    init(_ text: String) throws(CommandError) {
        let wrong = CommandError.usage("'\(text)' is not an endpoint; one looks like http://127.0.0.1:7070")
        let lower = text.lowercased()
        guard let scheme = ["http://", "https://"].first(where: lower.hasPrefix) else { throw wrong }
        var url = Substring(text)
        while url.hasSuffix("/") { url = url.dropLast() }
        guard url.utf8.count > scheme.utf8.count,
            url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !url.contains("?"), !url.contains("#"), !url.contains("@")
        else { throw wrong }
        let authority = url.dropFirst(scheme.count).prefix { $0 != "/" }
        let name: Substring
        let rest: Substring
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            name = authority[authority.index(after: authority.startIndex)..<end]
            rest = authority[authority.index(after: end)...]
        } else {
            name = authority.prefix { $0 != ":" }
            rest = authority.dropFirst(name.count)
        }
        guard !name.isEmpty else { throw wrong }
        if !rest.isEmpty {
            guard rest.hasPrefix(":"), let port = Int(rest.dropFirst()), (1...65535).contains(port) else { throw wrong }
        }
        self.url = String(url)
        self.hostName = String(name)
        self.authority = String(authority)
        self.basePath = String(url.dropFirst(scheme.count + authority.count))
    }

    /// True when the host is on this machine, so that no proxy is asked and what is installed here matters to it.
    var isLoopback: Bool { hostName == "localhost" || hostName == "::1" || hostName.hasPrefix("127.") }
}

/// The path and query of a request, each piece percent-encoded.
struct RequestPath: Equatable, CustomStringConvertible {
    private(set) var description: String

    /// Joins `segments` with slashes; a slash inside one is encoded. Query members that are nil are left out.
    init(_ segments: [String], query: [(String, String?)] = []) {
        var text = ""
        for segment in segments { text += "/" + percentEncoded(segment) }
        var separator = "?"
        for case (let name, let value?) in query {
            text += separator + percentEncoded(name) + "=" + percentEncoded(value)
            separator = "&"
        }
        description = text
    }

    static func lambda(_ segments: String..., query: [(String, String?)] = []) -> RequestPath {
        RequestPath(["2015-03-31", "functions"] + segments, query: query)
    }

    /// Of a streamed invocation.
    static func stream(_ function: String, query: [(String, String?)] = []) -> RequestPath {
        RequestPath(["2021-11-15", "functions", function, "response-streaming-invocations"], query: query)
    }

    static func roost(_ segments: String..., query: [(String, String?)] = []) -> RequestPath {
        RequestPath(["roost", "v1"] + segments, query: query)
    }
}

/// `text` as `%XX` but for RFC 3986's unreserved characters and the colon, which may stand in paths and queries too.
func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case 0x30...0x3A, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: bytes.append(byte)
        default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// What a user writes to name a function and one of its versions: `NAME[:QUALIFIER]`, or an ARN.
struct FunctionReference: Equatable {
    let name: String
    let qualifier: String?

    init(_ text: String) throws(CommandError) {
        let isARN = text.hasPrefix("arn:")
        let colon = isARN ? nil : text.firstIndex(of: ":")
        let name = colon.map { String(text[..<$0]) } ?? text
        let qualifier = colon.map { String(text[text.index(after: $0)...]) }
        guard !name.isEmpty, qualifier != "" else {
            throw .usage("'\(text)' names no function; write NAME or NAME:QUALIFIER")
        }
        self.name = name
        self.qualifier = qualifier
    }
}
