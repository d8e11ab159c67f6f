import JSON
import Testing

/// Bytes of a table entry: ASCII and UTF-8 as written, `\xHH` for any byte. (`\\x` cannot occur in these tables.)
private func bytes(_ text: String) -> [UInt8] {
    var result: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let first = rest.popFirst() {
        if first == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "x") {
            result.append(UInt8(String(decoding: rest.dropFirst().prefix(2), as: UTF8.self), radix: 16)!)
            rest = rest.dropFirst(3)
        } else {
            result.append(first)
        }
    }
    return result
}

private func check(_ text: [UInt8], chunks: [Range<Int>], depthMax: Int = 1024) -> JSONSyntaxError? {
    var scanner = JSONScanner(depthMax: depthMax)
    return text.withUnsafeBytes { raw in
        do throws(JSONSyntaxError) {
            for chunk in chunks { try scanner.scan(UnsafeRawBufferPointer(rebasing: raw[chunk])) }
            try scanner.finish()
            return nil
        } catch {
            return error
        }
    }
}

/// The verdict on the whole text, having checked that no way of cutting it gives another.
private func check(_ text: [UInt8], depthMax: Int = 1024) -> JSONSyntaxError? {
    let whole = check(text, chunks: [0..<text.count], depthMax: depthMax)
    let single = check(text, chunks: text.indices.map { $0..<($0 + 1) }, depthMax: depthMax)
    #expect(whole == single, "one byte at a time: \(text)")
    for cut in text.indices {
        let halves = check(text, chunks: [0..<cut, cut..<text.count], depthMax: depthMax)
        #expect(whole == halves, "cut at \(cut): \(text)")
    }
    return whole
}

@Suite struct JSONScannerTests {
    @Test("valid texts are accepted, wherever they are cut", arguments: acceptedTexts)
    func accepts(_ text: String) {
        #expect(check(bytes(text)) == nil)
        #expect(Oracle.accepts(bytes(text)))
    }

    @Test("invalid texts are refused, wherever they are cut", arguments: refusedTexts)
    func refuses(_ text: String) {
        #expect(check(bytes(text)) != nil)
        #expect(!Oracle.accepts(bytes(text)))
    }

    @Test("an error says where and why", arguments: locatedErrors)
    func locates(_ text: String, offset: Int, reason: JSONSyntaxReason) {
        #expect(check(bytes(text)) == JSONSyntaxError(offset: offset, reason: reason))
    }

