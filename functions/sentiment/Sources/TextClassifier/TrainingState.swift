import Glibc
import WorkerRuntime

/// Everything that changes while a network is trained, in one block of memory, so that a checkpoint is the block as it
/// is and a resumed training continues to the same bits.
///
/// There is no generator in it: random numbers are drawn from (seed, epoch, minibatch), see `RandomNumbers`.
final class TrainingState {
    /// The scalars, at the start of the block.
    struct Scalars: BitwiseCopyable {
        /// Epochs completed.
        var epoch = 0
        /// Examples of the current epoch that were used.
        var position = 0
        /// Updates made, for Adam's bias correction.
        var updates = 0
        var epochLoss = 0.0
        var epochCorrect = 0
        var bestEpoch = 0
        var bestLoss = Double.infinity
        var bestValidationAccuracy = 0.0
        var bestTrainingLoss = 0.0
        var bestTrainingAccuracy = 0.0
        /// Training time of the attempts before this one.
        var seconds = 0.0
    }

    private struct CheckpointHeader: BitwiseCopyable {
        var magic: UInt64 = 0x3150_4B43_5458_4554  // "TEXTCKP1"
        var fingerprint: UInt64
        var stateBytes: Int
        var modelBytes: Int
        var stateChecksum: UInt64
        var modelChecksum: UInt64
        var reserved: (UInt64, UInt64) = (0, 0)
    }

    private let block: UnsafeMutableRawBufferPointer
    let dense: UnsafeMutablePointer<Float>
    let denseFirstMoments: UnsafeMutablePointer<Float>
    let denseSecondMoments: UnsafeMutablePointer<Float>
    let denseAverages: UnsafeMutablePointer<Float>
    /// Sums of squared gradients, one per embedding row.
    let rowSquares: UnsafeMutablePointer<Float>
    let rows: UnsafeMutablePointer<Float>
    let rowAverages: UnsafeMutablePointer<Float>
    let denseCount: Int
    let rowFloats: Int
    let rowCount: Int

    /// Memory for all, zeroed: embedding rows start at zero, which is what a feature that was never seen has, too. The
    /// dense layers' random weights break the symmetry.
    init(shape: NetworkShape, rowCount: Int) {
        func padded(_ floats: Int) -> Int { (floats + 15) & ~15 }  // 64 bytes: a row of 16 is one cache line
        denseCount = shape.denseCount
        rowFloats = rowCount * shape.dimension
        self.rowCount = rowCount
        let dense = padded(denseCount)
        let rows = padded(rowFloats)
        let squares = padded(rowCount)
        let scalars = 64
        block = .allocate(byteCount: (scalars + 4 * dense + squares + 2 * rows) * 4, alignment: 64)
        memset(block.baseAddress!, 0, block.count)
        var next = block.baseAddress!.assumingMemoryBound(to: Float.self) + scalars
        func take(_ floats: Int) -> UnsafeMutablePointer<Float> {
            defer { next += floats }
            return next
        }
        self.dense = take(dense)
        denseFirstMoments = take(dense)
        denseSecondMoments = take(dense)
        denseAverages = take(dense)
        rowSquares = take(squares)
        self.rows = take(rows)
        rowAverages = take(rows)
        scalarsPointer.initialize(to: Scalars())
    }

    deinit { block.deallocate() }

    private var scalarsPointer: UnsafeMutablePointer<Scalars> {
        block.baseAddress!.assumingMemoryBound(to: Scalars.self)
    }

    var scalars: Scalars {
        get { scalarsPointer.pointee }
        set { scalarsPointer.pointee = newValue }
    }

    /// Writes the state, and the best model so far, so that a crash leaves the old checkpoint or the new.
    func write(to path: String, fingerprint: UInt64, bestModel: UnsafeRawBufferPointer) throws {
        var header = CheckpointHeader(
            fingerprint: fingerprint, stateBytes: block.count, modelBytes: bestModel.count,
            stateChecksum: checksum(UnsafeRawBufferPointer(block)), modelChecksum: checksum(bestModel))
        try withUnsafeBytes(of: &header) {
            try TrainingJob.replaceFile(atPath: path, with: $0, UnsafeRawBufferPointer(block), bestModel)
        }
    }

    /// Continues from a checkpoint. Returns whether there was one, whole and made from the same data and settings;
    /// otherwise nothing has changed.
    func read(from path: String, fingerprint: UInt64, bestModel: UnsafeMutableRawBufferPointer) -> Bool {
        guard let file = try? MappedFile(path: path), let header = try? file.load(CheckpointHeader.self, at: 0),
            header.magic
                == CheckpointHeader(
                    fingerprint: 0, stateBytes: 0, modelBytes: 0, stateChecksum: 0, modelChecksum: 0
                ).magic,
            header.fingerprint == fingerprint, header.stateBytes == block.count,
            header.modelBytes == bestModel.count,
            let state = try? file.slice(at: MemoryLayout<CheckpointHeader>.size, count: block.count),
            let model = try? file.slice(
                at: MemoryLayout<CheckpointHeader>.size + block.count, count: bestModel.count),
            checksum(state) == header.stateChecksum, checksum(model) == header.modelChecksum
        else { return false }
        return withExtendedLifetime(file) {
            block.copyMemory(from: state)
            bestModel.copyMemory(from: model)
            return true
        }
    }
}
