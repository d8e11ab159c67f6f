import Domain
import Foundation
import Testing

@testable import RoostCommand

@Suite("Whose key signs")
struct CredentialsTests {
    private static let file = """
        # made by hand
        [default]
        aws_access_key_id = DEFAULTID
        aws_secret_access_key=default/secret+=\r
        region = eu-west-1

        ; the others
        [work]
        AWS_Access_Key_Id : WORKID
        aws_secret_access_key : work-secret
        aws_session_token = work-token==
        s3 =
            signature_version = s3v4
            aws_access_key_id = OTHERID
        [half]
        aws_access_key_id = HALFID
        [none]
        role_arn = arn:aws:iam::000000000000:role/r
        [blank]
        aws_access_key_id = BLANKID
        aws_secret_access_key = two words

        """

    private let path = FileManager.default.temporaryDirectory.path + "/roost-credentials-\(UniqueID.random())"

    /// - Parameter file: the text of the credentials file; nil for none.
    private func find(
        profile: String? = nil, _ variables: [String: String] = [:], file: String? = Self.file
    ) throws -> Credentials? {
        defer { try? FileManager.default.removeItem(atPath: path) }
        var variables = variables
        if let file {
            try Data(file.utf8).write(to: URL(fileURLWithPath: path))
            variables["AWS_SHARED_CREDENTIALS_FILE"] = path
        }
        return try Credentials.find(profile: profile) { variables[$0] }
    }

    private static let environment = ["AWS_ACCESS_KEY_ID": "ENVID", "AWS_SECRET_ACCESS_KEY": "env-secret"]

    @Test("a profile that is asked for wins over the environment, that over AWS_PROFILE, that over default")
    func order() throws {
        let both = Self.environment.merging(["AWS_PROFILE": "work"]) { $1 }
        #expect(try find(profile: "work", Self.environment)?.keyID == "WORKID")
        #expect(try find(profile: "default", both)?.keyID == "DEFAULTID")
        #expect(try find(both)?.keyID == "ENVID")
        #expect(try find(["AWS_PROFILE": "work"])?.keyID == "WORKID")
        #expect(try find()?.keyID == "DEFAULTID")
        #expect(try find([:], file: "[work]\naws_access_key_id=a\naws_secret_access_key=b") == nil)
        #expect(try find([:], file: "[default]\nregion=us-east-1") == nil)
        #expect(try find([:], file: "") == nil)
        #expect(try find(["HOME": "/nowhere"], file: nil) == nil)
        #expect(try find([:], file: nil) == nil)
    }

