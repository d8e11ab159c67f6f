import Domain
import Testing

@Suite("Domain")
struct DomainTests {
    @Test(
        "a timestamp is written in RFC 3339 with milliseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"), (1_795_435_200_007, "2026-11-23T12:00:00.007Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func timestamp(milliseconds: Int64, expected: String) {
        #expect(Timestamp(millisecondsSince1970: milliseconds).text == expected)
    }

    @Test("instants and intervals saturate instead of overflowing")
    func saturation() {
        #expect(Instant(nanoseconds: .max - 1) + .seconds(1) == .distantFuture)
        #expect(Interval.seconds(Int.max) == .forever)
        #expect(Interval.seconds(1e300) == .forever)
    }

    @Test("a UUID has version 4 and the right form, and no two are alike")
    func uniqueIDs() {
        let ids = (0..<10_000).map { _ in UniqueID.random() }
        #expect(Set(ids).count == ids.count)
        for id in ids.prefix(100) {
            #expect(id.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil)
        }
        let trace = UniqueID.trace(at: Timestamp(millisecondsSince1970: 1_000))
        #expect(trace.wholeMatch(of: /Root=1-00000001-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0/) != nil)
    }

    @Test(
        "function names are 1 to 64 letters, digits, - and _",
        arguments: [
            ("echo", true), ("A-b_9", true), ("", false), ("a.b", false), ("ü", false),
            (String(repeating: "a", count: 64), true), (String(repeating: "a", count: 65), false),
        ])
    func functionNames(text: String, isValid: Bool) {
        #expect((FunctionName(text) != nil) == isValid)
    }

    @Test(
        "a qualifier is $LATEST, a number from 1, or an alias that is not all digits",
        arguments: [
            ("$LATEST", .version(.latest)), ("7", .version(.published(7))), ("live", .alias(AliasName("live")!)),
            ("0", nil), ("", nil), ("$OTHER", nil),
        ] as [(String, Qualifier?)])
    func qualifiers(text: String, expected: Qualifier?) {
        #expect(Qualifier(text) == expected)
    }

    @Test(
        "runtimes are those that are supported, written as they are",
        arguments: [
            ("swift", true), ("python3", true), ("python3.11", true), ("provided.al2023", true), ("python3.011", false),
            ("python2.7", false), ("nodejs20.x", false), ("", false),
        ])
    func runtimes(text: String, isSupported: Bool) {
        #expect(Runtime(text)?.description == (isSupported ? text : nil))
    }

    @Test("settings come from ROOST_ variables, and others are no concern")
    func settings() throws {
        let settings = try FunctionSettings(environment: [
            "ROOST_KEEP_ALIVE": "1.5", "ROOST_WORKER_CONCURRENCY": "4", "ROOST_NETWORK": "true", "KEY": "value",
        ])
        #expect(settings.keepAlive == .seconds(1.5))
        #expect(settings.workerConcurrency == 4)
        #expect(settings.isNetworkAllowed)
        #expect(settings.initTimeoutSeconds == 30)
    }

    @Test(
        "a ROOST_ variable that is unknown or out of range is refused by name",
        arguments: [
            ("ROOST_KEEP_ALIVE", "-1"), ("ROOST_KEEP_ALIVE", "long"), ("ROOST_INIT_TIMEOUT", "0"),
            ("ROOST_WORKER_CONCURRENCY", "65"), ("ROOST_NETWORK", "yes"), ("ROOST_TRAINS", "a.b"), ("ROOST_X", "1"),
        ])
    func badSettings(name: String, value: String) {
        let error = #expect(throws: FunctionSettings.Invalid.self) {
            try FunctionSettings(environment: [name: value])
        }
        #expect(error?.description.contains(name) == true)
    }

    @Test("a digest reads with and without its prefix, and gives its bytes back")
    func digests() throws {
        let hex = String(repeating: "0f", count: 32)
        let digest = try #require(Digest("sha256:" + hex))
        #expect(Digest(hex) == digest)
        #expect(Digest(bytes: digest.bytes) == digest)
        #expect(Digest(hex.uppercased()) == nil)
        #expect(Digest("sha256:" + hex.dropLast()) == nil)
    }
}
