import WorkerRuntime

/// Labelled examples as hashed features: bucket numbers, and later embedding rows, one example after the other.
struct Examples {
    /// Bucket or row numbers of all examples.
    var features: [UInt32] = []
    /// Example `i` has the features `starts[i]..<starts[i + 1]`.
    var starts: [Int] = [0]
    var labels: [UInt32] = []

    var count: Int { labels.count }

    mutating func append(_ other: some Collection<UInt32>, label: UInt32) {
        features.append(contentsOf: other)
        starts.append(features.count)
        labels.append(label)
    }

    func features(of example: Int) -> ArraySlice<UInt32> { features[starts[example]..<starts[example + 1]] }
}

/// A training's data: its labels, its examples, and the part by which the best epoch is chosen.
///
/// A file is UTF-8 text, a line per example: `label<TAB>text`. A byte order mark, CRLF line ends and blank lines are
/// accepted; everything else that is wrong ends the training with the file's name and the line's number.
struct Dataset {
    /// The most labels; more means that the columns are swapped.
    static let labelsMax = 1000
    /// Below this many examples none are put aside: a handful of them says nothing.
    static let examplesToSplitMin = 100

    /// In the order of their bytes, so that the order of the lines does not matter.
    private(set) var labels: [String] = []
    private(set) var training = Examples()
    private(set) var validation = Examples()

    private var tokenizer: Tokenizer
    private let bucketShift: UInt64
    private var hashes: [UInt64] = []
    private var buckets: [UInt32] = []

    /// Reads the channels' files. Without validation files a tenth of the training examples is put aside, chosen by
    /// the text's hash: equal texts stay together, and the choice does not depend on the seed or the lines' order.
    init(training files: [String], validation validationFiles: [String]?, buckets: Int, hashSeed: UInt64) throws {
        tokenizer = Tokenizer(seed: hashSeed)
        bucketShift = UInt64(64 - buckets.trailingZeroBitCount)
        var indexes: [String: UInt32] = [:]
        var seen: [Bool] = []
        var aside: [Bool] = []
        for file in files {
            try forEachLine(of: file) { dataset, label, text, line in
                let index = indexes[label] ?? UInt32(indexes.count)
                indexes[label] = index
                if index == seen.count { seen.append(false) }
                guard indexes.count <= Self.labelsMax else {
                    throw Self.bad(file, line, "more than \(Self.labelsMax) labels; is the label before the tab?")
                }
                // A label's first example is never put aside, or a rare label would not be learned.
                aside.append(seen[Int(index)] && mixed(checksum(text)) % 10 == 0)
                seen[Int(index)] = true
                dataset.tokenize(text)
                dataset.training.append(dataset.buckets, label: index)
            }
        }
        guard training.count > 0 else {
            throw FunctionError(type: "BadData", message: "The channel train has no examples")
        }
        guard indexes.count >= 2 else {
            throw FunctionError(
                type: "BadData", message: "The channel train has one label only, \(indexes.keys.first!); two are needed"
            )
        }
        labels = indexes.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var order = [UInt32](repeating: 0, count: labels.count)
        for (position, label) in labels.enumerated() { order[Int(indexes[label]!)] = UInt32(position) }
        for example in 0..<training.count { training.labels[example] = order[Int(training.labels[example])] }

        if let validationFiles {
            let positions = Dictionary(uniqueKeysWithValues: labels.enumerated().map { ($1, UInt32($0)) })
            for file in validationFiles {
                try forEachLine(of: file) { dataset, label, text, line in
                    guard let position = positions[label] else {
                        throw Self.bad(file, line, "the label \(label) does not occur in the channel train")
                    }
                    dataset.tokenize(text)
                    dataset.validation.append(dataset.buckets, label: position)
                }
            }
            guard validation.count > 0 else {
                throw FunctionError(type: "BadData", message: "The channel validation has no examples")
            }
        } else if training.count >= Self.examplesToSplitMin {
            let all = training
            training = Examples()
            for example in 0..<all.count {
                if aside[example] {
                    validation.append(all.features(of: example), label: all.labels[example])
                } else {
                    training.append(all.features(of: example), label: all.labels[example])
                }
            }
        }
    }

    /// Identifies data and order: a checkpoint is continued only with what it was made from.
    var fingerprint: UInt64 {
        var sum: UInt64 = 0
        for examples in [training, validation] {
            sum = examples.features.withUnsafeBytes { checksum($0, seed: sum) }
            sum = examples.starts.withUnsafeBytes { checksum($0, seed: sum) }
            sum = examples.labels.withUnsafeBytes { checksum($0, seed: sum) }
        }
        for label in labels { sum = Array(label.utf8).withUnsafeBytes { checksum($0, seed: sum) } }
        return sum
    }

