package import Domain

/// Why a request is not taken for that of a key's holder, or not allowed to it. All are answered 403, and none is worth a
/// repetition with the same signature.
package enum AuthenticationError: Error, Equatable, Sendable {
    /// Parts of a signature that can be malformed or missing.
    package enum Part: String, Sendable {
        case algorithm, credential, signedHeaders, signature, date, payloadHash
    }

    /// There is no Authorization field.
    case missingToken
    /// `reason` is a whole sentence.
    case malformed(Part, reason: String)
    /// No such key, or its session token is missing, wrong, or one too many.
    case unknownKey
    case expiredSession
    /// Another secret, or another request than was signed.
    case wrongSignature
    /// X-Amz-Content-SHA256 is not the hash of the body that came.
    case bodyNotAsDeclared
    /// X-Amz-Content-SHA256 says that the body was not signed as a whole.
    case unsignedPayload(declared: String)
    /// Signed more than five minutes ago, or ahead.
    case tooOld(signedAt: Timestamp, now: Timestamp)
    case notYetCurrent(signedAt: Timestamp, now: Timestamp)
    case wrongRegion(given: String, expected: String)
    case wrongService(expected: String)
    /// The scope's date is not the day on which the request was signed.
    case wrongDate(scope: String, signedAt: Timestamp)
    /// The signature is good, but the key may not do this. `operation` is a name such as `CreateFunction`.
    case notAuthorized(keyID: String, operation: String, resource: String)

    /// The name that clients know it by.
    package var exception: String {
        switch self {
        case .missingToken: "MissingAuthenticationTokenException"
        case .malformed: "IncompleteSignatureException"
        case .unknownKey: "UnrecognizedClientException"
        case .expiredSession: "ExpiredTokenException"
        case .wrongSignature, .bodyNotAsDeclared, .unsignedPayload, .tooOld, .notYetCurrent, .wrongRegion,
            .wrongService, .wrongDate:
            "InvalidSignatureException"
        case .notAuthorized: "AccessDeniedException"
        }
    }

    /// AWS's own words, where they are known.
    package var message: String {
        switch self {
        case .missingToken: "Missing Authentication Token"
        case .malformed(_, let reason): reason
        case .unknownKey: "The security token included in the request is invalid."
        case .expiredSession: "The security token included in the request is expired"
        case .wrongSignature:
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                + "Access Key and signing method. Consult the service documentation for details."
        case .bodyNotAsDeclared:
            "The provided 'x-amz-content-sha256' header does not match what was computed."
        case .unsignedPayload(let declared):
            "The payload must be signed: 'x-amz-content-sha256' must be the SHA-256 of the body, not '\(declared)'."
        case .tooOld(let signedAt, let now):
            "Signature expired: \(signedAt.basicText) is now earlier than \((now - Self.skewMax).basicText) "
                + "(\(now.basicText) - 5 min.)"
        case .notYetCurrent(let signedAt, let now):
            "Signature not yet current: \(signedAt.basicText) is still later than \((now + Self.skewMax).basicText) "
                + "(\(now.basicText) + 5 min.)"
        case .wrongRegion(let given, let expected):
            "Credential should be scoped to a valid region, not '\(given)'; this host's is '\(expected)'."
        case .wrongService(let expected): "Credential should be scoped to correct service: '\(expected)'."
        case .wrongDate(let scope, let signedAt):
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '\(scope)' != "
                + "'\(signedAt.basicText.prefix(8))', from '\(signedAt.basicText)'."
        case .notAuthorized(let keyID, let operation, let resource):
            "User: arn:aws:iam::\(ARN.account):user/\(keyID) is not authorized to perform: lambda:\(operation) on "
                + "resource: \(resource)"
        }
    }

    /// In milliseconds.
    static let skewMax: Int64 = 300_000
}

extension Timestamp {
    fileprivate static func + (left: Timestamp, milliseconds: Int64) -> Timestamp {
        Timestamp(millisecondsSince1970: left.millisecondsSince1970 + milliseconds)
    }
    fileprivate static func - (left: Timestamp, milliseconds: Int64) -> Timestamp { left + -milliseconds }
}
