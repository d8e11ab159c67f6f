import Domain
import Foundation
import Signing
import Testing

@Suite("Signatures of webhooks")
struct WebhookSignatureTests {
    private let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    /// The first is the example in the scheme's documentation. All were made by Python's hmac, the first also by the
    /// package `standardwebhooks` 1.1.0:
    /// `base64.b64encode(hmac.new(secret, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest())`
    @Test(
        "signatures are those that others make",
        arguments: [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330,
                Array(#"{"test": 2432232314}"#.utf8), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
            ),
            (
                "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "a", 0, [],
                "v1,N+Hx3edQLOlFWLC6mCr/sY5tyN1fcB3a/kg4SRyryWQ="
            ),
            (
                "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==",
                "executions/1", 1_795_953_600, Array(#"{"größe":"世界"}"#.utf8),
                "v1,KlgVbjHlM1wWn2rfwoNC0yAqGTUalwU3cQYKJYLM1BA="
            ),
            (
                "whsec_//////////////////////////////////////////8=", "b", 1_795_953_600, Array(0...255),
                "v1,O9uAsLQH9bMs/32ZdLS7NF+Nznp8y4l6ZFNeX2KItZY="
            ),
        ] as [(String, String, Int64, [UInt8], String)])
    func vectors(secret: String, id: String, seconds: Int64, body: [UInt8], signature: String) throws {
        let secret = try WebhookSecret(secret)
        // Milliseconds do not count: the header has none.
        let timestamp = Timestamp(millisecondsSince1970: seconds * 1000 + 999)
        #expect(secret.signature(id: id, timestamp: timestamp, body: body) == signature)
        let headers = secret.headers(id: id, timestamp: timestamp, body: body)
        #expect(headers.map(\.name) == ["webhook-id", "webhook-timestamp", "webhook-signature"])
        #expect(headers.map(\.value) == [id, "\(seconds)", signature])
    }

    @Test(
        "what is no secret is refused with the reason",
        arguments: [
            ("", .noPrefix), ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", .noPrefix), ("WHSEC_MfKQ", .noPrefix),
            ("whsec_", .wrongSize(bytes: 0)), ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", .notBase64),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-", .notBase64),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", .notBase64),
            ("whsec_" + Base64.encode([UInt8](repeating: 1, count: 23)), .wrongSize(bytes: 23)),
            ("whsec_" + Base64.encode([UInt8](repeating: 1, count: 65)), .wrongSize(bytes: 65)),
        ] as [(String, WebhookSecretError)])
    func refused(text: String, error: WebhookSecretError) {
        #expect(throws: error) { try WebhookSecret(text) }
    }

    @Test("neither a secret nor an error about it shows what it is")
    func silent() throws {
        #expect("\(try WebhookSecret(text))" == "whsec_...")
        let error = #expect(throws: WebhookSecretError.self) { try WebhookSecret("whsec_c2VjcmV0") }
        #expect(error?.description == "a webhook secret has 24 to 64 bytes, not 6")
    }

    @Test("a secret is read from a file that is its owner's alone, without the white space around it")
    func file() throws {
        let directory = FileManager.default.temporaryDirectory.path + "/roost-webhook-\(UniqueID.random())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/secret"
        func write(_ text: String, mode: Int = 0o600) throws {
            try? FileManager.default.removeItem(atPath: path)
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        func expect(_ expected: WebhookSecretFileError, _ words: String) {
            let error = #expect(throws: expected) { try WebhookSecret(file: path) }
            #expect(error?.description.hasPrefix("\(path): ") == true && error?.description.contains(words) == true)
        }

        expect(.missing(path: path), "no such file")
        for around in ["", "\n", " \t\r\n"] {
            try write(around + text + around)
            #expect(try WebhookSecret(file: path) == WebhookSecret(text))
        }
        for mode in [0o644, 0o640, 0o604, 0o620] {
            try write(text, mode: mode)
            expect(.unreadable(.tooOpen(path: path, mode: UInt32(mode))), "0\(String(mode, radix: 8))")
        }
        try write("")
        expect(.malformed(path: path, .noPrefix), "begins with 'whsec_'")
        try write("\(text)\n\(text)\n")
        expect(.malformed(path: path, .notBase64), "base 64")
        try write(String(repeating: " ", count: 2000))
        expect(.unreadable(.tooLarge(path: path, bytesMax: 1024)), "1024 bytes")
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        expect(.unreadable(.notAFile(path: path)), "no regular file")
    }
}
