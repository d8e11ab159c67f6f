import Glibc
import WorkerRuntime

/// A trained classifier, used in place: nothing of the model file is copied.
///
/// The file is little-endian, its sections start at multiples of 64 bytes:
///
///  1. header, 64 bytes: see `Header`
///  2. labels: for each its length in bytes (32 bits) and its UTF-8
///  3. bitmap: a bit per bucket, set where the bucket has a row (64-bit words)
///  4. ranks: bits set before each group of 8 words (32 bits)
///  5. dense parameters: 32-bit floats, as `NetworkShape` lays them out
///  6. rows: one per used bucket, `dimension` bfloat16 values
///
/// Only used buckets are stored, and rows as bfloat16 (the upper half of a float), which halves the file and needs a
/// shift, no conversion instruction, to read. A sum over a hundred rows does not notice the 8 bits of precision: the
/// trainer measures the validation accuracy on exactly this form.
package final class TextModel {
    static let magic: UInt64 = 0x3143_5458_4554_4F52  // "ROTEXTC1"
    static let formatVersion: UInt32 = 1

    /// What an artifact calls the file.
    package static let fileName = "model.bin"

    struct Header: BitwiseCopyable {
        var magic = TextModel.magic
        var version = TextModel.formatVersion
        var dimension: UInt32 = 0
        var hidden: UInt32 = 0
        var labelCount: UInt32 = 0
        var labelBytes: UInt32 = 0
        var bucketBits: UInt32 = 0
        var rowCount: UInt64 = 0
        var hashSeed: UInt64 = 0
        var fileBytes: UInt64 = 0
        /// Of all bytes after the header, seeded with the checksum of the header before this field.
        var checksum: UInt64 = 0
    }

    /// Where the sections of a file with this header start. Computed without overflow for any header.
    struct Layout {
        var bitmap: Int
        var ranks: Int
        var dense: Int
        var rows: Int
        var end: Int

        init?(_ header: Header) {
            guard header.dimension >= 8, header.dimension <= 4096, header.dimension % 8 == 0, header.hidden >= 1,
                header.hidden <= 65536, header.labelCount >= 2, header.labelCount <= 65536, header.bucketBits >= 10,
                header.bucketBits <= 30, header.rowCount <= 1 << 30, header.labelBytes <= 1 << 30
            else { return nil }
            func aligned(_ offset: Int) -> Int { (offset + 63) & ~63 }
            let buckets = 1 << Int(header.bucketBits)
            let shape = NetworkShape(
                dimension: Int(header.dimension), hidden: Int(header.hidden), labels: Int(header.labelCount))
            bitmap = aligned(64 + Int(header.labelBytes))
            ranks = aligned(bitmap + buckets / 8)
            dense = aligned(ranks + (buckets + 511) / 512 * 4)
            rows = aligned(dense + shape.denseCount * 4)
            end = rows + Int(header.rowCount) * shape.dimension * 2
        }
    }

    package let labels: [String]
    let shape: NetworkShape

    private let layers: DenseLayers
    private let bucketShift: UInt64
    private let bitmap: UnsafeBufferPointer<UInt64>
    private let ranks: UnsafeBufferPointer<UInt32>
    private let dense: UnsafeBufferPointer<Float>
    private let rows: UnsafeBufferPointer<UInt16>
    private let owner: AnyObject  // keeps the bytes
    private var tokenizer: Tokenizer
    private var hashes: [UInt64] = []
    private var found: [UInt32] = []
    private let scratch: UnsafeMutablePointer<Float>  // embedding, hidden, probabilities

    /// Maps and checks a model file. Throws a ``FunctionError``: `Model.Missing` when there is no such file,
    /// `Model.Corrupt` when it is damaged, cut short or of another kind.
    package convenience init(path: String) throws {
        let file: MappedFile
        do {
            file = try MappedFile(path: path)
        } catch {
            throw FunctionError(type: error.code == ENOENT ? "Model.Missing" : "Model.Unreadable", message: "\(error)")
        }
        try self.init(bytes: file.bytes, owner: file, name: path)
    }

    /// Uses a model's bytes in place. `owner` keeps them; they must be aligned to 64 bytes.
    init(bytes: UnsafeRawBufferPointer, owner: AnyObject, name: String) throws {
        func corrupt(_ what: String) -> FunctionError {
            FunctionError(type: "Model.Corrupt", message: "\(name) \(what)")
        }
        guard bytes.count >= 64 else { throw corrupt("is cut short: \(bytes.count) bytes") }
        let header = bytes.loadUnaligned(as: Header.self)
        guard header.magic == Self.magic else { throw corrupt("is not a text classifier's model") }
        guard header.version == Self.formatVersion else {
            throw corrupt("has format \(header.version); this function reads format \(Self.formatVersion)")
        }
        guard let layout = Layout(header), header.fileBytes == UInt64(layout.end) else {
            throw corrupt("has a damaged header")
        }
        guard bytes.count == layout.end else {
            throw corrupt("has \(bytes.count) bytes where its header says \(layout.end)")
        }
        guard Self.checksum(of: bytes) == header.checksum else { throw corrupt("is damaged: its checksum is wrong") }

        var labels: [String] = []
        var offset = 64
        for _ in 0..<header.labelCount {
            guard offset + 4 <= layout.bitmap else { throw corrupt("has damaged labels") }
            let length = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            offset += 4
            guard length <= layout.bitmap - offset else { throw corrupt("has damaged labels") }
            labels.append(String(decoding: bytes[offset..<(offset + length)], as: UTF8.self))
            offset += length
        }
        func section<T>(_ start: Int, _ end: Int, _ type: T.Type) -> UnsafeBufferPointer<T> {
            UnsafeRawBufferPointer(rebasing: bytes[start..<end]).bindMemory(to: type)
        }
        let buckets = 1 << Int(header.bucketBits)
        shape = NetworkShape(dimension: Int(header.dimension), hidden: Int(header.hidden), labels: labels.count)
        layers = DenseLayers(shape: shape)
        bucketShift = UInt64(64 - header.bucketBits)
        bitmap = section(layout.bitmap, layout.bitmap + buckets / 8, UInt64.self)
        ranks = section(layout.ranks, layout.ranks + (buckets + 511) / 512 * 4, UInt32.self)
        dense = section(layout.dense, layout.dense + shape.denseCount * 4, Float.self)
        rows = section(layout.rows, layout.end, UInt16.self)
        tokenizer = Tokenizer(seed: header.hashSeed)
        self.labels = labels
        self.owner = owner
        scratch = .allocate(capacity: shape.dimension + shape.hidden + shape.labels)
    }

    deinit { scratch.deallocate() }

    /// The probability of each label, in the order of `labels`. Text without a known feature gets the label shares
    /// that the biases learned.
    package func probabilities(of text: some StringProtocol) -> [Float] {
        var text = String(text)
        text.withUTF8 { tokenizer.features(of: UnsafeRawBufferPointer($0), into: &hashes) }
        found.removeAll(keepingCapacity: true)
        var last: UInt32?
        for hash in hashes {
            let bucket = UInt32(truncatingIfNeeded: hash >> bucketShift)
            if bucket != last, let row = Vocabulary.row(of: bucket, bitmap, ranks) { found.append(row) }
            last = bucket
        }
        let result = found.withUnsafeBufferPointer { probabilities(ofRows: $0) }
        return Array(result)
    }

    /// The probabilities for known rows. The result is valid until the next use of the model.
    func probabilities(ofRows found: UnsafeBufferPointer<UInt32>) -> UnsafeBufferPointer<Float> {
        let dimension = shape.dimension
        let embedding = UnsafeMutableRawPointer(scratch)
        let scale = found.isEmpty ? 0 : 1 / Float(found.count).squareRoot()
        let table = UnsafeRawPointer(rows.baseAddress ?? UnsafePointer(bitPattern: 2)!)
        for offset in stride(from: 0, to: dimension, by: 8) {
            var sum = SIMD8<Float>.zero
            for row in found {
                let half = (table + (Int(row) * dimension + offset) * 2).loadUnaligned(as: SIMD8<UInt16>.self)
                sum += unsafeBitCast(SIMD8<UInt32>(truncatingIfNeeded: half) &<< 16, to: SIMD8<Float>.self)
            }
            embedding.storeBytes(of: sum * scale, toByteOffset: offset * 4, as: SIMD8<Float>.self)
        }
        let result = scratch + dimension + shape.hidden
        layers.forward(dense.baseAddress!, embedding: scratch, hidden: scratch + dimension, probabilities: result)
        return UnsafeBufferPointer(start: result, count: shape.labels)
    }

    static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt64 {
        let start = MemoryLayout<Header>.offset(of: \.checksum)!
        let seed = TextClassifier.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<start]))
        return TextClassifier.checksum(UnsafeRawBufferPointer(rebasing: bytes[64...]), seed: seed)
    }
}

