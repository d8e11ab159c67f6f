import Artifacts
import CCurl
import Domain
import Glibc
import Signing

/// What a request carries.
enum RequestBody {
    case none
    case bytes([UInt8])
    /// Read while it is sent. `offset` leaves out its beginning; size and digest are those of all of it.
    case file(path: String, sizeBytes: Int, digest: Digest, offset: Int = 0)

    var sizeBytes: Int {
        switch self {
        case .none: 0
        case .bytes(let bytes): bytes.count
        case .file(_, let sizeBytes, _, let offset): sizeBytes - offset
        }
    }

    /// Of all bytes that it has; none are read for it from a file.
    var digest: Digest {
        switch self {
        case .none: SHA256Hasher.digest(of: [])
        case .bytes(let bytes): SHA256Hasher.digest(of: bytes)
        case .file(_, _, let digest, _): digest
        }
    }

    var isFile: Bool { if case .file = self { true } else { false } }
}

struct HTTPResponse {
    var status: Int
    /// In the order of arrival; names in lower case.
    var headers: [(name: String, value: String)] = []
    /// Empty when the bytes went to the request's `onBytes`.
    var body: [UInt8] = []

    subscript(header: String) -> String? { headers.last { $0.name == header }?.value }
}

/// HTTP/1.1 requests, one after the other, over one libcurl handle, which keeps its connection. Blocks its caller.
final class HTTPClient {
    let endpoint: Endpoint
    /// Signs every request; nil when they are sent without a signature.
    private let signer: Signer?
    /// Nil only when libcurl has no memory left.
    private let easy: UnsafeMutableRawPointer?

    init(_ endpoint: Endpoint, signer: Signer? = nil) {
        self.endpoint = endpoint
        self.signer = signer
        // One thread and one client: the handle's first use is early enough for the library's own initialisation.
        easy = curl_easy_init()
    }

    deinit { if let easy { curl_easy_cleanup(easy) } }

    /// Sends a request and waits for the whole answer, of any status, for as long as it takes.
    ///
    /// - Parameter onBytes: takes the body of a 2xx answer piece by piece, as it arrives.
    func send(
        _ method: String, _ path: RequestPath, headers: [(String, String)] = [], body: RequestBody = .none,
        timeout: Duration? = nil, onBytes: ((UnsafeRawBufferPointer) -> Void)? = nil
    ) throws(CommandError) -> HTTPResponse {
        guard let easy else { throw .unreachable(endpoint: endpoint.url, reason: "libcurl is out of memory") }
        let transfer = Transfer(easy, onBytes: onBytes)
        defer { transfer.close() }
        do {
            try transfer.prepare(
                method: method, url: endpoint.url + path.description,
                headers: signed(method, path, headers, body),
                asksFirst: body.sizeBytes > 1 << 20, timeout: timeout)
            // A proxy for the world must not see what is meant for this machine.
            if endpoint.isLoopback { try transfer.set(CURLOPT_PROXY, "") }
            try transfer.send(body, method: method)
        } catch {
            throw error.isBeforeRequest
                ? .unreachable(endpoint: endpoint.url, reason: error.reason)
                : .interrupted(endpoint: endpoint.url, reason: error.reason)
        }
        if let failure = transfer.fileFailure { throw failure }
        return transfer.response
    }

    /// `headers`, with those that a signature needs.
    private func signed(
        _ method: String, _ path: RequestPath, _ headers: [(String, String)], _ body: RequestBody
    ) -> [(String, String)] {
        guard let signer else { return headers }
        // Said here, so that what is signed is what libcurl sends.
        let fields = [("Host", endpoint.authority)] + headers
        return fields
            + signer.sign(
                method, target: endpoint.basePath + path.description, fields: fields, bodyDigest: body.digest,
                declaresBody: body.isFile, at: Timestamp(millisecondsSince1970: Int64(epochSeconds() * 1000)))
    }
}

/// What libcurl could not do.
private struct CurlFailure: Error {
    let reason: String
    /// True when nothing of the request can have reached the host.
    var isBeforeRequest = false
}

/// One request on its way. libcurl's callbacks get it as an unretained pointer, which is good because `send` does not
/// return before the transfer is over and `close` takes the pointers back.
private final class Transfer {
    private let easy: UnsafeMutableRawPointer
    private let onBytes: ((UnsafeRawBufferPointer) -> Void)?
    private var headerList: UnsafeMutablePointer<curl_slist>?
    /// What is sent, and how much of it went already.
    private var bytes: [UInt8] = []
    private var bytesSent = 0
    private var file: Int32 = -1
    private var filePath = ""
    private var fileOffset = 0
    private(set) var fileFailure: CommandError?
    private(set) var response = HTTPResponse(status: 0)

    init(_ easy: UnsafeMutableRawPointer, onBytes: ((UnsafeRawBufferPointer) -> Void)?) {
        self.easy = easy
        self.onBytes = onBytes
        curl_easy_reset(easy)  // the options of the last request; the connection stays
    }

    func close() {
        curl_easy_reset(easy)
        curl_slist_free_all(headerList)
        headerList = nil
        if file >= 0 { Glibc.close(file) }
        file = -1
    }

    func set(_ option: CURLoption, _ value: Int) throws(CurlFailure) { try check(ccurl_set_long(easy, option, value)) }
    func set(_ option: CURLoption, _ value: String) throws(CurlFailure) {
        try check(ccurl_set_string(easy, option, value))
    }

