import Domain
import Signing
import Testing

@Suite("Who sent a request")
struct AuthenticatorTests {
    @Test("a signed request is its key's, and so is a repetition of it within the five minutes")
    func good() throws {
        let request = Request().signed()
        let authenticator = Authenticator([exampleKey(), .random(createdAt: noon)])
        for seconds in [0, 299, 300, -300] as [Int64] {
            let head = SignedRequestHead(method: request.method, target: request.target, fields: request.fields)
            let pending = try authenticator.begin(head, at: noon + seconds)
            #expect(try pending.finish(bodyDigest: digest(request.body)) == exampleKey())
        }
    }

    @Test("what is signed cannot be changed")
    func changed() {
        func check(_ what: Comment, _ change: (inout Request) -> Void) {
            var request = Request(target: "/2015-03-31/functions/m/invocations?Qualifier=1").signed()
            change(&request)
            #expect(throws: AuthenticationError.wrongSignature, what) { try request.authenticate() }
        }
        check("the body of a replayed request") { $0.body = #"{"x":2}"# }
        check("no body") { $0.body = "" }
        check("the method") { $0.method = "PUT" }
        check("the path") { $0.target = "/2015-03-31/functions/n/invocations?Qualifier=1" }
        check("the path's encoding") { $0.target = "/2015-03-31/functions/%6D/invocations?Qualifier=1" }
        check("the query") { $0.target += "2" }
        check("one more in the query") { $0.target += "&a=b" }
        check("a header") { $0["X-Amz-Log-Type"] = "None" }
        check("a header that is there twice") { $0.fields.append(("x-amz-log-type", "None")) }
        check("the host") { $0["Host"] = "elsewhere:7070" }
        check("the time") { $0["X-Amz-Date"] = "20261123T120001Z" }
        check("the signature") {
            $0.replace("Signature=", by: "Signature=0", in: "Authorization"); $0["Authorization"].removeLast()
        }
    }

    @Test("what is not signed may be changed: a proxy does")
    func unsigned() throws {
        var request = Request().signed()
        request.fields += [
            ("User-Agent", "x"), ("X-Amzn-Trace-Id", "Root=1"), ("amz-sdk-request", "attempt=2"), ("Via", "1.1 proxy"),
            ("x-amz-user-agent", "aws-sdk-js"),
        ]
        #expect(try request.authenticate().id == exampleID)
    }

    @Test("a header that says what the request means has to be signed")
    func addedHeader() {
        var request = Request().signed()
        request.fields.append(("X-Amz-Invocation-Type", "Event"))
        expectMalformed(.signedHeaders, "There is a header that was not signed: 'x-amz-invocation-type'.", request)
    }

    @Test("another secret signs another signature")
    func wrongSecret() {
        let request = Request().signed(by: Signer(keyID: exampleID, secret: exampleSecret + "x"))
        let error = #expect(throws: AuthenticationError.wrongSignature) { try request.authenticate() }
        #expect(error?.exception == "InvalidSignatureException")
        #expect(
            error?.message
                == "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                + "Access Key and signing method. Consult the service documentation for details.")
    }

    @Test("a request without Authorization is anonymous", arguments: [nil, ""])
    func anonymous(value: String?) {
        var request = Request().signed()
        request.remove("Authorization")
        if let value { request.fields.append(("Authorization", value)) }
        let error = #expect(throws: AuthenticationError.missingToken) { try request.authenticate() }
        #expect(error?.exception == "MissingAuthenticationTokenException")
        #expect(error?.message == "Missing Authentication Token")
    }

    @Test("an unknown key is refused before the body")
    func unknownKey() {
        let request = Request().signed(by: Signer(keyID: "AKIDOTHER", secret: exampleSecret))
        let error = #expect(throws: AuthenticationError.unknownKey) {
            try Authenticator([exampleKey()]).begin(
                SignedRequestHead(method: request.method, target: request.target, fields: request.fields), at: noon)
        }
        #expect(error?.exception == "UnrecognizedClientException")
        #expect(error?.message == "The security token included in the request is invalid.")
    }