    /// Replaces bucket numbers by the vocabulary's rows; features without a row are dropped.
    mutating func replaceBuckets(by vocabulary: Vocabulary) {
        training = vocabulary.rows(of: training)
        validation = vocabulary.rows(of: validation)
    }

    private mutating func tokenize(_ text: UnsafeRawBufferPointer) {
        tokenizer.features(of: text, into: &hashes)
        buckets.removeAll(keepingCapacity: true)
        for hash in hashes {
            let bucket = UInt32(truncatingIfNeeded: hash >> bucketShift)
            if bucket != buckets.last { buckets.append(bucket) }  // hashes are sorted, so equal buckets are neighbours
        }
    }

    private mutating func forEachLine(
        of path: String,
        _ body: (inout Dataset, _ label: String, _ text: UnsafeRawBufferPointer, _ line: Int) throws -> Void
    ) throws {
        let file = try MappedFile(path: path)
        defer { withExtendedLifetime(file) {} }  // also when a line is refused
        let bytes = file.bytes
        var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        var number = 0
        while start < bytes.count {
            number += 1
            var end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            let nextStart = end + 1
            if end > start, bytes[end - 1] == 0x0D { end -= 1 }
            let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            start = nextStart
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            if let offset = Tokenizer.firstInvalidByte(of: line) {
                throw Self.bad(path, number, "byte \(offset + 1) is not UTF-8")
            }
            guard let tab = line.firstIndex(of: 0x09) else {
                throw Self.bad(path, number, "no tab between label and text")
            }
            var name = line[..<tab]
            while name.first == 0x20 { name = name.dropFirst() }
            while name.last == 0x20 { name = name.dropLast() }
            guard !name.isEmpty else { throw Self.bad(path, number, "no label before the tab") }
            let text = UnsafeRawBufferPointer(rebasing: line[(tab + 1)...])
            try body(&self, String(decoding: name, as: UTF8.self), text, number)
        }
    }

    private static func bad(_ path: String, _ line: Int, _ what: String) -> FunctionError {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return FunctionError(type: "BadData", message: "\(name), line \(line): \(what)")
    }
}

/// Which buckets occur in the training data, and the embedding row of each: a bitmap, and how many bits are set before
/// each 512 of them. Two loads and a few bit counts find a row; a bucket that never occurred has none, where a plain
/// table would give it a random vector that was never trained.
struct Vocabulary {
    /// A bit per bucket.
    private(set) var bitmap: [UInt64]
    /// Bits set before each group of 8 words.
    private(set) var ranks: [UInt32]
    let rowCount: Int

    init(of examples: Examples, buckets: Int) {
        var bitmap = [UInt64](repeating: 0, count: buckets / 64)
        for bucket in examples.features { bitmap[Int(bucket >> 6)] |= 1 << UInt64(bucket & 63) }
        var ranks: [UInt32] = []
        var count: UInt32 = 0
        for (index, word) in bitmap.enumerated() {
            if index % 8 == 0 { ranks.append(count) }
            count += UInt32(word.nonzeroBitCount)
        }
        self.bitmap = bitmap
        self.ranks = ranks
        rowCount = Int(count)
    }

    func rows(of examples: Examples) -> Examples {
        var result = Examples()
        var rows: [UInt32] = []
        bitmap.withUnsafeBufferPointer { bitmap in
            ranks.withUnsafeBufferPointer { ranks in
                for example in 0..<examples.count {
                    rows.removeAll(keepingCapacity: true)
                    for bucket in examples.features(of: example) {
                        if let row = Self.row(of: bucket, bitmap, ranks) { rows.append(row) }
                    }
                    result.append(rows, label: examples.labels[example])
                }
            }
        }
        return result
    }

    @inline(__always)
    static func row(
        of bucket: UInt32, _ bitmap: UnsafeBufferPointer<UInt64>, _ ranks: UnsafeBufferPointer<UInt32>
    ) -> UInt32? {
        let word = Int(bucket >> 6)
        let bit: UInt64 = 1 << UInt64(bucket & 63)
        guard bitmap[word] & bit != 0 else { return nil }
        var row = ranks[word >> 3] + UInt32((bitmap[word] & (bit - 1)).nonzeroBitCount)
        for before in (word & ~7)..<word { row += UInt32(bitmap[before].nonzeroBitCount) }
        return row
    }
}
