package import Domain
package import JSON

/// A refusal as clients see it: status, exception name and message.
package struct WireError: Error, Equatable, Sendable {
    /// The names that clients know errors by.
    package enum Exception: String, Sendable, CaseIterable {
        case accessDenied = "AccessDeniedException"
        case codeStorageExceeded = "CodeStorageExceededException"
        case durableExecutionAlreadyStarted = "DurableExecutionAlreadyStartedException"
        case expiredToken = "ExpiredTokenException"
        case incompleteSignature = "IncompleteSignatureException"
        case invalidParameterValue = "InvalidParameterValueException"
        case invalidRequestContent = "InvalidRequestContentException"
        case invalidSignature = "InvalidSignatureException"
        case missingAuthenticationToken = "MissingAuthenticationTokenException"
        case modeNotSupported = "ModeNotSupportedException"
        case preconditionFailed = "PreconditionFailedException"
        case provisionedConcurrencyConfigNotFound = "ProvisionedConcurrencyConfigNotFoundException"
        case requestEntityTooLarge = "RequestEntityTooLargeException"
        case requestTooLarge = "RequestTooLargeException"
        case resourceConflict = "ResourceConflictException"
        case resourceNotFound = "ResourceNotFoundException"
        case serialization = "SerializationException"
        case service = "ServiceException"
        case tooManyRequests = "TooManyRequestsException"
        case unknownOperation = "UnknownOperationException"
        case unrecognizedClient = "UnrecognizedClientException"
        case validation = "ValidationException"
        /// Roost's own.
        case digestMismatch = "DigestMismatch"
        case missingFiles = "MissingFiles"
        case nothingToRollBack = "NothingToRollBack"
    }

    package var exception: Exception
    package var status: Int
    package var message: String
    /// Further members of the body, before `Type`.
    package var fields: [String: String] = [:]
    /// When a repetition may succeed.
    package var retryAfter: Interval?
    /// The verbs that the path knows; for status 405.
    package var allow: [String] = []

    /// - Parameter status: `nil` takes the one that the exception usually has.
    package init(
        _ exception: Exception, _ message: String, status: Int? = nil, fields: [String: String] = [:],
        retryAfter: Interval? = nil, allow: [String] = []
    ) {
        self.exception = exception
        self.status = status ?? exception.status
        self.message = message
        self.fields = fields
        self.retryAfter = retryAfter
        self.allow = allow
    }

    package var response: WireResponse {
        var headers = [("x-amzn-ErrorType", exception.rawValue)]
        if let retryAfter {
            headers.append(("Retry-After", String(max(1, (retryAfter.nanoseconds + 999_999_999) / 1_000_000_000))))
            // Read by botocore 1.44 and later, in milliseconds.
            headers.append(("x-amz-retry-after", String(max(1, retryAfter.nanoseconds / 1_000_000))))
        }
        if status == 405 { headers.append(("Allow", allow.joined(separator: ", "))) }
        var writer = JSONWriter()
        writer.beginObject()
        for (name, value) in fields.sorted(by: { $0.key < $1.key }) { writer.member(name, value) }
        switch exception.form {
        case .upperCase:
            writer.member("Type", status >= 500 ? "Service" : "User")
            writer.member("Message", message)
        case .lowerCase:
            writer.member("Type", status >= 500 ? "Service" : "User")
            writer.member("message", message)
        case .messageOnly:
            writer.member("message", message)
        }
        writer.endObject()
        return WireResponse(status: status, headers: headers, body: writer.finish())
    }
}

extension WireError.Exception {
    /// How an error's body spells its message. Clients find it only under the name that the service's model has for it.
    enum Form { case upperCase, lowerCase, messageOnly }

    var form: Form {
        switch self {
        case .durableExecutionAlreadyStarted, .resourceNotFound, .service: .upperCase
        case .codeStorageExceeded, .invalidParameterValue, .invalidRequestContent, .modeNotSupported,
            .preconditionFailed, .provisionedConcurrencyConfigNotFound, .requestTooLarge, .resourceConflict,
            .tooManyRequests:
            .lowerCase
        case .digestMismatch, .missingFiles, .nothingToRollBack: .lowerCase
        // Not in the model.
        case .accessDenied, .expiredToken, .incompleteSignature, .invalidSignature, .missingAuthenticationToken,
            .requestEntityTooLarge, .serialization, .unknownOperation, .unrecognizedClient, .validation:
            .messageOnly
        }
    }

    var status: Int {
        switch self {
        case .codeStorageExceeded, .digestMismatch, .invalidParameterValue, .invalidRequestContent, .missingFiles,
            .modeNotSupported, .serialization, .validation:
            400
        case .accessDenied, .expiredToken, .incompleteSignature, .invalidSignature, .missingAuthenticationToken,
            .unrecognizedClient:
            403
        case .provisionedConcurrencyConfigNotFound, .resourceNotFound, .unknownOperation: 404
        case .durableExecutionAlreadyStarted, .nothingToRollBack, .resourceConflict: 409
        case .preconditionFailed: 412
        case .requestEntityTooLarge, .requestTooLarge: 413
        case .tooManyRequests: 429
        case .service: 500
        }
    }
}

extension WireError {
    /// A field with a value that we do not take.
    package static func invalid(_ message: String) -> WireError { WireError(.invalidParameterValue, message) }

    /// The body is no JSON.
    package init(_ error: JSONParseError) {
        self.init(.invalidRequestContent, "Could not parse request body into json: \(error)")
    }

    /// The body is JSON, but not what the operation takes.
    package init(_ error: JSONReadError) {
        switch error {
        case .missing(let path, _): self = Violations.error(Violations.null(at: path))
        case .wrongKind: self.init(.serialization, error.description)
        case .notAllowed, .unknownKeys: self = .invalid(error.description)
        }
    }
}