    @Test("all of a key is read")
    func values() throws {
        let work = try #require(try find(profile: "work"))
        #expect((work.secret, work.sessionToken, work.region) == ("work-secret", "work-token==", "us-east-1"))
        let standard = try #require(try find())
        #expect((standard.secret, standard.sessionToken) == ("default/secret+=", nil))
        let session = try #require(
            try find(Self.environment.merging(["AWS_SESSION_TOKEN": "token"]) { $1 }))
        #expect((session.secret, session.sessionToken) == ("env-secret", "token"))
    }

    @Test("the region is the environment's, else the profile's, else that of hosts")
    func region() throws {
        #expect(try find(Self.environment)?.region == "us-east-1")
        #expect(try find()?.region == "eu-west-1")
        #expect(try find(["AWS_DEFAULT_REGION": "eu-north-1"])?.region == "eu-north-1")
        #expect(try find(["AWS_DEFAULT_REGION": "a", "AWS_REGION": "us-gov-west-1"])?.region == "us-gov-west-1")
    }

    @Test("the file in the home folder is read, and so is one that is named from there")
    func home() throws {
        let home = path
        try FileManager.default.createDirectory(atPath: home + "/.aws", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: home) }
        try Data(Self.file.utf8).write(to: URL(fileURLWithPath: home + "/.aws/credentials"))
        #expect(try Credentials.find(profile: nil) { ["HOME": home][$0] }?.keyID == "DEFAULTID")
        let named = ["HOME": home, "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"]
        #expect(try Credentials.find(profile: "work") { named[$0] }?.keyID == "WORKID")
    }

    @Test(
        "half a key is wrong usage, and so is one that cannot be sent",
        arguments: [
            (["AWS_ACCESS_KEY_ID": "a"], "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not"),
            (["AWS_SECRET_ACCESS_KEY": "a"], "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not"),
            (["AWS_SESSION_TOKEN": "a"], "AWS_SESSION_TOKEN is set, but AWS_ACCESS_KEY_ID is not"),
            (["AWS_ACCESS_KEY_ID": "a/b", "AWS_SECRET_ACCESS_KEY": "a"], "the access key id of the environment"),
            (["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a\n"], "the secret access key of the environment"),
            (
                ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_SESSION_TOKEN": "a b"],
                "the session token of the environment"
            ),
            (
                ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_REGION": "us/east"],
                "'us/east' is no region"
            ),
            (["AWS_PROFILE": "half"], "profile 'half' in "), (["AWS_PROFILE": "none"], "profile 'none' in "),
            (["AWS_PROFILE": "blank"], "the secret access key of profile 'blank' in "),
            (["AWS_PROFILE": "missing"], "there is no profile 'missing' in "),
        ] as [([String: String], String)])
    func unusable(variables: [String: String], message: String) {
        let error = #expect(throws: CommandError.self) { try find(variables) }
        #expect(error?.exitStatus == 2)
        #expect(error?.message?.hasPrefix(message) == true)
        #expect(error?.message?.contains("two words") == false)
    }

    @Test("a profile needs a file, and a file that is named must be there")
    func noFile() throws {
        let profile = #expect(throws: CommandError.self) { try find(profile: "work", ["HOME": "/nowhere"], file: nil) }
        #expect(profile?.message?.contains("there is no file ~/.aws/credentials") == true)
        let named = #expect(throws: CommandError.self) {
            try find(["AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials"], file: nil)
        }
        #expect(named?.message?.hasPrefix("/nowhere/credentials: open") == true)
        #expect(try find(["AWS_SHARED_CREDENTIALS_FILE": "/dev/null"], file: nil) == nil)
    }

    @Test(
        "a file with anything else in it is wrong usage, and the message names the line",
        arguments: [
            ("aws_access_key_id = a", 1, "belongs to no [profile]"), ("[default]\n\nnonsense", 3, "neither"),
            ("[default", 1, "no [profile]"), ("[]", 1, "no [profile]"), ("[a]\n[a]", 2, "twice"),
            ("[a]\nx = 1\nX = 2", 3, "twice"), ("[a]\n= 1", 2, "neither"),
        ])
    func badFile(text: String, line: Int, reason: String) {
        let error = #expect(throws: CommandError.self) { try find([:], file: text) }
        #expect(error?.exitStatus == 2)
        #expect(error?.message?.hasPrefix("\(path), line \(line): ") == true)
        #expect(error?.message?.contains(reason) == true)
    }

    @Test("a file that is no text is wrong usage")
    func noText() {
        let error = #expect(throws: CommandError.self) {
            try CredentialsFile(path: "f", text: Array("[a]\n".utf8) + [0xFF])
        }
        #expect(error?.message == "f, line 2: this is no UTF-8 text")
    }

    @Test(
        "the time that a key is good for has a unit",
        arguments: [("1s", 1), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("365d", 31_536_000)])
    func times(text: String, seconds: Int64) throws {
        #expect(try Keys.seconds(text) == seconds)
    }

    @Test(
        "other times are wrong usage",
        arguments: [
            "", "s", "0s", "12", "12w", "-1h", "+1h", "1.5h", "366d", "9000h", "99999999999999999999h", "1 h", "12H",
        ])
    func badTimes(text: String) {
        let error = #expect(throws: CommandError.self) { try Keys.seconds(text) }
        #expect(error?.exitStatus == 2)
    }

    @Test(
        "a request's Host and path are what the endpoint has",
        arguments: [
            ("http://127.0.0.1:7070", "127.0.0.1:7070", ""), ("https://models.example/a/b/", "models.example", "/a/b"),
            ("http://[::1]:80/x", "[::1]:80", "/x"),
        ])
    func endpoint(text: String, authority: String, basePath: String) throws {
        let endpoint = try Endpoint(text)
        #expect((endpoint.authority, endpoint.basePath) == (authority, basePath))
    }
}
