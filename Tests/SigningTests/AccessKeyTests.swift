import Domain
import Signing
import Testing

@Suite("Access keys")
struct AccessKeyTests {
    @Test("a new key has the form that AWS's clients expect, and no two are alike")
    func form() {
        let keys = (0..<200).map { _ in AccessKey.random(createdAt: noon, expiresAt: noon + 1) }
        for key in keys {
            #expect(key.id.utf8.count == 20 && key.id.hasPrefix("RSTK"))
            #expect(key.id.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) })
            #expect(key.secret.utf8.count == 40 && key.session?.token.utf8.count == 64)
            #expect(key.secret.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x27 && $0 != 0x24 })
        }
        #expect(Set(keys.map(\.id)).count == 200 && Set(keys.map(\.secret)).count == 200)
        // All of the 64 digits are drawn.
        #expect(Set(keys.flatMap { Array($0.secret.utf8) }).count == 64)
        #expect(AccessKey.random(createdAt: noon).session == nil)
    }

    @Test("a temporary key expires at its time, another never")
    func expiry() {
        let key = AccessKey.random(createdAt: noon, expiresAt: noon + 1)
        #expect(!key.isExpired(at: noon))
        #expect(key.isExpired(at: noon + 1))
        #expect(!exampleKey().isExpired(at: noon + 1_000_000_000))
    }

    @Test(
        "a star stands for any characters, also for none",
        arguments: [
            ("*", "m", true), ("m", "m", true), ("m", "n", false), ("m", "mm", false), ("mm", "m", false),
            ("m*", "m", true), ("m*", "model", true), ("m*", "am", false), ("*-train", "m-train", true),
            ("*-train", "m-trainer", false), ("*-train", "-train", true), ("a*b*c", "abc", true),
            ("a*b*c", "a-b-bc", true), ("a*b*c", "acb", false), ("**", "x", true), ("*ab", "aab", true),
            ("*aab", "aaab", true), ("a**", "b", false), ("M", "m", false),
        ])
    func patterns(pattern: String, name: String, matches: Bool) throws {
        #expect(try #require(FunctionPattern(pattern)).matches(#require(FunctionName(name))) == matches)
    }

    @Test("what could match no function is no pattern", arguments: ["", "a b", "a.b", "ä", "a/*", "[ab]", "a?"])
    func badPattern(text: String) {
        #expect(FunctionPattern(text) == nil)
        #expect(FunctionPattern(String(repeating: "*", count: 65)) == nil)
    }

    @Test("a key may do its actions with its functions, and what concerns the host only if it is for all")
    func rights() throws {
        let model = try #require(FunctionName("model"))
        let other = try #require(FunctionName("other"))
        let everything = AccessKey.random(createdAt: noon)
        for action in AccessKey.Action.allCases {
            #expect(everything.allows(action, model) && everything.allows(action, nil))
        }
        let some = AccessKey.random(
            createdAt: noon, functions: [try #require(FunctionPattern("mod*")), try #require(FunctionPattern("x"))],
            actions: [.invoke, .train])
        #expect(some.allows(.invoke, model) && some.allows(.train, model) && !some.allows(.manage, model))
        #expect(some.allows(.invoke, FunctionName("x")) && !some.allows(.invoke, other))
        #expect(!some.allows(.invoke, nil) && !some.allows(.manage, nil))
        let invoker = AccessKey.random(createdAt: noon, actions: [.invoke])
        #expect(invoker.allows(.invoke, nil) && !invoker.allows(.manage, nil) && !invoker.allows(.train, model))
    }

    @Test("times are read as they are written", arguments: [0, 951_782_400_000, 1_795_435_740_061, 4_102_444_799_999])
    func times(milliseconds: Int64) {
        let time = Timestamp(millisecondsSince1970: milliseconds)
        #expect(Timestamp(text: time.text) == time)
        #expect(Timestamp(basicText: Array(time.basicText.utf8))?.millisecondsSince1970 == milliseconds / 1000 * 1000)
    }

    @Test(
        "a day is one of its month",
        arguments: [
            ("20240229", true), ("20250229", false), ("20000229", true), ("21000229", false), ("20260431", false),
            ("20260100", false), ("20260001", false), ("20261301", false), ("19700101", true), ("19691231", false),
        ])
    func days(text: String, isDay: Bool) {
        #expect((Timestamp(basicText: Array((text + "T000000Z").utf8)) != nil) == isDay)
    }
}
