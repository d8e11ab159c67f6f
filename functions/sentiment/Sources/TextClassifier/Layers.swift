import Glibc

/// Sizes of a network, and where its dense parameters lie in one array of floats:
/// hidden weights (hidden x dimension), hidden biases, output weights (labels x hidden), output biases.
struct NetworkShape: Equatable {
    var dimension: Int
    var hidden: Int
    var labels: Int

    var hiddenBiases: Int { hidden * dimension }
    var outputWeights: Int { hiddenBiases + hidden }
    var outputBiases: Int { outputWeights + labels * hidden }
    var denseCount: Int { outputBiases + labels }
}

/// The dense part: from a text's embedding, the scaled sum of its features' rows, over one tanh layer to a softmax.
/// Forward for training and inference, backward for training. The explicit form of
/// `softmax(W2 tanh(W1 x + b1) + b2)` with cross-entropy.
struct DenseLayers {
    typealias Floats = UnsafeMutablePointer<Float>
    typealias Lanes = SIMD8<Float>

    let shape: NetworkShape

    /// Leaves the hidden activations and the labels' probabilities in their arguments. `embedding` holds `dimension`
    /// floats, aligned to 32 bytes as `parameters` is.
    @inline(__always)
    func forward(
        _ parameters: UnsafePointer<Float>, embedding: UnsafePointer<Float>, hidden: Floats, probabilities: Floats
    ) {
        let (dimension, hiddenCount, labels) = (shape.dimension, shape.hidden, shape.labels)
        let x = UnsafeRawPointer(embedding)
        for unit in 0..<hiddenCount {
            let row = UnsafeRawPointer(parameters + unit * dimension)
            var sum = Lanes.zero
            for offset in stride(from: 0, to: dimension * 4, by: 32) {
                sum +=
                    row.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
                    * x.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
            }
            hidden[unit] = tanhf(sum.sum() + parameters[shape.hiddenBiases + unit])
        }
        var greatest = -Float.infinity
        for label in 0..<labels {
            let row = parameters + shape.outputWeights + label * hiddenCount
            var sum = parameters[shape.outputBiases + label]
            for unit in 0..<hiddenCount { sum += row[unit] * hidden[unit] }
            probabilities[label] = sum
            greatest = max(greatest, sum)
        }
        var total: Float = 0
        for label in 0..<labels {
            probabilities[label] = expf(probabilities[label] - greatest)
            total += probabilities[label]
        }
        for label in 0..<labels { probabilities[label] /= total }
    }

    /// Adds the parameters' gradients to `gradients` and leaves the embedding's in `embeddingGradient`.
    ///
    /// `errors` holds the loss's derivative by each logit: probability minus target.
    @inline(__always)
    func backward(
        _ parameters: UnsafePointer<Float>, embedding: UnsafePointer<Float>, hidden: UnsafePointer<Float>,
        errors: UnsafePointer<Float>, hiddenErrors: Floats, gradients: Floats, embeddingGradient: Floats
    ) {
        let (dimension, hiddenCount, labels) = (shape.dimension, shape.hidden, shape.labels)
        for unit in 0..<hiddenCount { hiddenErrors[unit] = 0 }
        for label in 0..<labels {
            let error = errors[label]
            let row = parameters + shape.outputWeights + label * hiddenCount
            let gradient = gradients + shape.outputWeights + label * hiddenCount
            gradients[shape.outputBiases + label] += error
            for unit in 0..<hiddenCount {
                gradient[unit] += error * hidden[unit]
                hiddenErrors[unit] += error * row[unit]
            }
        }
        let x = UnsafeRawPointer(embedding)
        let dx = UnsafeMutableRawPointer(embeddingGradient)
        for index in 0..<dimension { embeddingGradient[index] = 0 }
        for unit in 0..<hiddenCount {
            let error = hiddenErrors[unit] * (1 - hidden[unit] * hidden[unit])
            gradients[shape.hiddenBiases + unit] += error
            let row = UnsafeRawPointer(parameters + unit * dimension)
            let gradient = UnsafeMutableRawPointer(gradients + unit * dimension)
            for offset in stride(from: 0, to: dimension * 4, by: 32) {
                let sum =
                    gradient.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
                    + error * x.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
                gradient.storeBytes(of: sum, toByteOffset: offset, as: Lanes.self)
                let back =
                    dx.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
                    + error * row.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
                dx.storeBytes(of: back, toByteOffset: offset, as: Lanes.self)
            }
        }
    }
}