    /// - Parameter asksFirst: lets the host refuse by the head alone, at the cost of a round trip.
    func prepare(
        method: String, url: String, headers: [(String, String)], asksFirst: Bool, timeout: Duration?
    ) throws(CurlFailure) {
        try set(CURLOPT_URL, url)
        try set(CURLOPT_CUSTOMREQUEST, method)
        try set(CURLOPT_PROTOCOLS_STR, "http,https")
        try set(CURLOPT_USERAGENT, "roost")
        try set(CURLOPT_NOSIGNAL, 1)
        try set(CURLOPT_CONNECTTIMEOUT_MS, 5000)
        try set(CURLOPT_TCP_KEEPALIVE, 1)
        try set(CURLOPT_PATH_AS_IS, 1)
        if let timeout {
            let (seconds, attoseconds) = timeout.components
            try set(CURLOPT_TIMEOUT_MS, Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000))
        }
        for header in headers.map({ "\($0): \($1)" }) + (asksFirst ? [] : ["Expect:"]) {
            guard let list = curl_slist_append(headerList, header) else {
                throw CurlFailure(reason: "libcurl is out of memory")
            }
            headerList = list
        }
        try check(ccurl_set_list(easy, CURLOPT_HTTPHEADER, headerList))

        let context = Unmanaged.passUnretained(self).toOpaque()
        try check(
            ccurl_set_data_function(easy, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
                Transfer.from(context).received(UnsafeRawBufferPointer(start: bytes, count: size * count))
                return size * count
            })
        try check(ccurl_set_pointer(easy, CURLOPT_WRITEDATA, context))
        try check(
            ccurl_set_data_function(easy, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
                Transfer.from(context).receivedHeader(UnsafeRawBufferPointer(start: bytes, count: size * count))
                return size * count
            })
        try check(ccurl_set_pointer(easy, CURLOPT_HEADERDATA, context))
    }

    func send(_ body: RequestBody, method: String) throws(CurlFailure) {
        switch body {
        case .none:
            if method != "GET" { try upload(sizeBytes: 0) }  // so that the head says so
        case .bytes(let bytes):
            self.bytes = bytes
            try upload(sizeBytes: bytes.count)
        case .file(let path, _, _, let offset):
            filePath = path
            fileOffset = offset
            file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else {
                fileFailure = .io(path: path, operation: "open", errno: errno)
                return
            }
            guard lseek(file, off_t(offset), SEEK_SET) >= 0 else {
                fileFailure = .io(path: path, operation: "read", errno: errno)
                return
            }
            try upload(sizeBytes: body.sizeBytes)
        }
        let code = curl_easy_perform(easy)
        if fileFailure == nil { try check(code) }
        var status = 0
        try check(ccurl_get_long(easy, CURLINFO_RESPONSE_CODE, &status))
        response.status = status
    }

    private func upload(sizeBytes: Int) throws(CurlFailure) {
        try set(CURLOPT_UPLOAD, 1)
        try check(ccurl_set_offset(easy, CURLOPT_INFILESIZE_LARGE, curl_off_t(sizeBytes)))
        let context = Unmanaged.passUnretained(self).toOpaque()
        try check(
            ccurl_set_data_function(easy, CURLOPT_READFUNCTION) { bytes, size, count, context in
                Transfer.from(context).fill(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
            })
        try check(ccurl_set_pointer(easy, CURLOPT_READDATA, context))
        // A kept connection that the host has closed meanwhile makes libcurl send the body once more.
        try check(ccurl_set_seek_function(easy) { context, offset, _ in Transfer.from(context).seek(to: Int(offset)) })
        try check(ccurl_set_pointer(easy, CURLOPT_SEEKDATA, context))
    }

    // MARK: Called by libcurl

    private static func from(_ context: UnsafeMutableRawPointer?) -> Transfer {
        Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
    }

    private func received(_ piece: UnsafeRawBufferPointer) {
        var status = 0
        ccurl_get_long(easy, CURLINFO_RESPONSE_CODE, &status)
        if let onBytes, (200..<300).contains(status) {
            onBytes(piece)
        } else {
            response.body += piece
        }
    }

    private func receivedHeader(_ line: UnsafeRawBufferPointer) {
        let text = String(decoding: line, as: UTF8.self)
        if text.hasPrefix("HTTP/") {  // a new head: what came before was `100 Continue`
            response.headers = []
            return
        }
        guard let colon = text.firstIndex(of: ":") else { return }
        let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        response.headers.append((text[..<colon].lowercased(), String(value.prefix { !$0.isNewline })))
    }

    private func fill(_ space: UnsafeMutableRawBufferPointer) -> Int {
        guard file >= 0 else {
            let count = min(space.count, bytes.count - bytesSent)
            space.copyBytes(from: bytes[bytesSent..<bytesSent + count])
            bytesSent += count
            return count
        }
        while true {
            let count = read(file, space.baseAddress, space.count)
            if count >= 0 { return count }
            if errno == EINTR { continue }
            fileFailure = .io(path: filePath, operation: "read", errno: errno)
            return Int(CURL_READFUNC_ABORT)
        }
    }

    private func seek(to offset: Int) -> Int32 {
        if file >= 0 {
            return lseek(file, off_t(fileOffset + offset), SEEK_SET) < 0 ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK
        }
        bytesSent = offset
        return CURL_SEEKFUNC_OK
    }

    private func check(_ code: CURLcode) throws(CurlFailure) {
        guard code != CURLE_OK else { return }
        throw CurlFailure(
            reason: curl_easy_strerror(code).map { String(cString: $0) } ?? "libcurl error \(code.rawValue)",
            isBeforeRequest: [CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY]
                .contains(code))
    }
}
