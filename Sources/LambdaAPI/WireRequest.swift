package import Domain
package import Signing

/// One request of a client, past the HTTP server: what an operation needs of it.
package struct WireRequest {
    /// In capitals.
    package var method: String
    /// The raw path split on `/`, then percent-decoded one by one: `["2015-03-31", "functions", "m"]`.
    package var segments: [String]
    /// In the order in which they came, decoded; a name may occur more than once.
    package var query: [(name: String, value: String)]
    /// The value of a header, by its name in lower case; `nil` when it was not sent.
    package var header: (String) -> String?
    package var body: [UInt8]
    package var caller: Caller
    /// With what rights; `nil` on a host without keys.
    package var key: AccessKey?

    package init(
        method: String, segments: [String], query: [(name: String, value: String)] = [],
        header: @escaping (String) -> String? = { _ in nil }, body: [UInt8] = [], caller: Caller,
        key: AccessKey? = nil
    ) {
        self.method = method
        self.segments = segments
        self.query = query
        self.header = header
        self.body = body
        self.caller = caller
        self.key = key
    }

    /// The first value; `nil` when there is none or it is empty, which clients mean alike.
    package func query(_ name: String) -> String? {
        query.first { $0.name == name && !$0.value.isEmpty }?.value
    }

    package func queries(_ name: String) -> [String] { query.filter { $0.name == name }.map(\.value) }
}

/// The answer to a request.
///
/// The HTTP server adds `Content-Length`, and `x-amzn-RequestId`, `Date` and `Content-Type: application/json` where
/// they are not among `headers`.
package struct WireResponse: Sendable {
    package var status: Int
    package var headers: [(String, String)]
    package var body: [UInt8]

    package init(status: Int, headers: [(String, String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The value of a header, by its name as this target writes it.
    package func header(_ name: String) -> String? { headers.first { $0.0 == name }?.1 }
}
