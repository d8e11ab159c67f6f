import Glibc
import Testing
import WorkerRuntime

@testable import TextClassifier

@Suite("Inference")
struct ClassifierTests {
    private static func trained() throws -> Fixture {
        let fixture = Fixture()
        try fixture.write(Fixture.lines(120, labels: ["good", "bad", "so-so"]))
        try fixture.train(["epochs": 2, "buckets": 65536])
        return fixture
    }

    @Test("one text, many texts, none and an empty one")
    func answers() throws {
        let fixture = try Self.trained()
        let one = try fixture.answer(#"{"text": "own0x1 é 好"}"#)
        #expect(one.object?.keys == ["label", "probabilities"])
        let probabilities = try #require(one["probabilities"]?.object)
        #expect(probabilities.keys == ["bad", "good", "so-so"])
        #expect(abs(probabilities.reduce(0) { $0 + $1.value.number! } - 1) < 1e-5)
        #expect(one["label"]?.string == probabilities.max { $0.value.number! < $1.value.number! }?.key)
        let many = try fixture.answer(#"{"texts": ["own0x1 é 好", "", "own1x1"]}"#)["results"]?.array
        #expect(many?.count == 3 && many?.first == one)
        #expect(try fixture.answer(#"{"texts": []}"#) == ["results": []])
        #expect(try fixture.answer(#"{"text": ""}"#)["label"]?.string != nil)
    }

    @Test(
        "says what is wrong with an event",
        arguments: [
            ("{}", "The event must have either text (a string) or texts (an array of strings)"),
            (#"{"text": "a", "texts": []}"#, "The event must have either text"),
            (#"{"text": 1}"#, "text is a number, not a string"),
            (#"{"text": null}"#, "text is null, not a string"),
            (#"{"texts": "a"}"#, "texts is a string, not an array"),
            (#"{"texts": ["a", {}]}"#, "texts[1] is an object, not a string"),
            (#"{"text": "a", "lang": "en"}"#, "Unknown key lang"),
            (#""a""#, "The event is a string, not an object"),
        ])
    func badInput(event: String, expected: String) throws {
        let fixture = try Self.trained()
        #expect(try #require(failure { _ = try fixture.answer(event) }).hasPrefix("BadInput: \(expected)"))
    }

    @Test("takes 1024 texts and no more")
    func limit() throws {
        let fixture = try Self.trained()
        func event(_ count: Int) -> String {
            "{\"texts\":[" + Array(repeating: "\"x\"", count: count).joined(separator: ",") + "]}"
        }
        #expect(try fixture.answer(event(1024))["results"]?.array?.count == 1024)
        #expect(failure { _ = try fixture.answer(event(1025)) } == "BadInput: texts has 1025 texts; the limit is 1024")
    }

    @Test("without a model it starts, and tells how to get one; bad input is still bad input")
    func missingModel() throws {
        for directory in [nil, "/tmp"] {
            let classifier = try Classifier(modelDirectory: directory)
            let message = failure { _ = try classifier.answer(["text": "x"]) }
            #expect(message?.hasPrefix("Model.Missing: This version has no model; train it first") == true)
            #expect(failure { _ = try classifier.answer([:]) }?.hasPrefix("BadInput") == true)
        }
    }

    @Test("a model that is damaged anywhere or cut short anywhere is refused at the start")
    func damagedModel() throws {
        let fixture = try Self.trained()
        let whole = try fixture.model
        func load(_ bytes: [UInt8]) throws -> String? {
            try fixture.write(bytes, to: "output/model.bin")
            return failure { _ = try Classifier(modelDirectory: "\(fixture.path)/output") }
        }
        #expect(try load(whole) == nil)
        for offset in Array(0..<64) + Array(stride(from: 64, to: whole.count, by: 9973)) + [whole.count - 1] {
            var bytes = whole
            bytes[offset] ^= 0x10
            #expect(try load(bytes)?.hasPrefix("Model.Corrupt: ") == true, "byte \(offset)")
        }
        for count in [0, 1, 63, 64, 65, whole.count / 2, whole.count - 1] {
            #expect(try load(Array(whole[..<count]))?.hasPrefix("Model.Corrupt: ") == true, "\(count) bytes")
        }
        #expect(try load(whole + [0])?.hasPrefix("Model.Corrupt: ") == true)
    }
}
