internal import CCurl
internal import Domain

/// One request on its way: what libcurl needs of it, and what it has got so far. Lives on the transfer thread.
///
/// libcurl's callbacks get it as an unretained pointer, which is good because its engine keeps it until `close`.
final class Transfer {
    let id: TransferLine.ID
    private let request: TransferRequest
    private let continuation: CheckedContinuation<Result<TransferAnswer, TransferError>, Never>
    /// Nil before `open` and after `close`.
    private(set) var easy: UnsafeMutableRawPointer?
    private var headerList: UnsafeMutablePointer<curl_slist>?
    /// libcurl does not copy it, and may send it a second time when a kept connection was dead.
    private var body: UnsafeMutableBufferPointer<CChar>?
    private var errorText: UnsafeMutableBufferPointer<CChar>?

    private var answer = TransferAnswer(status: 0)
    private var bodyBytes = 0
    private var headBytes = 0

    init(id: TransferLine.ID, _ submission: TransferInbox.Submission) {
        self.id = id
        request = submission.request
        continuation = submission.continuation
    }

    deinit { precondition(easy == nil, "Transfer dropped while open") }

    /// Resumes whoever called `send`. Once.
    func finish(_ result: Result<TransferAnswer, TransferError>) {
        precondition(easy == nil, "a transfer ended while libcurl had it")
        continuation.resume(returning: result)
    }

    var timedOut: TransferError {
        .timedOut(
            reason: easy == nil
                ? "no connection was free within \(request.timeout.seconds) s"
                : answer.status == 0
                    ? "no answer within \(request.timeout.seconds) s"
                    : "an answer began, but did not end within \(request.timeout.seconds) s")
    }

    // MARK: - libcurl's handle

    /// Makes the handle; `close` frees it, also after an error.
    func open() throws(TransferError) {
        guard let easy = curl_easy_init() else { throw .unavailable(reason: "libcurl is out of memory") }
        self.easy = easy
        let context = Unmanaged.passUnretained(self).toOpaque()
        try check(ccurl_set_pointer(easy, CURLOPT_PRIVATE, context))
        let errorText = UnsafeMutableBufferPointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0)
        self.errorText = errorText
        try check(ccurl_set_pointer(easy, CURLOPT_ERRORBUFFER, errorText.baseAddress))

