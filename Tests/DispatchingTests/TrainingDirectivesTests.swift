import Dispatching
import Domain
import Testing

@Suite("Training directives")
struct TrainingDirectivesTests {
    private static let digest = "sha256:" + String(repeating: "ab", count: 32)

    private static func read(_ event: String) throws -> TrainingDirectives {
        try TrainingDirectives(event: Array(event.utf8))
    }

    @Test("an event without the key starts from $LATEST, without channels, and promotes nothing")
    func absent() throws {
        let directives = try Self.read(#"{"epochs": 3}"#)
        #expect(directives.base == .version(.latest))
        #expect(directives.channels.isEmpty)
        #expect(directives.promote == nil)
    }

    @Test("base, channels and promotion are read")
    func complete() throws {
        let directives = try Self.read(
            #"{"roost": {"base": "live", "channels": {"train": "\#(Self.digest)"}, "promote": {"alias": "live"}}}"#)
        #expect(directives.base == .alias(AliasName("live")!))
        #expect(directives.channels == [.init(name: "train", source: .artifact(Digest(Self.digest)!))])
        #expect(directives.promote == Promotion(alias: AliasName("live")!))
    }

    @Test(
        "a channel may be a dataset, its newest version or a numbered one",
        arguments: [("dataset:reviews", nil), ("dataset:a-B_1@12", 12)] as [(String, Int?)])
    func dataset(text: String, number: Int?) throws {
        let directives = try Self.read(#"{"roost": {"channels": {"train": "\#(text)"}}}"#)
        guard case .dataset(let reference) = directives.channels.first?.source else {
            Issue.record("no dataset")
            return
        }
        #expect(reference.number == number)
        #expect(reference.description == text)
    }

    @Test(
        "a promotion may have a gate",
        arguments: [
            (#""atLeast": 0.8"#, .atLeast(0.8)), (#""atMost": 3"#, .atMost(3)),
            (#""betterThan": "current""#, .betterThanCurrent(.max)),
            (#""betterThan": "current", "direction": "min""#, .betterThanCurrent(.min)),
        ] as [(String, PromotionGate.Condition)])
    func gate(text: String, condition: PromotionGate.Condition) throws {
        let directives = try Self.read(
            #"{"roost": {"promote": {"alias": "live", "if": {"metric": "loss", \#(text)}}}}"#)
        #expect(directives.promote?.gate == PromotionGate(metric: "loss", condition: condition))
    }

    @Test(
        "a gate holds for what is good enough, and says why it does not",
        arguments: [
            (.atLeast(0.8), 0.8, .none, true), (.atLeast(0.8), 0.79, .none, false), (.atMost(1), 1, .none, true),
            (.atMost(1), 1.01, .none, false), (.betterThanCurrent(.max), -5, .none, true),
            (.betterThanCurrent(.max), 2, .version(.published(3), 1), true),
            (.betterThanCurrent(.max), 1, .version(.published(3), 1), false),
            (.betterThanCurrent(.min), 0.5, .version(.published(3), 1), true),
            (.betterThanCurrent(.min), 1, .version(.published(3), 1), false),
            (.betterThanCurrent(.max), 9, .version(.published(3), nil), false),
        ] as [(PromotionGate.Condition, Double, PromotionGate.Current, Bool)])
    func verdict(condition: PromotionGate.Condition, value: Double, current: PromotionGate.Current, holds: Bool) {
        let verdict = PromotionGate(metric: "m", condition: condition).verdict(value: value, current: current)
        #expect(verdict.holds == holds)
        #expect(!verdict.reason.isEmpty)
        if case .version(let number, _) = current { #expect(verdict.reason.contains("version \(number)")) }
    }

    @Test(
        "what cannot be meant is refused, with the key's name",
        arguments: [
            ("[]", "JSON object"), (#"{"roost": 1}"#, "roost"), (#"{"roost": {"bse": "1"}}"#, "bse"),
            (#"{"roost": {"base": "a b"}}"#, "base"),
            (#"{"roost": {"channels": {"train": "/etc/passwd"}}}"#, "channels"),
            (#"{"roost": {"channels": {"train": "dataset:a b"}}}"#, "dataset:a b"),
            (#"{"roost": {"channels": {"train": "dataset:a@0"}}}"#, "dataset:a@0"),
            (#"{"roost": {"channels": {"train": "dataset:a@01"}}}"#, "dataset:a@01"),
            (#"{"roost": {"channels": {"train": "dataset:a@"}}}"#, "dataset:a@"),
            (#"{"roost": {"channels": {"train": "dataset:a@99999999999999999999"}}}"#, "dataset:a@9"),
            (#"{"roost": {"channels": {"a-b": "\#(digest)"}}}"#, "channels"),
            (#"{"roost": {"channels": {"a": "\#(digest)", "A": "\#(digest)"}}}"#, "channels"),
            (#"{"roost": {"promote": {"alias": "7"}}}"#, "alias"), (#"{"roost": {"promote": {}}}"#, "alias"),
            (#"{"roost": {"promote": {"alias": "live", "if": {"metric": "a"}}}}"#, "promote.if"),
            (#"{"roost": {"promote": {"alias": "live", "if": 1}}}"#, "promote.if"),
            (#"{"roost": {"promote": {"alias": "live", "when": "now"}}}"#, "when"),
        ])
    func refused(event: String, key: String) {
        let error = #expect(throws: TrainingDirectives.Invalid.self) { try Self.read(event) }
        #expect(error?.description.contains(key) == true)
    }
}