/// A model file in memory, while it is made.
final class ModelImage {
    let bytes: UnsafeMutableRawBufferPointer
    private let layout: TextModel.Layout
    private let shape: NetworkShape
    private let rowCount: Int

    /// Writes everything but the parameters.
    init(labels: [String], shape: NetworkShape, vocabulary: Vocabulary, hashSeed: UInt64) {
        var header = TextModel.Header()
        header.dimension = UInt32(shape.dimension)
        header.hidden = UInt32(shape.hidden)
        header.labelCount = UInt32(labels.count)
        header.labelBytes = UInt32(labels.reduce(0) { $0 + 4 + $1.utf8.count })
        header.bucketBits = UInt32((vocabulary.bitmap.count * 64).trailingZeroBitCount)
        header.rowCount = UInt64(vocabulary.rowCount)
        header.hashSeed = hashSeed
        guard let layout = TextModel.Layout(header) else { preconditionFailure("sizes outside the format") }
        header.fileBytes = UInt64(layout.end)
        self.layout = layout
        self.shape = shape
        rowCount = vocabulary.rowCount
        bytes = .allocate(byteCount: layout.end, alignment: 64)
        memset(bytes.baseAddress!, 0, layout.end)
        bytes.storeBytes(of: header, as: TextModel.Header.self)
        var offset = 64
        for label in labels {
            bytes.storeBytes(of: UInt32(label.utf8.count), toByteOffset: offset, as: UInt32.self)
            offset += 4
            for byte in label.utf8 {
                bytes[offset] = byte
                offset += 1
            }
        }
        vocabulary.bitmap.withUnsafeBytes { _ = memcpy(bytes.baseAddress! + layout.bitmap, $0.baseAddress!, $0.count) }
        vocabulary.ranks.withUnsafeBytes { _ = memcpy(bytes.baseAddress! + layout.ranks, $0.baseAddress!, $0.count) }
    }

    deinit { bytes.deallocate() }

    /// Writes the parameters, rounding rows to the nearest bfloat16, and the checksum.
    func store(dense: UnsafePointer<Float>, rows: UnsafePointer<Float>) {
        memcpy(bytes.baseAddress! + layout.dense, dense, shape.denseCount * 4)
        let source = UnsafeRawPointer(rows)
        let target = bytes.baseAddress! + layout.rows
        for offset in stride(from: 0, to: rowCount * shape.dimension, by: 8) {
            let bits = source.loadUnaligned(fromByteOffset: offset * 4, as: SIMD8<UInt32>.self)
            let rounded = (bits &+ 0x7FFF &+ ((bits &>> 16) & 1)) &>> 16
            target.storeBytes(
                of: SIMD8<UInt16>(truncatingIfNeeded: rounded), toByteOffset: offset * 2, as: SIMD8<UInt16>.self)
        }
        bytes.storeBytes(
            of: TextModel.checksum(of: UnsafeRawBufferPointer(bytes)),
            toByteOffset: MemoryLayout<TextModel.Header>.offset(of: \.checksum)!, as: UInt64.self)
    }
}