        try set(CURLOPT_URL, request.url)
        try set(CURLOPT_PROTOCOLS_STR, "http,https")
        try set(CURLOPT_FOLLOWLOCATION, 0)
        try set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
        try set(CURLOPT_USERAGENT, "roost")
        // Not what the environment or the user's files say.
        try set(CURLOPT_PROXY, "")
        try set(CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue))
        try set(CURLOPT_NOSIGNAL, 1)
        // A resolver's thread whose transfer ends first is left to itself rather than waited for; it ends by the system's
        // own limit, within seconds.
        try set(CURLOPT_QUICK_EXIT, 1)
        // The whole time is the engine's to watch.
        try set(CURLOPT_CONNECTTIMEOUT_MS, Self.milliseconds(request.connectTimeout))
        try set(CURLOPT_TCP_KEEPALIVE, 1)

        try set(CURLOPT_SSL_VERIFYPEER, 1)
        try set(CURLOPT_SSL_VERIFYHOST, 2)
        try set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
        try set(CURLOPT_CA_CACHE_TIMEOUT, 60)
        if let caFile = request.caFile {
            try set(CURLOPT_CAINFO, caFile)
            try check(ccurl_set_string(easy, CURLOPT_CAPATH, nil))
        }

        try setBody()
        try setHeaders()
        try setAnswer(context)
    }

    /// Once libcurl's multi handle has let go of it.
    func close() {
        guard let easy else { return }
        curl_easy_cleanup(easy)
        self.easy = nil
        curl_slist_free_all(headerList)
        headerList = nil
        body?.deallocate()
        body = nil
        errorText?.deallocate()
        errorText = nil
    }

    private func setBody() throws(TransferError) {
        let body = UnsafeMutableBufferPointer<CChar>.allocate(capacity: request.body.count)
        request.body.withUnsafeBytes { UnsafeMutableRawBufferPointer(body).copyMemory(from: $0) }
        self.body = body
        try set(CURLOPT_POST, 1)
        try check(ccurl_set_offset(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count)))
        // An empty buffer may have no address, and without one libcurl would ask for a body.
        try check(ccurl_set_pointer(easy, CURLOPT_POSTFIELDS, body.baseAddress ?? errorText?.baseAddress))
        try set(CURLOPT_CUSTOMREQUEST, request.method)
    }

    private func setHeaders() throws(TransferError) {
        // A name alone keeps libcurl's own header of that name away; one with a semicolon is sent without a value.
        var lines = ["Expect:"]
        if !request.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            lines.append("Content-Type:")
        }
        lines += request.headers.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        for line in lines {
            guard let list = curl_slist_append(headerList, line) else {
                throw .unavailable(reason: "libcurl is out of memory")
            }
            headerList = list
        }
        try check(ccurl_set_list(easy, CURLOPT_HTTPHEADER, headerList))
    }

    private func setAnswer(_ context: UnsafeMutableRawPointer) throws(TransferError) {
        try check(
            ccurl_set_data_function(easy, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
                let piece = UnsafeRawBufferPointer(start: bytes, count: size * count)
                return Transfer.from(context).received(piece) ? piece.count : 0
            })
        try check(ccurl_set_pointer(easy, CURLOPT_WRITEDATA, context))
        try check(
            ccurl_set_data_function(easy, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
                let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
                return Transfer.from(context).receivedHeader(line) ? line.count : 0
            })
        try check(ccurl_set_pointer(easy, CURLOPT_HEADERDATA, context))
    }

    private func set(_ option: CURLoption, _ value: Int) throws(TransferError) {
        try check(ccurl_set_long(easy, option, value))
    }
    private func set(_ option: CURLoption, _ value: String) throws(TransferError) {
        try check(ccurl_set_string(easy, option, value))
    }

    private func check(_ code: CURLcode) throws(TransferError) {
        guard code == CURLE_OK else { throw error(code) }
    }

    /// At least 1, because libcurl takes zero for its default.
    private static func milliseconds(_ interval: Interval) -> Int {
        Int(min(max(interval.nanoseconds / 1_000_000, 1), Int64(Int32.max)))
    }

    // MARK: - What comes back

    /// The transfer behind a pointer that libcurl has kept.
    static func from(_ context: UnsafeMutableRawPointer?) -> Transfer {
        Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
    }

    /// False ends the transfer.
    private func received(_ piece: UnsafeRawBufferPointer) -> Bool {
        answer.body += piece.prefix(TransferAnswer.bodyBytesKept - answer.body.count)
        bodyBytes += piece.count
        return bodyBytes <= TransferAnswer.bodyBytesMax
    }

    /// False ends the transfer.
    private func receivedHeader(_ line: UnsafeRawBufferPointer) -> Bool {
        headBytes += line.count
        guard headBytes <= TransferAnswer.headBytesMax else { return false }
        let text = String(decoding: line, as: UTF8.self)
        if text.hasPrefix("HTTP/") {  // a new head: what came before was `100 Continue` or its like
            answer.retryAfter = nil
            var status = 0
            ccurl_get_long(easy, CURLINFO_RESPONSE_CODE, &status)
            answer.status = status
        } else if let colon = text.firstIndex(of: ":"), text[..<colon].lowercased() == "retry-after" {
            let value = text[text.index(after: colon)...].trimming { $0.isWhitespace }
            let isNumber = (1...9).contains(value.utf8.count) && value.utf8.allSatisfy { (0x30...0x39).contains($0) }
            answer.retryAfter = isNumber ? Int(value).map { .seconds($0) } : nil
        }
        return true
    }

    /// What it came to, once libcurl has said that it is done.
    func result(_ code: CURLcode) -> Result<TransferAnswer, TransferError> {
        if code == CURLE_OK || (code == CURLE_WRITE_ERROR && bodyBytes > TransferAnswer.bodyBytesMax) {
            return .success(answer)
        }
        if headBytes > TransferAnswer.headBytesMax {
            return .failure(
                .interrupted(reason: "the head of the answer has more than \(TransferAnswer.headBytesMax) bytes"))
        }
        return .failure(error(code))
    }

    private func error(_ code: CURLcode) -> TransferError {
        var reason = errorText?.baseAddress.map { String(cString: $0) } ?? ""
        if reason.isEmpty { reason = curl_easy_strerror(code).map { String(cString: $0) } ?? "error \(code.rawValue)" }
        return switch code {
        case CURLE_URL_MALFORMAT: .badRequest(reason: reason)
        case CURLE_COULDNT_RESOLVE_HOST: .couldNotResolve(reason: reason)
        case CURLE_COULDNT_CONNECT: .couldNotConnect(reason: reason)
        case CURLE_OPERATION_TIMEDOUT: .timedOut(reason: reason)
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_PEER_FAILED_VERIFICATION,
            CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CLIENTCERT:
            .tlsRefused(reason: reason)
        case CURLE_OUT_OF_MEMORY, CURLE_FAILED_INIT: .unavailable(reason: reason)
        default: .interrupted(reason: reason)
        }
    }
}

extension Substring {
    fileprivate func trimming(_ isLeftOut: (Character) -> Bool) -> Substring {
        let start = drop(while: isLeftOut)
        guard let last = start.lastIndex(where: { !isLeftOut($0) }) else { return start[start.endIndex...] }
        return start[...last]
    }
}
