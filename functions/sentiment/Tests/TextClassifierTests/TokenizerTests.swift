import Testing

@testable import TextClassifier

@Suite("The tokenizer")
struct TokenizerTests {
    private func features(_ text: String) -> [UInt64] {
        var tokenizer = Tokenizer(seed: 7)
        var result: [UInt64] = []
        Array(text.utf8).withUnsafeBytes { tokenizer.features(of: $0, into: &result) }
        return result
    }

    @Test(
        "reads these as the same text",
        arguments: [
            ("Good FILM", "good film"), ("ÉTÉ Straße", "été straße"), ("ＡＢＣ１！", "abc1!"), ("don’t", "don't"),
            ("a  b\t c", "a b c"), ("'quoted'", "'quoted"), ("好\u{3000}书", "好 书"), ("Привет", "привет"),
            ("\u{FEFF}soft\u{AD}ly", "softly"),
        ])
    func sameText(left: String, right: String) {
        #expect(features(left) == features(right))
    }

    @Test(
        "counts words, pairs and the n-grams of words; characters, pairs and triples of Chinese",
        arguments: [
            ("", 0), ("   ", 0), ("a", 1), ("is it", 3), ("film", 1 + 3), ("bad film", 3 + 2 + 3),
            ("film film", 1 + 1 + 3),
            ("好", 1), ("不好", 3), ("这本书", 6), ("很好很好", 6), ("好!", 3), ("😀😀", 2),
        ])
    func counts(text: String, expected: Int) {
        #expect(features(text).count == expected)
    }

    @Test("ignores how often a feature occurs, not the order of words")
    func presence() {
        #expect(features("好好好") == features("好好好好好"))
        #expect(features("not good") != features("good not"))
    }

    @Test(
        "finds the first byte that is not UTF-8",
        arguments: [
            ([0x61, 0xC3, 0xA9], nil), ([0xEF, 0xBF, 0xBD], nil), ([0x61, 0xFF], 1), ([0xC3], 0), ([0xC0, 0x80], 0),
            ([0xED, 0xA0, 0x80], 0), ([0xF4, 0x90, 0x80, 0x80], 0), ([0xE4, 0xBD], 0), ([0xF0, 0x9F, 0x98, 0x80], nil),
        ] as [([UInt8], Int?)])
    func utf8(bytes: [UInt8], expected: Int?) {
        #expect(bytes.withUnsafeBytes { Tokenizer.firstInvalidByte(of: $0) } == expected)
    }

    @Test("a text of megabytes has a bounded number of features")
    func bound() {
        let text = [UInt8](unsafeUninitializedCapacity: 1_200_000) { buffer, count in
            for index in 0..<1_200_000 { buffer[index] = UInt8(97 + (index &* 7919 >> 5) % 26) }
            for index in stride(from: 5, to: 1_200_000, by: 6) { buffer[index] = 0x20 }
            count = 1_200_000
        }
        var tokenizer = Tokenizer(seed: 7)
        var result: [UInt64] = []
        text.withUnsafeBytes { tokenizer.features(of: $0, into: &result) }
        #expect(result.count <= Tokenizer.featuresMax + 8)
    }
}
