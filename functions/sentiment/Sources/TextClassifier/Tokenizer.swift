/// Turns text into hashed features, the same for every language.
///
/// The text's scripts decide, not a setting: a character of a script that is written without blanks between words
/// (Han, Kana, Thai, Lao, Khmer, Myanmar) is a token of its own, as are punctuation and symbols; runs of all other
/// letters, marks and digits are words, in lower case. Full-width forms are read as their ASCII twins.
///
/// Features of a text are its tokens, each two tokens in a row, each three single-character tokens in a row, and the
/// character n-grams of words, with their boundaries marked. A feature
/// counts once per text however often it occurs: sentiment is a matter of presence.
///
/// The features are 64-bit hashes; what they were is not kept. Bytes that are not UTF-8 are read as U+FFFD.
struct Tokenizer {
    /// The shortest and longest character n-gram of words, counting the marks of the word's boundaries. Both 3 to 5
    /// and 4 to 5 cost twice the time and were no better on the held-out texts.
    static let charactersMin = 4
    static let charactersMax = 4
    /// Features beyond this are ignored, so that one text of a gigabyte cannot take a gigabyte of features. About
    /// 200 kB of Chinese, or of English.
    static let featuresMax = 1 << 18

    let seed: UInt64

    private var features: [UInt64] = []
    private var word: [UInt32] = []
    private var previous: UInt64 = 0
    private var beforePrevious: UInt64 = 0
    private var previousIsCharacter = false
    private var beforePreviousIsCharacter = false

    init(seed: UInt64) { self.seed = seed }

    /// Replaces `result` by the distinct features of `text`, in the order of their hashes.
    mutating func features(of text: UnsafeRawBufferPointer, into result: inout [UInt64]) {
        features.removeAll(keepingCapacity: true)
        word.removeAll(keepingCapacity: true)
        previous = 0
        beforePrevious = 0
        previousIsCharacter = false
        beforePreviousIsCharacter = false
        var index = 0
        while index < text.count, features.count < Self.featuresMax {
            read(Self.nextScalar(of: text, at: &index))
        }
        endWord()
        features.sort()
        result.removeAll(keepingCapacity: true)
        var last: UInt64?
        for feature in features where feature != last {
            result.append(feature)
            last = feature
        }
    }

    // MARK: Characters

    private mutating func read(_ scalar: UInt32) {
        if scalar < 0x80 {
            switch scalar {
            case 0x61...0x7A, 0x30...0x39: word.append(scalar)
            case 0x41...0x5A: word.append(scalar | 0x20)
            case 0x27 where !word.isEmpty: word.append(scalar)  // don't
            case 0...0x20, 0x7F: endWord()
            default: single(scalar)
            }
            return
        }
        switch scalar {
        case 0xFF01...0xFF5E: read(scalar - 0xFEE0)
        case 0x2019: read(0x27)
        case 0x3000, 0xA0, 0x2028, 0x2029, 0x2000...0x200A: endWord()
        case 0x200B...0x200F, 0xFE00...0xFE0F, 0xFEFF, 0xAD: break  // joiners, variants: no characters of their own
        case 0x3040...0x30FF, 0x31F0...0x31FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x3FFFF,
            0x0E00...0x0EFF, 0x1000...0x109F, 0x1780...0x17FF, 0xFF66...0xFF9F:
            single(scalar)
        default: readOther(scalar)
        }
    }

