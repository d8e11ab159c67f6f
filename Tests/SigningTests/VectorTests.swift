import Crypto
import Domain
import Signing
import Testing

@Suite("Signatures of others")
struct VectorTests {
    @Test("the payload's hash, the canonical request and the signature are those of the contract")
    func contract() throws {
        let first = try #require(recorded.first)
        #expect(
            digest(#"{"x":1}"#).hex == "5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22")
        let head = SignedRequestHead(method: first.method, target: first.target, fields: first.fields)
        let canonical = CanonicalRequest(head, signedHeaders: ["host", "x-amz-date", "x-amz-log-type"])
        #expect(
            digest(String(decoding: canonical.bytes, as: UTF8.self) + digest(first.body).hex).hex
                == "6ae63d17b8a42ad1cb4833fe73c9df306d957cbae2015243b7ee3153471a70ae")
        #expect(first.signature == "9354e6a39080d78538934eddc770307ddc731bf7cc6e657ba20758f7efd78faa")
    }

    @Test("the canonical request is what the documentation describes, line by line")
    func canonicalRequest() {
        let head = SignedRequestHead(
            method: "GET", target: "//a%3Ab/./x/../é?b=2&a&a=1&&c==",
            fields: [("X-Amz-B", " 1 \t 2"), ("Host", "h"), ("x-amz-b", "3")])
        let canonical = CanonicalRequest(head, signedHeaders: ["host", "x-amz-b"])
        #expect(
            String(decoding: canonical.bytes, as: UTF8.self) == """
                GET
                /a%253Ab/%C3%A9
                =&a=&a=1&b=2&c==
                host:h
                x-amz-b:1 2,3

                host;x-amz-b

                """)
    }

    @Test(
        "a path is encoded as it came, without dot segments and empty ones",
        arguments: [
            ("/", "/"), ("", "/"), ("//", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a//b", "/a/b"), ("/a/..", "/"),
            ("/a/../", "/"), ("/a/b/..", "/a"), ("/a/b/.", "/a/b"), ("/../a", "/a"), ("/a/./b/", "/a/b/"),
            ("/%2e%2E/a", "/%252e%252E/a"), ("/a..b/...", "/a..b/..."), ("/~-_.", "/~-_."), ("/:", "/%3A"),
        ])
    func path(raw: String, canonical: String) {
        let head = SignedRequestHead(method: "GET", target: raw)
        let lines = CanonicalRequest(head, signedHeaders: []).bytes.split(separator: 0x0A)
        #expect(String(decoding: lines[1], as: UTF8.self) == canonical)
    }

    @Test("what botocore signed is taken", arguments: recorded)
    func verified(request: Recorded) throws {
        let keys = [exampleKey(token: request.hasToken ? exampleToken : nil)]
        let head = SignedRequestHead(
            method: request.method, target: request.target,
            fields: request.fields + [("Authorization", authorization(request))])
        let pending = try Authenticator(keys).begin(head, at: noon)
        #expect(try pending.finish(bodyDigest: digest(request.body)).id == exampleID)
        #expect(throws: AuthenticationError.self) { try pending.finish(bodyDigest: digest(request.body + " ")) }
    }

    @Test("ours is the same signature", arguments: recorded.filter { $0.signedHeaders.contains("x-amz-date") })
    func signed(request: Recorded) {
        let signer = Signer(
            keyID: exampleID, secret: exampleSecret, sessionToken: request.hasToken ? exampleToken : nil)
        let added = ["X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-SHA256"]
        let fields = signer.sign(
            request.method, target: request.target, fields: request.fields.filter { !added.contains($0.name) },
            bodyDigest: digest(request.body), declaresBody: request.signedHeaders.contains("x-amz-content-sha256"),
            at: noon)
        #expect(fields.last?.name == "Authorization")
        #expect(fields.last?.value == authorization(request))
    }

    private func authorization(_ request: Recorded) -> String {
        "AWS4-HMAC-SHA256 Credential=\(exampleID)/20261123/us-east-1/lambda/aws4_request, "
            + "SignedHeaders=\(request.signedHeaders), Signature=\(request.signature)"
    }
}
