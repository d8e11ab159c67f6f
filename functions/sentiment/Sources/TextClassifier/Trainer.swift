import Glibc
import WorkerRuntime

/// Trains a text classifier.
///
/// The network is an embedding bag (the sum of the rows of a text's features, divided by the square root of their
/// number), a tanh layer and a softmax; the loss is cross-entropy with label smoothing. Rows are updated by Adagrad
/// with one sum per row, since the rows of a text share their gradient; the dense layers by Adam. Features are dropped
/// at random while training. What is kept is the mean of the weights at the ends of the epochs so far, which on small
/// data was better than the single epochs by up to a point, at the epoch where that mean's validation loss is least.
///
/// Order of work, which makes a resumed training end in the same bits:
///
///  1. A minibatch's forward and backward passes all use the weights before it; then the dense layers and, example by
///     example, the rows are updated.
///  2. The order of an epoch's examples depends on (seed, epoch) only, a minibatch's dropout on (seed, epoch,
///     position).
///  3. Between minibatches the state is complete: a checkpoint may be taken at any of them.
package final class Trainer {
    package struct Report: Sendable {
        package var epoch: Int
        package var epochs: Int
        package var fraction: Double
        package var isEpochEnd: Bool
        package var loss: Double
        package var accuracy: Double
        package var validationLoss: Double?
        package var validationAccuracy: Double?
        package var examplesPerSecond: Double
    }

    package struct Outcome: Sendable {
        package var epochs: Int
        package var bestEpoch: Int
        package var loss: Double
        package var accuracy: Double
        package var validationLoss: Double?
        package var validationAccuracy: Double?
        package var examples: Int
        package var labels: Int
        package var seconds: Double
        package var modelBytes: Int
    }

    private static let checkpointName = "checkpoint.bin"
    /// Seconds between checkpoints within a run, unless writing one takes more than a tenth of that.
    private static let checkpointSeconds = 3.0
    private static let rowSquaresStart: Float = 1e-3
    private static let hashSeedBase: UInt64 = 0x526F_6F73_7431

    private let settings: Hyperparameters
    private let data: Dataset
    private let shape: NetworkShape
    private let layers: DenseLayers
    private let epochs: Int
    private let state: TrainingState
    private let fingerprint: UInt64
    /// The best model so far, and the one that an epoch's end is tried with.
    private var best: ModelImage
    private var candidate: ModelImage

    /// Reads the data and prepares the network. `validation` `nil` puts a part of the training data aside.
    package init(_ settings: Hyperparameters, training: [String], validation: [String]?) throws {
        self.settings = settings
        // The seed of the hashes stays the same: other seeds of a training then differ by training alone.
        let hashSeed = mixed(Self.hashSeedBase)
        var data = try Dataset(
            training: training, validation: validation, buckets: settings.buckets, hashSeed: hashSeed)
        let vocabulary = Vocabulary(of: data.training, buckets: settings.buckets)
        let dataFingerprint = data.fingerprint
        data.replaceBuckets(by: vocabulary)
        self.data = data
        epochs = settings.epochCount(examples: data.training.count)
        shape = NetworkShape(
            dimension: settings.embeddingDimension, hidden: settings.hiddenUnits, labels: data.labels.count)
        layers = DenseLayers(shape: shape)
        state = TrainingState(shape: shape, rowCount: vocabulary.rowCount)
        best = ModelImage(labels: data.labels, shape: shape, vocabulary: vocabulary, hashSeed: hashSeed)
        candidate = ModelImage(labels: data.labels, shape: shape, vocabulary: vocabulary, hashSeed: hashSeed)
        fingerprint = Array("1 \(settings)".utf8).withUnsafeBytes { checksum($0, seed: dataFingerprint) }
        start()
    }

    package var examples: Int { data.training.count }
    package var validationExamples: Int { data.validation.count }
    package var labels: [String] { data.labels }
    package var epochCount: Int { epochs }

    private func start() {
        var random = RandomNumbers(UInt64(settings.seed), 0, 0)
        func fill(_ range: Range<Int>, inputs: Int) {
            let bound = (3 / Float(inputs)).squareRoot()  // a uniform distribution of variance 1 / inputs
            for index in range { state.dense[index] = (random.nextUnit() * 2 - 1) * bound }
        }
        fill(0..<shape.hiddenBiases, inputs: shape.dimension)
        fill(shape.outputWeights..<shape.outputBiases, inputs: shape.hidden)
        for row in 0..<state.rowCount { state.rowSquares[row] = Self.rowSquaresStart }
    }

    /// Trains to the end, or until `isStopRequested`; then it writes a checkpoint and throws ``TrainingStopped``.
    ///
    /// Continues from a checkpoint in `checkpointDirectory` if there is one of the same data and settings.
    package func run(
        checkpointDirectory: String?, isStopRequested: () -> Bool, report: (Report) -> Void
    ) throws -> Outcome {
        let checkpoint = checkpointDirectory.map { "\($0)/\(Self.checkpointName)" }
        if let checkpoint { _ = state.read(from: checkpoint, fingerprint: fingerprint, bestModel: best.bytes) }

        let secondsBefore = state.scalars.seconds
        let started = Self.now
        var lastCheckpoint = started
        var lastCheckpointCost = 0.0
        var lastReport = started
        func save() throws {
            guard let checkpoint else { return }
            let begin = Self.now
            state.scalars.seconds = secondsBefore + begin - started
            try state.write(to: checkpoint, fingerprint: fingerprint, bestModel: UnsafeRawBufferPointer(best.bytes))
            lastCheckpoint = Self.now
            lastCheckpointCost = lastCheckpoint - begin
        }

        let count = data.training.count
        var order: [UInt32] = []
        let work = Workspace(shape: shape, batchSize: settings.batchSize, dense: state.denseCount)
        while state.scalars.epoch < epochs, !isPatienceOver {
            let epoch = state.scalars.epoch
            order = (0..<UInt32(count)).map { $0 }
            var random = RandomNumbers(UInt64(settings.seed), 1, UInt64(epoch))
            random.shuffle(&order)
            let epochStarted = Self.now
            let epochStartPosition = state.scalars.position
            while state.scalars.position < count {
                let position = state.scalars.position
                let size = min(settings.batchSize, count - position)
                order.withUnsafeBufferPointer { train($0, position..<(position + size), epoch: epoch, work) }
                let now = Self.now
                if isStopRequested() {
                    try save()
                    throw TrainingStopped()
                }
                if now - lastCheckpoint > max(Self.checkpointSeconds, 10 * lastCheckpointCost) { try save() }
                if now - lastReport > 2 {
                    lastReport = now
                    report(progress(isEpochEnd: false, validation: nil, since: epochStarted, from: epochStartPosition))
                }
            }
            let rate = Double(count - epochStartPosition) / max(Self.now - epochStarted, 1e-9)
            let validation = try endEpoch()
            lastReport = Self.now
            var done = progress(isEpochEnd: true, validation: validation, since: epochStarted, from: epochStartPosition)
            done.examplesPerSecond = rate
            state.scalars.epochLoss = 0
            state.scalars.epochCorrect = 0
            state.scalars.position = 0
            state.scalars.epoch += 1
            report(done)
        }
        let end = state.scalars
        let hasValidation = data.validation.count > 0
        return Outcome(
            epochs: end.epoch, bestEpoch: end.bestEpoch, loss: end.bestTrainingLoss, accuracy: end.bestTrainingAccuracy,
            validationLoss: hasValidation ? end.bestLoss : nil,
            validationAccuracy: hasValidation ? end.bestValidationAccuracy : nil, examples: count,
            labels: data.labels.count, seconds: secondsBefore + Self.now - started, modelBytes: best.bytes.count)
    }

    /// The trained model's file. Call after `run`.
    package func writeModel(toPath path: String) throws {
        try TrainingJob.replaceFile(atPath: path, with: UnsafeRawBufferPointer(best.bytes))
    }

    private var isPatienceOver: Bool {
        settings.patience > 0 && data.validation.count > 0
            && state.scalars.epoch - state.scalars.bestEpoch >= settings.patience
    }

    private func progress(
        isEpochEnd: Bool, validation: (loss: Double, accuracy: Double)?, since start: Double, from position: Int
    ) -> Report {
        let scalars = state.scalars
        let used = Double(max(scalars.position, 1))
        let count = Double(data.training.count)
        return Report(
            epoch: scalars.epoch + (isEpochEnd ? 1 : 0), epochs: epochs,
            fraction: min(1, (Double(scalars.epoch) + Double(scalars.position) / count) / Double(epochs)),
            isEpochEnd: isEpochEnd, loss: scalars.epochLoss / used, accuracy: Double(scalars.epochCorrect) / used,
            validationLoss: validation?.loss, validationAccuracy: validation?.accuracy,
            examplesPerSecond: Double(scalars.position - position) / max(Self.now - start, 1e-9))
    }

    /// Seconds on the monotonic clock.
    private static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    // MARK: One epoch's end

    /// Adds the epoch's weights to the mean, and keeps the mean as the best model if it is. Nothing is kept apart
    /// without validation data: then the last epoch's mean is the model.
    private func endEpoch() throws -> (loss: Double, accuracy: Double)? {
        let share = 1 / Float(state.scalars.epoch + 1)
        for index in 0..<state.denseCount {
            state.denseAverages[index] += (state.dense[index] - state.denseAverages[index]) * share
        }
        let rows = state.rows
        let averages = state.rowAverages
        for index in 0..<state.rowFloats { averages[index] += (rows[index] - averages[index]) * share }

        guard state.scalars.epochLoss.isFinite, (0..<state.denseCount).allSatisfy({ state.dense[$0].isFinite }) else {
            throw FunctionError(
                type: "Training.Diverged",
                message: "The weights became infinite in epoch \(state.scalars.epoch + 1); lower learningRate")
        }
        candidate.store(dense: state.denseAverages, rows: state.rowAverages)
        let validation = evaluate()
        if state.scalars.epoch == 0 || validation == nil || validation!.loss < state.scalars.bestLoss {
            swap(&best, &candidate)
            state.scalars.bestEpoch = state.scalars.epoch + 1
            state.scalars.bestTrainingLoss = state.scalars.epochLoss / Double(data.training.count)
            state.scalars.bestTrainingAccuracy = Double(state.scalars.epochCorrect) / Double(data.training.count)
            if let validation {
                state.scalars.bestLoss = validation.loss
                state.scalars.bestValidationAccuracy = validation.accuracy
            }
        }
        return validation
    }

    /// Measures the candidate, in the form in which it would be deployed.
    private func evaluate() -> (loss: Double, accuracy: Double)? {
        let examples = data.validation
        guard examples.count > 0 else { return nil }
        guard let model = try? TextModel(bytes: UnsafeRawBufferPointer(candidate.bytes), owner: candidate, name: "")
        else { preconditionFailure("the trainer wrote a model that cannot be read") }
        var loss = 0.0
        var correct = 0
        examples.features.withUnsafeBufferPointer { features in
            for example in 0..<examples.count {
                let range = examples.starts[example]..<examples.starts[example + 1]
                let result = model.probabilities(ofRows: UnsafeBufferPointer(rebasing: features[range]))
                let label = Int(examples.labels[example])
                loss -= Double(logf(max(result[label], 1e-12)))
                if Self.greatest(result.baseAddress!, result.count) == label { correct += 1 }
            }
        }
        return (loss / Double(examples.count), Double(correct) / Double(examples.count))
    }

    private static func greatest(_ values: UnsafePointer<Float>, _ count: Int) -> Int {
        var best = 0
        for index in 1..<count where values[index] > values[best] { best = index }
        return best
    }

    // MARK: One minibatch

    /// Memory that a minibatch needs, allocated once.
    private final class Workspace {
        typealias Floats = UnsafeMutablePointer<Float>
        let embedding: Floats
        let hidden: Floats
        let hiddenErrors: Floats
        let errors: Floats
        let gradients: Floats
        /// One for each example of the minibatch.
        let embeddingGradients: Floats
        /// The rows that dropout left, of all examples; example `i` has `keptStarts[i]..<keptStarts[i + 1]`.
        var kept: [UInt32] = []
        var keptStarts: [Int] = []
        var steps: [Float] = []
        private let memory: UnsafeMutableRawPointer

        init(shape: NetworkShape, batchSize: Int, dense: Int) {
            func padded(_ floats: Int) -> Int { (floats + 15) & ~15 }
            let sizes = [
                shape.dimension, shape.hidden, shape.hidden, shape.labels, dense, shape.dimension * batchSize,
            ].map(padded)
            memory = .allocate(byteCount: sizes.reduce(0, +) * 4, alignment: 64)
            memset(memory, 0, sizes.reduce(0, +) * 4)
            var next = memory.assumingMemoryBound(to: Float.self)
            var parts: [Floats] = []
            for size in sizes {
                parts.append(next)
                next += size
            }
            (embedding, hidden, hiddenErrors) = (parts[0], parts[1], parts[2])
            (errors, gradients, embeddingGradients) = (parts[3], parts[4], parts[5])
        }

        deinit { memory.deallocate() }
    }

    private func train(
        _ order: UnsafeBufferPointer<UInt32>, _ batch: Range<Int>, epoch: Int, _ work: Workspace
    ) {
        let dimension = shape.dimension
        var random = RandomNumbers(UInt64(settings.seed), 2 + UInt64(epoch), UInt64(batch.lowerBound))
        let done = (Double(epoch) + Double(batch.lowerBound) / Double(data.training.count)) / Double(epochs)
        let rate = Float(settings.learningRate * max(0.05, 1 - done))

        // Forward and backward.
        memset(work.gradients, 0, state.denseCount * 4)
        work.kept.removeAll(keepingCapacity: true)
        work.keptStarts.removeAll(keepingCapacity: true)
        work.keptStarts.append(0)
        let smoothing = Float(settings.labelSmoothing)
        let floor = smoothing / Float(shape.labels)
        var loss = 0.0
        var correct = 0
        for (slot, index) in batch.enumerated() {
            let example = Int(order[index])
            let scale = embed(example, &random, work)
            layers.forward(state.dense, embedding: work.embedding, hidden: work.hidden, probabilities: work.errors)
            let label = Int(data.training.labels[example])
            loss -= Double(logf(max(work.errors[label], 1e-12)))
            if Self.greatest(work.errors, shape.labels) == label { correct += 1 }
            for other in 0..<shape.labels { work.errors[other] -= floor }
            work.errors[label] -= 1 - smoothing
            let gradient = work.embeddingGradients + slot * dimension
            layers.backward(
                state.dense, embedding: work.embedding, hidden: work.hidden, errors: work.errors,
                hiddenErrors: work.hiddenErrors, gradients: work.gradients, embeddingGradient: gradient)
            for offset in 0..<dimension { gradient[offset] *= scale }
        }
        state.scalars.epochLoss += loss
        state.scalars.epochCorrect += correct

        state.scalars.updates += 1
        updateDense(work.gradients, count: batch.count, rate: rate * 0.4)
        for slot in 0..<batch.count { updateRows(slot, rate: rate, work) }
        state.scalars.position = batch.upperBound
    }

    /// Sums the rows of an example that dropout leaves, into `work.embedding`. Returns the factor of the sum.
    @inline(__always)
    private func embed(_ example: Int, _ random: inout RandomNumbers, _ work: Workspace) -> Float {
        let dimension = shape.dimension
        let range = data.training.starts[example]..<data.training.starts[example + 1]
        let begin = work.kept.count
        let threshold = UInt64(settings.dropout * 65536)  // four decisions from each random number
        data.training.features.withUnsafeBufferPointer { features in
            if threshold == 0 {
                work.kept.append(contentsOf: features[range])
            } else {
                var bits: UInt64 = 0
                for (index, feature) in features[range].enumerated() {
                    if index & 3 == 0 { bits = random.next() }
                    if bits & 0xFFFF >= threshold { work.kept.append(feature) }
                    bits >>= 16
                }
            }
        }
        work.keptStarts.append(work.kept.count)
        let count = work.kept.count - begin
        let scale = count == 0 ? 0 : 1 / Float(count).squareRoot()
        let table = UnsafeRawPointer(state.rows)
        let embedding = UnsafeMutableRawPointer(work.embedding)
        work.kept.withUnsafeBufferPointer { kept in
            let rows = UnsafeBufferPointer(rebasing: kept[begin...])
            var offset = 0
            while offset + 16 <= dimension {  // two vectors at once: a row of 16 is one cache line
                var (low, high) = (SIMD8<Float>.zero, SIMD8<Float>.zero)
                for row in rows {
                    let source = table + (Int(row) &* dimension &+ offset) &* 4
                    low += source.load(as: SIMD8<Float>.self)
                    high += source.load(fromByteOffset: 32, as: SIMD8<Float>.self)
                }
                embedding.storeBytes(of: low * scale, toByteOffset: offset * 4, as: SIMD8<Float>.self)
                embedding.storeBytes(of: high * scale, toByteOffset: offset * 4 + 32, as: SIMD8<Float>.self)
                offset += 16
            }
            if offset < dimension {
                var sum = SIMD8<Float>.zero
                for row in rows { sum += (table + (Int(row) &* dimension &+ offset) &* 4).load(as: SIMD8<Float>.self) }
                embedding.storeBytes(of: sum * scale, toByteOffset: offset * 4, as: SIMD8<Float>.self)
            }
        }
        return scale
    }

    /// Adagrad: a row's step is divided by the root of the sum of its squared gradients (their mean over the row).
    @inline(__always)
    private func updateRows(_ slot: Int, rate: Float, _ work: Workspace) {
        let dimension = shape.dimension
        let gradient = UnsafeRawPointer(work.embeddingGradients + slot * dimension)
        var square = SIMD8<Float>.zero
        for offset in stride(from: 0, to: dimension * 4, by: 32) {
            let part = gradient.load(fromByteOffset: offset, as: SIMD8<Float>.self)
            square += part * part
        }
        let meanSquare = square.sum() / Float(dimension)
        let table = UnsafeMutableRawPointer(state.rows)
        let squares = state.rowSquares
        work.kept.withUnsafeBufferPointer { kept in
            let rows = UnsafeBufferPointer(rebasing: kept[work.keptStarts[slot]..<work.keptStarts[slot + 1]])
            if dimension == 16 {
                let low = gradient.load(as: SIMD8<Float>.self)
                let high = gradient.load(fromByteOffset: 32, as: SIMD8<Float>.self)
                for row in rows {
                    let sum = squares[Int(row)] + meanSquare
                    squares[Int(row)] = sum
                    let step = rate / sum.squareRoot()
                    let target = table + Int(row) &* 64
                    target.storeBytes(of: target.load(as: SIMD8<Float>.self) - step * low, as: SIMD8<Float>.self)
                    target.storeBytes(
                        of: target.load(fromByteOffset: 32, as: SIMD8<Float>.self) - step * high, toByteOffset: 32,
                        as: SIMD8<Float>.self)
                }
                return
            }
            for row in rows {
                let sum = squares[Int(row)] + meanSquare
                squares[Int(row)] = sum
                let step = rate / sum.squareRoot()
                let target = table + Int(row) &* dimension &* 4
                for offset in stride(from: 0, to: dimension &* 4, by: 32) {
                    let value =
                        target.load(fromByteOffset: offset, as: SIMD8<Float>.self)
                        - step * gradient.load(fromByteOffset: offset, as: SIMD8<Float>.self)
                    target.storeBytes(of: value, toByteOffset: offset, as: SIMD8<Float>.self)
                }
            }
        }
    }

    /// Adam, as Kingma and Ba give it.
    @inline(__always)
    private func updateDense(_ gradients: UnsafeMutablePointer<Float>, count: Int, rate: Float) {
        let updates = Float(state.scalars.updates)
        let firstCorrection = 1 / (1 - powf(0.9, updates))
        let secondCorrection = 1 / (1 - powf(0.999, updates))
        let scale = 1 / Float(count)
        let (weights, first, second) = (state.dense, state.denseFirstMoments, state.denseSecondMoments)
        for index in 0..<state.denseCount {
            let gradient = gradients[index] * scale
            first[index] = 0.9 * first[index] + 0.1 * gradient
            second[index] = 0.999 * second[index] + 0.001 * gradient * gradient
            weights[index] -=
                rate * (first[index] * firstCorrection)
                / ((second[index] * secondCorrection).squareRoot() + 1e-8)
        }
    }
}