    @Test("keys can be replaced, and no signing key of an old secret stays")
    func replacedKeys() throws {
        let authenticator = Authenticator([])
        #expect(authenticator.isEmpty)
        func check(_ request: Request) throws(AuthenticationError) -> AccessKey {
            let head = SignedRequestHead(method: request.method, target: request.target, fields: request.fields)
            return try authenticator.begin(head, at: noon).finish(bodyDigest: digest(request.body))
        }
        let request = Request().signed()
        #expect(throws: AuthenticationError.unknownKey) { try check(request) }
        authenticator.replaceKeys(by: [exampleKey()])
        #expect(!authenticator.isEmpty)
        #expect(try check(request).id == exampleID)
        let secret = exampleSecret + "2"
        authenticator.replaceKeys(by: [AccessKey(id: exampleID, secret: secret, createdAt: noon)])
        #expect(throws: AuthenticationError.wrongSignature) { try check(request) }
        #expect(try check(Request().signed(by: Signer(keyID: exampleID, secret: secret))).secret == secret)
    }

    @Test("the signing key follows the day")
    func days() throws {
        let authenticator = Authenticator([exampleKey()])
        for day in [0, 1, 1, 0, 2] as [Int64] {
            let time = noon + day * 86_400
            let request = Request().signed(at: time)
            let head = SignedRequestHead(method: request.method, target: request.target, fields: request.fields)
            #expect(
                try authenticator.begin(head, at: time).finish(bodyDigest: digest(request.body)).id == exampleID)
        }
    }

    // MARK: - Sessions

    private static let temporary = Signer(keyID: exampleID, secret: exampleSecret, sessionToken: exampleToken)

    @Test("a temporary key needs its session token, and is good until it expires")
    func session() throws {
        let keys = [exampleKey(token: exampleToken, expiresAt: noon + 60)]
        let request = Request().signed(by: Self.temporary)
        #expect(try request.authenticate(keys, at: noon + 59).id == exampleID)
        let error = #expect(throws: AuthenticationError.expiredSession) {
            try request.authenticate(keys, at: noon + 60)
        }
        #expect(error?.exception == "ExpiredTokenException")
        #expect(error?.message == "The security token included in the request is expired")
    }

    @Test("a session token that is missing, wrong or one too many is refused")
    func badTokens() {
        let keys = [exampleKey(token: exampleToken)]
        #expect(throws: AuthenticationError.unknownKey) { try Request().signed().authenticate(keys) }
        for token in [exampleToken + "x", String(exampleToken.dropLast()), "x"] {
            let signer = Signer(keyID: exampleID, secret: exampleSecret, sessionToken: token)
            #expect(throws: AuthenticationError.unknownKey) { try Request().signed(by: signer).authenticate(keys) }
        }
        var twice = Request().signed(by: Self.temporary)
        twice.fields.append(("X-Amz-Security-Token", exampleToken))
        #expect(throws: AuthenticationError.unknownKey) { try twice.authenticate(keys) }
        // A key without a session takes none.
        #expect(throws: AuthenticationError.unknownKey) { try Request().signed(by: Self.temporary).authenticate() }
    }

    @Test("an expired session with a wrong token does not learn that it expired")
    func expiredAndWrong() {
        let keys = [exampleKey(token: exampleToken + "x", expiresAt: noon)]
        #expect(throws: AuthenticationError.unknownKey) {
            try Request().signed(by: Self.temporary).authenticate(keys)
        }
    }

    // MARK: - Time

    @Test(
        "a signature is good for five minutes, before and after",
        arguments: [
            (
                301, 0,
                "Signature expired: 20261123T120000Z is now earlier than 20261123T120001Z (20261123T120501Z - 5 min.)"
            ),
            (
                600, 0,
                "Signature expired: 20261123T120000Z is now earlier than 20261123T120500Z (20261123T121000Z - 5 min.)"
            ),
            (
                -301, 0,
                "Signature not yet current: 20261123T120000Z is still later than 20261123T115959Z "
                    + "(20261123T115459Z + 5 min.)"
            ),
            (
                -43_200, 0,
                "Signature not yet current: 20261123T120000Z is still later than 20261123T000500Z "
                    + "(20261123T000000Z + 5 min.)"
            ),
            (300, 999, nil), (-300, 0, nil), (-300, 999, nil),
        ] as [(Int64, Int64, String?)])
    func skew(seconds: Int64, milliseconds: Int64, message: String?) throws {
        let now = Timestamp(millisecondsSince1970: noon.millisecondsSince1970 + seconds * 1000 + milliseconds)
        let request = Request().signed()
        guard let message else {
            #expect(try request.authenticate(at: now).id == exampleID)
            return
        }
        let error = #expect(throws: AuthenticationError.self) { try request.authenticate(at: now) }
        #expect(error?.message == message)
        #expect(error?.exception == "InvalidSignatureException")
    }

    @Test("the example of the contract")
    func contractSkew() {
        let request = Request().signed(at: noon + -600)
        let error = #expect(throws: AuthenticationError.self) { try request.authenticate() }
        #expect(
            error?.message
                == "Signature expired: 20261123T115000Z is now earlier than 20261123T115500Z (20261123T120000Z - 5 min.)"
        )
    }

    @Test(
        "a date that is none is malformed",
        arguments: [
            "", "2026-11-23T12:00:00Z", "20261123T120000", "20261123T120000z", "20261323T120000Z", "20260229T120000Z",
            "20261123T240000Z", "20261123T126000Z", "20261123T120060Z", "0x261123T120000Z", "+0261123T120000Z",
        ])
    func badDate(value: String) {
        var request = Request().signed()
        request["X-Amz-Date"] = value
        expectMalformed(
            .date, "Date must be one 'x-amz-date' header in ISO-8601 'basic format', as 20261123T120000Z.", request)
    }

    @Test(
        "Date can stand in for X-Amz-Date in any of its spellings",
        arguments: [
            ("Mon, 23 Nov 2026 12:00:00 GMT", true), ("Mon, 23 Nov 2026 12:00:00 -0000", true),
            ("20261123T120000Z", true), ("Mon, 23 Nov 2026 12:00:00 +0100", false), ("Mon, 23 Nov 2026", false),
            ("Mon, 32 Nov 2026 12:00:00 GMT", false), ("Mon, 23 Nox 2026 12:00:00 GMT", false),
            ("Mon, 23 Nov 2026 12:0:00 GMT", false), ("Monday, 23-Nov-26 12:00:00 GMT", false),
        ])
    func dateField(value: String, isRead: Bool) {
        var request = Request().signed()
        request.remove("X-Amz-Date")
        request.fields.append(("Date", value))
        request.replace("host;x-amz-date;", by: "date;host;")
        let error = #expect(throws: AuthenticationError.self) { try request.authenticate() }
        // With another header signed, the signature itself is wrong now; that is known only after the date was read.
        #expect((error == .wrongSignature) == isRead)
        #expect((error?.exception == "IncompleteSignatureException") == !isRead)
    }

    // MARK: - Scope

    @Test("a signature for another region, service or day is refused")
    func scope() {
        let region = Request().signed(by: Signer(keyID: exampleID, secret: exampleSecret, region: "eu-west-1"))
        let regionError = #expect(throws: AuthenticationError.self) { try region.authenticate() }
        #expect(
            regionError?.message
                == "Credential should be scoped to a valid region, not 'eu-west-1'; this host's is 'us-east-1'.")

        let service = Request().signed(by: Signer(keyID: exampleID, secret: exampleSecret, service: "s3"))
        let serviceError = #expect(throws: AuthenticationError.self) { try service.authenticate() }
        #expect(serviceError?.message == "Credential should be scoped to correct service: 'lambda'.")

        var date = Request().signed()
        date.replace("20261123", by: "20261122")
        let dateError = #expect(throws: AuthenticationError.self) { try date.authenticate() }
        #expect(
            dateError?.message
                == "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                + "'20261122' != '20261123', from '20261123T120000Z'.")
        for error in [regionError, serviceError, dateError] { #expect(error?.exception == "InvalidSignatureException") }

        var prefix = Request().signed()
        prefix.replace("/20261123/", by: "/2026/")
        #expect(throws: AuthenticationError.wrongDate(scope: "2026", signedAt: noon)) { try prefix.authenticate() }
    }

    // MARK: - Malformed

    @Test(
        "an Authorization that is malformed says in which part",
        arguments: [
            ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA512 ", .algorithm, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."),
            ("AWS4-HMAC-SHA256 ", "Bearer ", .algorithm, "Unsupported AWS 'algorithm': 'Bearer'."),
            ("AWS4-HMAC-SHA256 ", "", .algorithm, "Unsupported AWS 'algorithm': 'Credential=AKIDEXAMPLE/"),
            ("Credential=", "Credentials=", .algorithm, "Authorization header has an unknown parameter 'Credentials'."),
            (
                "Credential=", "Credential", .algorithm,
                "'CredentialAKIDEXAMPLE/20261123/us-east-1/lambda/aws4_request' not a valid key=value pair"
            ),
            (
                "Signature=", "SignedHeaders=x, Signature=", .algorithm,
                "Authorization header has more than one 'SignedHeaders' parameter."
            ),
            (
                "Credential=AKIDEXAMPLE/20261123/us-east-1/lambda/aws4_request, ", "", .credential,
                "Authorization header requires 'Credential' parameter."
            ),
            (
                "AKIDEXAMPLE/", "", .credential,
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got "
                    + "'20261123/us-east-1/lambda/aws4_request'."
            ),
            ("AKIDEXAMPLE/", "/", .credential, "Credential must have exactly 5 slash-delimited elements"),
            ("AKIDEXAMPLE/", "AKID/EXAMPLE/", .credential, "Credential must have exactly 5 slash-delimited elements"),
            (
                "aws4_request", "aws3_request", .credential,
                "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws3_request'."
            ),
            (
                "SignedHeaders=host;x-amz-date;x-amz-log-type", "SignedHeaders=", .signedHeaders,
                "Authorization header requires 'SignedHeaders' parameter."
            ),
            (
                "host;x-amz-date", "x-amz-date", .signedHeaders,
                "'Host' must be a 'SignedHeader' in the AWS Authorization."
            ),
            (
                "host;x-amz-date", "host", .date,
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header, signed."
            ),
            ("host;", "Host;", .signedHeaders, "SignedHeaders has 'Host', which is no name in lower case."),
            ("host;", "host;;", .signedHeaders, "SignedHeaders has '', which is no name in lower case."),
            ("host;", "host;host;", .signedHeaders, "SignedHeaders has 'host' twice."),
            (
                "host;", "content-type;host;", .signedHeaders,
                "SignedHeaders has 'content-type', but the request has no such header."
            ),
            ("Signature=", "Signature=0", .signature, "Signature must be 64 lower-case hexadecimal digits."),
            ("Signature=", "Signature=XY", .signature, "Signature must be 64 lower-case hexadecimal digits."),
        ] as [(String, String, AuthenticationError.Part, String)])
    func malformed(part: String, other: String, expected: AuthenticationError.Part, message: String) {
        var request = Request().signed()
        request.replace(part, by: other)
        expectMalformed(expected, message, request)
    }

    @Test("a signature that is missing is malformed")
    func noSignature() {
        var request = Request().signed()
        request["Authorization"] =
            String(request["Authorization"].prefix { $0 != "," }) + ", SignedHeaders=host;x-amz-date"
        expectMalformed(.signature, "Authorization header requires 'Signature' parameter.", request)
        request["Authorization"] += ", Signature="
        expectMalformed(.signature, "Authorization header requires 'Signature' parameter.", request)
    }

    @Test("two Authorization headers are one too many")
    func twoAuthorizations() {
        var request = Request().signed()
        request.fields.append(("authorization", request["Authorization"]))
        expectMalformed(.algorithm, "There is more than one Authorization header.", request)
    }

    @Test("two dates are one too many")
    func twoDates() {
        var request = Request().signed()
        request.fields.append(("x-amz-date", request["X-Amz-Date"]))
        expectMalformed(
            .date, "Date must be one 'x-amz-date' header in ISO-8601 'basic format', as 20261123T120000Z.", request)
    }

    @Test("blanks between the parts of Authorization do not matter, nor does their order")
    func blanks() throws {
        var request = Request().signed()
        let parts = request["Authorization"].dropFirst(17).split(separator: ", ")
        request["Authorization"] = "AWS4-HMAC-SHA256   \(parts[2]),\(parts[0]) ,\t\(parts[1])"
        #expect(try request.authenticate().id == exampleID)
    }

    private func expectMalformed(
        _ part: AuthenticationError.Part, _ message: String, _ request: Request,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let error = #expect(throws: AuthenticationError.self, sourceLocation: sourceLocation) {
            try request.authenticate()
        }
        #expect(error?.exception == "IncompleteSignatureException", sourceLocation: sourceLocation)
        guard case .malformed(part, let reason)? = error else {
            Issue.record("\(String(describing: error)) is not malformed in \(part)", sourceLocation: sourceLocation)
            return
        }
        #expect(reason.hasPrefix(message), sourceLocation: sourceLocation)
    }

    // MARK: - Declared bodies

    @Test("a declared hash lets the head be judged before the body comes")
    func declared() throws {
        let request = Request().signed(declaresBody: true)
        let head = SignedRequestHead(method: request.method, target: request.target, fields: request.fields)
        let pending = try Authenticator([exampleKey()]).begin(head, at: noon)
        let declared = try #require(pending.declaredBodyDigest)
        #expect(declared == digest(request.body))
        #expect(try pending.finish(bodyDigest: declared).id == exampleID)
        let error = #expect(throws: AuthenticationError.bodyNotAsDeclared) {
            try pending.finish(bodyDigest: digest("another"))
        }
        #expect(error?.exception == "InvalidSignatureException")
        #expect(
            error?.message == "The provided 'x-amz-content-sha256' header does not match what was computed.")
    }

    @Test("who changes body and declared hash together changes what was signed")
    func declaredAnew() {
        var request = Request().signed(declaresBody: true)
        request.body = "another"
        request["X-Amz-Content-SHA256"] = digest("another").hex
        #expect(throws: AuthenticationError.wrongSignature) { try request.authenticate() }
    }

    @Test("a request without a declared hash has none")
    func undeclared() throws {
        let request = Request().signed()
        let head = SignedRequestHead(method: request.method, target: request.target, fields: request.fields)
        #expect(try Authenticator([exampleKey()]).begin(head, at: noon).declaredBodyDigest == nil)
    }

    @Test(
        "a body that is not signed as a whole is refused",
        arguments: ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
    func unsignedPayload(value: String) {
        var request = Request()
        request.fields.append(("X-Amz-Content-SHA256", value))
        let error = #expect(throws: AuthenticationError.unsignedPayload(declared: value)) {
            try request.signed().authenticate()
        }
        #expect(error?.exception == "InvalidSignatureException")
        #expect(error?.message.contains(value) == true)
    }

    @Test(
        "a declared hash that is none is malformed",
        arguments: ["", "0", "sha256:" + digest("").hex, digest("").hex.uppercased(), digest("").hex + "0"])
    func badDeclaredHash(value: String) {
        var request = Request()
        request.fields.append(("X-Amz-Content-SHA256", value))
        expectMalformed(
            .payloadHash, "'x-amz-content-sha256' must be 64 lower-case hexadecimal digits, once.", request.signed())
    }

    @Test("two declared hashes are one too many")
    func twoDeclaredHashes() {
        var request = Request().signed(declaresBody: true)
        request.fields.append(("x-amz-content-sha256", digest(request.body).hex))
        expectMalformed(
            .payloadHash, "'x-amz-content-sha256' must be 64 lower-case hexadecimal digits, once.", request)
    }

    @Test("a refusal for want of rights says who, what and on what")
    func notAuthorized() {
        let error = AuthenticationError.notAuthorized(keyID: "RSTK", operation: "CreateFunction", resource: "arn")
        #expect(error.exception == "AccessDeniedException")
        #expect(
            error.message
                == "User: arn:aws:iam::000000000000:user/RSTK is not authorized to perform: lambda:CreateFunction on "
                + "resource: arn")
    }
}