    @Test("nesting is allowed up to the limit and not past it", arguments: [1, 63, 64, 65, 127, 128, 129, 1024])
    func depth(limit: Int) {
        func nested(_ count: Int, _ open: String, _ close: String) -> [UInt8] {
            Array((String(repeating: open, count: count) + "1" + String(repeating: close, count: count)).utf8)
        }
        for (open, close) in [("[", "]"), (#"{"a":"#, "}")] {
            let fits = nested(limit, open, close)
            let over = nested(limit + 1, open, close)
            #expect(check(fits, chunks: [0..<fits.count], depthMax: limit) == nil)
            let error = check(over, chunks: [0..<over.count], depthMax: limit)
            #expect(error == JSONSyntaxError(offset: limit * open.utf8.count, reason: .tooDeep))
        }
    }

    @Test("brackets must match at every depth", arguments: [1, 63, 64, 65, 128, 200])
    func mixedNesting(depth: Int) {
        // Alternating brackets, so that a lost or swapped bit of the stack shows.
        let opens = (0..<depth).map { $0 % 3 == 0 ? "[" : #"{"a":"# }
        let closes = (0..<depth).reversed().map { $0 % 3 == 0 ? "]" : "}" }
        let right = Array((opens.joined() + "1" + closes.joined()).utf8)
        #expect(check(right, chunks: [0..<right.count]) == nil)
        for wrong in 0..<depth {
            var closes = closes
            closes[wrong] = closes[wrong] == "]" ? "}" : "]"
            let text = Array((opens.joined() + "1" + closes.joined()).utf8)
            #expect(check(text, chunks: [0..<text.count]) != nil)
        }
    }

    @Test("every single byte and every pair of bytes in a string is judged as the oracle does")
    func bytePairsInStrings() {
        for first in UInt8.min...UInt8.max {
            for second in UInt8.min...UInt8.max {
                let text = [UInt8(ascii: "\""), first, second, UInt8(ascii: "\"")]
                #expect((check(text, chunks: [0..<4]) == nil) == Oracle.accepts(text), "\(text)")
            }
        }
    }

    @Test("every code point is accepted, and every sequence cut short, overlong or a surrogate is not")
    func everyCodePoint() {
        var text: [UInt8] = [UInt8(ascii: "\"")]
        for value in UInt32(0x80)...0x10FFFF {
            guard let scalar = Unicode.Scalar(value) else { continue }
            text.append(contentsOf: String(Character(scalar)).utf8)
        }
        text.append(UInt8(ascii: "\""))
        #expect(check(text, chunks: [0..<text.count]) == nil)
        for first in UInt8(0xE0)...0xFF {
            for second in UInt8.min...UInt8.max {
                for tail in [[0x80], [0x80, 0x80], [0xBF, 0xBF], [0x7F, 0x80], [0x80, 0xC0], [0x80, 0x80, 0x80]]
                    as [[UInt8]]
                {
                    let text = [0x22, first, second] + tail + [0x22]
                    #expect((check(text, chunks: [0..<text.count]) == nil) == Oracle.accepts(text), "\(text)")
                }
            }
        }
    }

    @Test("random texts are judged as the oracle does")
    func random() {
        let seed = UInt64.random(in: .min ... .max)
        print("JSONScannerTests.random: seed \(seed)")
        var generator = SplitMix64(state: seed)
        // Mostly bytes that mean something, so that a good part of the texts is valid or nearly so.
        let alphabet =
            Array(#"[]{}:,"""\u00aAeE+-.0123 tfn/"#.utf8) + [
                0x80, 0xC3, 0xA9, 0xE4, 0xB8, 0xAD, 0xF0, 0x9F, 0x0A, 0, 0xFF,
            ]
        var accepted = 0
        for _ in 0..<200_000 {
            let count = Int.random(in: 0...12, using: &generator)
            let text = (0..<count).map { _ in alphabet.randomElement(using: &generator)! }
            verdicts(text, &generator, &accepted)
        }
        for _ in 0..<20_000 {
            var text = randomValue(depth: 0, &generator)
            for _ in 0..<Int.random(in: 0...2, using: &generator) {
                let at = text.indices.randomElement(using: &generator)!
                switch Int.random(in: 0...2, using: &generator) {
                case 0: text[at] = alphabet.randomElement(using: &generator)!
                case 1: text.insert(alphabet.randomElement(using: &generator)!, at: at)
                default: if text.count > 1 { text.remove(at: at) }
                }
            }
            verdicts(text, &generator, &accepted)
        }
        #expect(accepted > 5_000)
    }

    private func verdicts(_ text: [UInt8], _ generator: inout SplitMix64, _ accepted: inout Int) {
        let expected = Oracle.accepts(text)
        if expected { accepted += 1 }
        let cut = Int.random(in: 0...text.count, using: &generator)
        let whole = check(text, chunks: [0..<text.count])
        let halves = check(text, chunks: [0..<cut, cut..<text.count])
        if (whole == nil) != expected || whole != halves {
            Issue.record(
                "\(text): oracle \(expected), whole \(String(describing: whole)), cut at \(cut) \(String(describing: halves))"
            )
        }
    }

    private func randomValue(depth: Int, _ generator: inout SplitMix64) -> [UInt8] {
        let pieces = [
            "null", "true", "false", "0", "-0", "12.5e-7", "1e400", #""""#, #""a\u00e9\n""#, "\"é中😀\"",
            #""plain text that is long""#,
        ]
        let space = [" ", "", "", "\n\t"]
        switch Int.random(in: 0...(depth > 4 ? 5 : 9), using: &generator) {
        case 0...5:
            return Array((space.randomElement(using: &generator)! + pieces.randomElement(using: &generator)!).utf8)
        case 6, 7:
            let elements = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                randomValue(depth: depth + 1, &generator)
            }
            return [UInt8(ascii: "[")] + elements.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "]")]
        default:
            let elements = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                Array(#""k":"#.utf8) + randomValue(depth: depth + 1, &generator)
            }
            return [UInt8(ascii: "{")] + elements.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "}")]
        }
    }
}

struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// The grammar of RFC 8259 written down a second time, slowly: recursive descent over a whole array, with the
/// standard library as the judge of UTF-8.
enum Oracle {
    static func accepts(_ text: [UInt8]) -> Bool {
        guard let decoded = String(validating: text, as: UTF8.self) else { return false }
        var rest = Substring(decoded).unicodeScalars[...]
        return white(&rest) && value(&rest) && white(&rest) && rest.isEmpty
    }

    private typealias Rest = Substring.UnicodeScalarView.SubSequence

    private static func white(_ rest: inout Rest) -> Bool {
        rest = rest.drop { [" ", "\t", "\n", "\r"].contains($0) }
        return true
    }

    private static func take(_ scalar: Unicode.Scalar, _ rest: inout Rest) -> Bool {
        guard rest.first == scalar else { return false }
        rest.removeFirst()
        return true
    }

    private static func value(_ rest: inout Rest) -> Bool {
        switch rest.first {
        case "{": members(&rest)
        case "[": elements(&rest)
        case "\"": string(&rest)
        case "t": "true".unicodeScalars.allSatisfy { take($0, &rest) }
        case "f": "false".unicodeScalars.allSatisfy { take($0, &rest) }
        case "n": "null".unicodeScalars.allSatisfy { take($0, &rest) }
        default: number(&rest)
        }
    }

    private static func members(_ rest: inout Rest) -> Bool {
        guard take("{", &rest), white(&rest) else { return false }
        if take("}", &rest) { return true }
        repeat {
            guard white(&rest), string(&rest), white(&rest), take(":", &rest) else { return false }
            guard white(&rest), value(&rest), white(&rest) else { return false }
        } while take(",", &rest)
        return take("}", &rest)
    }

    private static func elements(_ rest: inout Rest) -> Bool {
        guard take("[", &rest), white(&rest) else { return false }
        if take("]", &rest) { return true }
        repeat {
            guard white(&rest), value(&rest), white(&rest) else { return false }
        } while take(",", &rest)
        return take("]", &rest)
    }

    private static func string(_ rest: inout Rest) -> Bool {
        guard take("\"", &rest) else { return false }
        while let scalar = rest.popFirst() {
            if scalar == "\"" { return true }
            if scalar.value < 0x20 { return false }
            guard scalar == "\\" else { continue }
            guard let escape = rest.popFirst() else { return false }
            if escape == "u" {
                let hex = rest.prefix(4)
                guard hex.count == 4, hex.allSatisfy({ $0.isASCII && $0.properties.isASCIIHexDigit }) else {
                    return false
                }
                rest = rest.dropFirst(4)
            } else if !"\"\\/bfnrt".unicodeScalars.contains(escape) {
                return false
            }
        }
        return false
    }

    private static func digits(_ rest: inout Rest) -> Int {
        let found = rest.prefix { ("0"..."9").contains($0) }.count
        rest = rest.dropFirst(found)
        return found
    }

    private static func number(_ rest: inout Rest) -> Bool {
        _ = take("-", &rest)
        if !take("0", &rest), digits(&rest) == 0 { return false }
        if take(".", &rest), digits(&rest) == 0 { return false }
        if take("e", &rest) || take("E", &rest) {
            if !take("+", &rest) { _ = take("-", &rest) }
            if digits(&rest) == 0 { return false }
        }
        return true
    }
}
