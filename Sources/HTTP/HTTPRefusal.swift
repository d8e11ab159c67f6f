/// Why the connection itself refused a request, before or instead of its delegate. The raw value is the sentence that the
/// client reads.
package enum HTTPRefusal: String, Error, CaseIterable, Sendable {
    case malformedRequestLine = "the request line is malformed"
    case badMethod = "the method is not a token"
    case badTarget = "the request target has bytes that must be percent-encoded, or a bad percent-encoding"
    case unsupportedTargetForm = "the request target must be a path that starts with /"
    case bareLineBreak = "a line does not end in CR LF"
    case foldedField = "a header field is folded over several lines"
    case badFieldName = "a header field name is not a token directly followed by a colon"
    case badFieldValue = "a header field value has control characters"
    case missingHost = "the Host field is missing"
    case repeatedHost = "there is more than one Host field"
    case badHost = "the Host field is malformed"
    case badContentLength = "Content-Length is not a number that can be"
    case repeatedContentLength = "there is more than one Content-Length field"
    case repeatedTransferEncoding = "there is more than one Transfer-Encoding field"
    case bothLengths = "there are both Content-Length and Transfer-Encoding"
    case oldTransferEncoding = "HTTP/1.0 has no Transfer-Encoding"
    case badTransferEncoding = "chunked must be the last transfer coding, once"
    case badChunk = "the chunked framing of the body is malformed"
    case parsersDisagree = "the request head is malformed"
    case headTimeout = "the request head did not arrive in time"
    case bodyTimeout = "the request body did not arrive in time"
    case bodyTooLarge = "the request body is too large"
    case unmetExpectation = "the expectation cannot be met"
    case headTooLarge = "the request head is too large"
    case tooManyFields = "the request has too many header fields"
    case unsupportedMethod = "the method is not supported"
    case unsupportedTransferEncoding = "a transfer coding other than chunked is not supported"
    case unsupportedVersion = "only HTTP/1.0 and HTTP/1.1 are supported"

    package var status: Int {
        switch self {
        case .malformedRequestLine, .badMethod, .badTarget, .unsupportedTargetForm, .bareLineBreak, .foldedField,
            .badFieldName, .badFieldValue, .missingHost, .repeatedHost, .badHost, .badContentLength,
            .repeatedContentLength, .repeatedTransferEncoding, .bothLengths, .oldTransferEncoding,
            .badTransferEncoding, .badChunk, .parsersDisagree:
            400
        case .headTimeout, .bodyTimeout: 408
        case .bodyTooLarge: 413
        case .unmetExpectation: 417
        case .headTooLarge, .tooManyFields: 431
        case .unsupportedMethod, .unsupportedTransferEncoding: 501
        case .unsupportedVersion: 505
        }
    }
}
