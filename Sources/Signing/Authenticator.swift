internal import Crypto
package import Domain
package import struct Domain.Digest

/// Tells whose request one is, by AWS Signature Version 4. Not thread-safe: it lives on the loop.
///
/// There are two phases, because a signature covers the body. `begin` decides all that the head tells, so that nobody
/// without a key makes the host read a body; `finish` decides the rest. A request that is repeated as it was within the
/// five minutes is accepted again, as by AWS.
package final class Authenticator {
    private struct Entry {
        let key: AccessKey
        /// Of the last day on which the key was used.
        var signing: (date: String, key: SymmetricKey)?
    }

    private let region: String
    private let service: String
    private var entries: [String: Entry] = [:]

    package init(_ keys: [AccessKey], region: String = ARN.region, service: String = "lambda") {
        self.region = region
        self.service = service
        replaceKeys(by: keys)
    }

    /// True when there is no key, not even an expired one.
    package var isEmpty: Bool { entries.isEmpty }

    package func replaceKeys(by keys: [AccessKey]) {
        entries = [:]
        for key in keys { entries[key.id] = Entry(key: key) }
    }

    /// Throws when the key was removed or changed since a request with it began, or its session is over.
    package func requireCurrent(_ key: AccessKey, at now: Timestamp) throws(AuthenticationError) {
        guard entries[key.id]?.key == key else { throw .unknownKey }
        guard !key.isExpired(at: now) else { throw .expiredSession }
    }

    /// Decides all that can be decided before the body: what the signature is made of, key, session, time and scope.
    ///
    /// - Parameter now: civil time; signatures may be five minutes older or newer.
    package func begin(
        _ head: SignedRequestHead, at now: Timestamp
    ) throws(AuthenticationError) -> PendingAuthentication {
        let authorizations = head.values(of: "authorization")
        guard let authorization = authorizations.first, !authorization.isEmpty else { throw .missingToken }
        guard authorizations.count == 1 else {
            throw .malformed(.algorithm, reason: "There is more than one Authorization header.")
        }
        let field = try AuthorizationField(authorization)
        let (signedAt, time) = try Self.signingTime(head, field)
        try Self.checkSignedHeaders(head, field)
        let declared = try Self.declaredDigest(head)

        guard let key = entries[field.keyID]?.key, Self.isToken(head.values(of: "x-amz-security-token"), of: key) else {
            throw .unknownKey
        }
        if let session = key.session, now >= session.expiresAt { throw .expiredSession }
        try Self.checkSkew(signedAt, now)
        guard field.scope.region == region else { throw .wrongRegion(given: field.scope.region, expected: region) }
        guard field.scope.service == service else { throw .wrongService(expected: service) }
        guard time.hasPrefix(field.scope.date), field.scope.date.utf8.count == 8 else {
            throw .wrongDate(scope: field.scope.date, signedAt: signedAt)
        }

        var canonical = SHA256()
        canonical.update(data: CanonicalRequest(head, signedHeaders: field.signedHeaders).bytes)
        return PendingAuthentication(
            accessKey: key, declaredBodyDigest: declared, canonical: canonical, time: time, scope: field.scope.text,
            signingKey: signingKey(key, field.scope), signature: field.signature)
    }

    private func signingKey(_ key: AccessKey, _ scope: SigningScope) -> SymmetricKey {
        if let signing = entries[key.id]?.signing, signing.date == scope.date { return signing.key }
        let signingKey = scope.key(secret: key.secret)
        entries[key.id]?.signing = (scope.date, signingKey)
        return signingKey
    }

    // MARK: - What the head tells

    private static func signingTime(
        _ head: SignedRequestHead, _ field: AuthorizationField
    ) throws(AuthenticationError) -> (Timestamp, basicText: String) {
        for name in ["x-amz-date", "date"] where field.signedHeaders.contains(name) {
            let values = head.values(of: name)
            guard values.count == 1,
                let time = name == "date" ? Timestamp(dateField: values[0]) : Timestamp(basicText: values[0])
            else {
                throw .malformed(
                    .date, reason: "Date must be one '\(name)' header in ISO-8601 'basic format', as 20261123T120000Z.")
            }
            return (time, name == "date" ? time.basicText : String(decoding: values[0], as: UTF8.self))
        }
        throw .malformed(
            .date,
            reason: "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header, signed.")
    }

    /// All that says what a request means has to be signed, or else somebody between could change it.
    private static func checkSignedHeaders(
        _ head: SignedRequestHead, _ field: AuthorizationField
    ) throws(AuthenticationError) {
        guard field.signedHeaders.contains("host") else {
            throw .malformed(.signedHeaders, reason: "'Host' must be a 'SignedHeader' in the AWS Authorization.")
        }
        for name in field.signedHeaders where !head.fields.contains(where: { $0.name == name }) {
            throw .malformed(
                .signedHeaders, reason: "SignedHeaders has '\(name)', but the request has no such header.")
        }
        for header in head.fields
        where header.name.hasPrefix("x-amz-") && header.name != "x-amz-user-agent"
            && !field.signedHeaders.contains(header.name)
        {
            throw .malformed(.signedHeaders, reason: "There is a header that was not signed: '\(header.name)'.")
        }
    }

    private static func declaredDigest(_ head: SignedRequestHead) throws(AuthenticationError) -> Digest? {
        let values = head.values(of: "x-amz-content-sha256")
        guard let value = values.first else { return nil }
        let text = String(decoding: value, as: UTF8.self)
        if text == "UNSIGNED-PAYLOAD" || text.hasPrefix("STREAMING-") { throw .unsignedPayload(declared: text) }
        // The length keeps out Digest's other form, `sha256:...`.
        guard values.count == 1, value.count == 64, let digest = Digest(text) else {
            throw .malformed(
                .payloadHash, reason: "'x-amz-content-sha256' must be 64 lower-case hexadecimal digits, once.")
        }
        return digest
    }

    private static func isToken(_ values: [[UInt8]], of key: AccessKey) -> Bool {
        guard let session = key.session else { return values.isEmpty }
        // Digests compare in constant time.
        return values.count == 1 && SHA256.hash(data: values[0]) == SHA256.hash(data: Array(session.token.utf8))
    }

    private static func checkSkew(_ signedAt: Timestamp, _ now: Timestamp) throws(AuthenticationError) {
        // In whole seconds, as the signature's time is and as messages show it.
        let nowSeconds = now.millisecondsSince1970 / 1000
        let ahead = signedAt.millisecondsSince1970 / 1000 - nowSeconds
        let skewMax = AuthenticationError.skewMax / 1000
        if ahead < -skewMax { throw .tooOld(signedAt: signedAt, now: now) }
        if ahead > skewMax { throw .notYetCurrent(signedAt: signedAt, now: now) }
    }
}

/// A request whose head is good and whose body has not come yet.
package struct PendingAuthentication {
    /// Who claims to have signed it; believe it only after `finish`.
    package let accessKey: AccessKey
    /// What X-Amz-Content-SHA256 says.
    ///
    /// Given to `finish` before the body came, it proves who sent the head and what body was meant: so a large upload is
    /// refused before its first byte. The caller then has to check that the body has this digest.
    package let declaredBodyDigest: Digest?
    fileprivate let canonical: SHA256
    fileprivate let time: String
    fileprivate let scope: String
    fileprivate let signingKey: SymmetricKey
    fileprivate let signature: [UInt8]

    /// Compares in constant time.
    ///
    /// - Parameter bodyDigest: of the body that came, decoded from chunks, possibly empty.
    package func finish(bodyDigest: Digest) throws(AuthenticationError) -> AccessKey {
        if let declaredBodyDigest, declaredBodyDigest != bodyDigest { throw .bodyNotAsDeclared }
        var canonical = canonical
        canonical.update(data: Array(bodyDigest.hex.utf8))
        let signed = stringToSign(time: time, scope: scope, canonicalHash: canonical.finalize())
        guard HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: signed, using: signingKey) else {
            throw .wrongSignature
        }
        return accessKey
    }
}