    private mutating func readOther(_ value: UInt32) {
        guard let scalar = Unicode.Scalar(value) else { return single(0xFFFD) }
        let properties = scalar.properties
        switch properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter:
            for lower in properties.lowercaseMapping.unicodeScalars { word.append(lower.value) }
        case .lowercaseLetter, .modifierLetter, .otherLetter, .decimalNumber, .letterNumber, .otherNumber:
            word.append(value)
        case .nonspacingMark, .spacingMark, .enclosingMark:
            if !word.isEmpty { word.append(value) }
        case .spaceSeparator, .lineSeparator, .paragraphSeparator, .control:
            endWord()
        default: single(value)
        }
    }

    // MARK: Features

    private mutating func single(_ scalar: UInt32) {
        endWord()
        token(hash(scalar, 0x51), isCharacter: true)
    }

    private mutating func endWord() {
        while word.last == 0x27 { word.removeLast() }  // a closing quote
        guard !word.isEmpty else { return }
        var whole: UInt64 = 0x52
        for scalar in word { whole = hash(scalar, whole) }
        token(whole, isCharacter: false)
        // n-grams of ^word$, but for the whole of it
        if word.count + 2 > Self.charactersMin {
            word.insert(0x02, at: 0)
            word.append(0x03)
            for first in 0...(word.count - Self.charactersMin) {
                var gram: UInt64 = 0x53
                for last in first..<min(first + Self.charactersMax, word.count) {
                    gram = hash(word[last], gram)
                    if last - first + 1 >= Self.charactersMin { features.append(finish(gram)) }
                }
            }
        }
        word.removeAll(keepingCapacity: true)
    }

    private mutating func token(_ token: UInt64, isCharacter: Bool) {
        features.append(finish(token))
        if previous != 0 {
            let pair = previous &* 0x9E37_79B9_7F4A_7C15 ^ token
            features.append(finish(pair))
            if isCharacter, previousIsCharacter, beforePreviousIsCharacter {
                let triple = (beforePrevious &* 0xC2B2_AE3D_27D4_EB4F ^ previous) &* 0x9E37_79B9_7F4A_7C15 ^ token
                features.append(finish(triple))
            }
        }
        beforePrevious = previous
        beforePreviousIsCharacter = previousIsCharacter
        previous = token
        previousIsCharacter = isCharacter
    }

    private func hash(_ scalar: UInt32, _ state: UInt64) -> UInt64 {
        (state ^ UInt64(scalar)) &* 0xFF51_AFD7_ED55_8CCD &+ (state >> 29)
    }

    /// SplitMix64's finaliser: every bit of the hash depends on all of the feature and the seed.
    private func finish(_ value: UInt64) -> UInt64 {
        var mixed = value ^ seed
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    // MARK: UTF-8

    /// Decodes one scalar and moves on. A byte that starts no valid sequence is U+FFFD, and is skipped alone.
    static func nextScalar(of text: UnsafeRawBufferPointer, at index: inout Int) -> UInt32 {
        let first = text[index]
        index += 1
        if first < 0x80 { return UInt32(first) }
        let length: Int
        var value: UInt32
        let least: UInt32
        switch first {
        case 0xC2...0xDF: (length, value, least) = (1, UInt32(first & 0x1F), 0x80)
        case 0xE0...0xEF: (length, value, least) = (2, UInt32(first & 0x0F), 0x800)
        case 0xF0...0xF4: (length, value, least) = (3, UInt32(first & 0x07), 0x10000)
        default: return 0xFFFD
        }
        guard index + length <= text.count else { return 0xFFFD }
        for offset in 0..<length {
            let byte = text[index + offset]
            guard byte & 0xC0 == 0x80 else { return 0xFFFD }
            value = value << 6 | UInt32(byte & 0x3F)
        }
        guard value >= least, value <= 0x10FFFF, !(0xD800...0xDFFF).contains(value) else { return 0xFFFD }
        index += length
        return value
    }

    /// The offset of the first byte that is not UTF-8; `nil` when all of it is.
    static func firstInvalidByte(of text: UnsafeRawBufferPointer) -> Int? {
        var index = 0
        while index < text.count {
            let start = index
            // U+FFFD itself is three bytes of valid UTF-8; the decoder's stand-in consumes one.
            if nextScalar(of: text, at: &index) == 0xFFFD, index - start == 1 { return start }
        }
        return nil
    }
}
