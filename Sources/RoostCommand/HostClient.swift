import JSON

/// The host's APIs, as the verbs use them: JSON in, JSON out, errors thrown.
struct HostClient {
    let http: HTTPClient

    init(_ http: HTTPClient) { self.http = http }

    var endpoint: Endpoint { http.endpoint }

    /// Throws what the host answers when its status is no 2xx.
    func send(
        _ method: String, _ path: RequestPath, headers: [(String, String)] = [], body: RequestBody = .none,
        timeout: Duration? = nil, onBytes: ((UnsafeRawBufferPointer) -> Void)? = nil
    ) throws(CommandError) -> HTTPResponse {
        let response = try http.send(
            method, path, headers: headers, body: body, timeout: timeout, onBytes: onBytes)
        guard (200..<300).contains(response.status) else { throw HostClient.refusal(response) }
        return response
    }

    /// The JSON answer of a request; `.null` when it has no body.
    func json(
        _ method: String, _ path: RequestPath, _ body: JSONValue? = nil, timeout: Duration? = nil
    ) throws(CommandError) -> JSONValue {
        let response = try send(
            method, path, headers: body == nil ? [] : [("Content-Type", "application/json")],
            body: body.map { .bytes($0.encoded()) } ?? .none, timeout: timeout)
        if response.body.isEmpty { return .null }
        do {
            return try JSONValue.parse(response.body)
        } catch {
            throw .badAnswer(request: "\(method) \(path)", reason: "\(error)")
        }
    }

    /// All members named `key` of a paged list.
    func pages(_ key: String, _ path: (_ marker: String?) -> RequestPath) throws(CommandError) -> [JSONValue] {
        var elements: [JSONValue] = []
        var marker: String?
        repeat {
            let page = try json("GET", path(marker))
            elements += page[key]?.arrayValue ?? []
            marker = page["NextMarker"]?.stringValue
        } while marker != nil && marker != ""
        return elements
    }

    private static func refusal(_ response: HTTPResponse) -> CommandError {
        let body = try? JSONValue.parse(response.body)
        let type = response["x-amzn-errortype"] ?? "HTTPError"
        let plain = String(decoding: response.body.prefix(300), as: UTF8.self)
        let message = body?["message"]?.stringValue ?? body?["Message"]?.stringValue
        return .refused(
            status: response.status, type: type, message: message ?? (plain.isEmpty ? "the host refused" : plain))
    }
}
