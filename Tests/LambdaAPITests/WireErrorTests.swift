import Artifacts
import Dispatching
import Domain
import LambdaAPI
import Management
import Testing

@Suite struct WireErrorTests {
    let name = FunctionName("m")!
    let alias = AliasName("live")!

    private func body(_ error: WireError) -> String { String(decoding: error.response.body, as: UTF8.self) }

    @Test("a function that is not there is named with $LATEST only where AWS does")
    func notFound() {
        let error = ManagementError.functionNotFound(name, nil)
        let plain = WireError(error).response
        #expect(plain.status == 404)
        #expect(plain.header("x-amzn-ErrorType") == "ResourceNotFoundException")
        #expect(
            body(WireError(error))
                == #"{"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:m"}"#)
        #expect(body(WireError(error, .qualified)).hasSuffix(#"function:m:$LATEST"}"#))
        #expect(body(WireError(.functionNotFound(name, .alias(alias)), .qualified)).hasSuffix(#"function:m:live"}"#))
    }

    @Test("messages are spelt as the model spells them for each exception")
    func casing() {
        #expect(body(WireError(.functionExists(name))) == #"{"Type":"User","message":"Function already exist: m"}"#)
        #expect(body(WireError(.validation, "v")) == #"{"message":"v"}"#)
        #expect(body(WireError(.service, "s")) == #"{"Type":"Service","Message":"s"}"#)
        #expect(WireError(.revisionMismatch).response.status == 412)
        #expect(body(WireError(.revisionMismatch)).contains(#""message":"The Revision Id provided"#))
        #expect(WireError(.executionExists(ExecutionName("x")!)).response.status == 409)
        #expect(body(WireError(.executionExists(ExecutionName("x")!))).contains(#""Message":"#))
    }

    @Test("a read of an alias and a change of one speak of its absence in different words")
    func aliases() {
        let error = ManagementError.aliasNotFound(name, alias)
        #expect(WireError(error, .readingAlias).message.hasPrefix("Cannot find alias arn: arn:aws:lambda"))
        #expect(WireError(error).message.hasPrefix("Alias not found: arn:aws:lambda"))
    }

    @Test("digests are told in base 64, as clients know them")
    func digests() {
        let digest = Digest(bytes: [UInt8](repeating: 0, count: 32))
        let error = WireError(.codeDigestMismatch(given: digest.hex, current: digest.hex))
        #expect(error.message.contains("(\(String(repeating: "A", count: 43))=)"))
    }

    @Test(
        "a refused invocation says when to come back, and why",
        arguments: [
            (.noConcurrency, true, 429, "60", "ReservedFunctionConcurrentInvocationLimitExceeded"),
            (.queueFull(limit: 9), false, 429, "1", "ConcurrentInvocationLimitExceeded"),
            (
                .wouldWaitTooLong(.seconds(7), limit: .seconds(2)), false, 429, "5",
                "ConcurrentInvocationLimitExceeded"
            ),
            (.startsPaused(retryAfter: .milliseconds(2100)), false, 429, "3", "ConcurrentInvocationLimitExceeded"),
            (.shuttingDown, false, 503, "1", nil),
        ] as [(InvocationRefusal, Bool, Int, String, String?)])
    func refusals(_ refusal: InvocationRefusal, isReserved: Bool, status: Int, retryAfter: String, reason: String?) {
        let error = WireError(refusal, isReserved: isReserved)
        #expect(error.response.status == status)
        #expect(error.response.header("Retry-After") == retryAfter)
        #expect(error.fields["Reason"] == reason)
        if status == 429 { #expect(error.message == "Rate Exceeded.") }
    }

    @Test("a package that cannot be read is the client's fault")
    func packages() {
        let error = WireError(ArtifactError.badPath(path: "../x", .dotComponent))
        #expect(error.status == 400)
        #expect(error.message.contains("'../x' has a component '.' or '..'"))
    }

    @Test("all faults of a request are told at once")
    func violations() {
        var violations = Violations()
        violations.check(0, at: "timeout", in: 1...10)
        violations.check("x y", at: "handler", pattern: "p", false)
        let error = #expect(throws: WireError.self) { try violations.refuse() }
        #expect(
            error?.message
                == "2 validation errors detected: Value '0' at 'timeout' failed to satisfy constraint: Member "
                + "must have value greater than or equal to 1; Value 'x y' at 'handler' failed to satisfy constraint: "
                + "Member must satisfy regular expression pattern: p")
    }
}

@Suite struct Base64Tests {
    @Test(
        "text and bytes convert both ways",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy"),
        ])
    func vectors(_ plain: String, encoded: String) {
        #expect(Base64.encode(plain.utf8) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test(
        "only whole groups with their padding are taken",
        arguments: ["Z", "Zg", "Zg=", "Zg==\n", "Zh==", "Zm9=", "Z===", "====", "Zm 9", "Zg==Zg==", "Zm9-", "é==="])
    func strict(_ text: String) { #expect(Base64.decode(text) == nil) }

    @Test("random bytes survive")
    func random() {
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max) }
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
        }
    }
}
