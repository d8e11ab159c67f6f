package import WorkerRuntime

/// What a training may be told. The defaults are the same for every language and size of data.
package struct Hyperparameters: Equatable, Sendable {
    /// Passes over the training data. `nil`: 20, and more for small data, until 2,000 minibatches or 400 epochs.
    package var epochs: Int?
    /// The step of an embedding row's first update; the dense layers use 0.4 of it. Falls linearly to a twentieth.
    package var learningRate = 0.001
    /// Examples per update.
    package var batchSize = 16
    /// Numbers per feature; a multiple of 8.
    package var embeddingDimension = 16
    package var hiddenUnits = 16
    /// How many different features can be told apart; a power of two. Bounds the model's size: buckets x dimension x 2
    /// bytes, 16.8 MB by default.
    package var buckets = 1 << 19
    /// The probability with which a training example loses a feature.
    package var dropout = 0.3
    /// The probability mass that the target gives to all labels alike. Keeps the probabilities honest on small data.
    package var labelSmoothing = 0.1
    /// Epochs without a lower validation loss after which training ends; 0 runs all epochs.
    package var patience = 3
    package var seed = 1

    package init() {}

    /// Reads a training event. The host's own key `roost` is skipped; any other unknown key, and any value out of
    /// range, is refused by name with a ``FunctionError`` of type `BadHyperparameter`.
    package init(_ event: JSONValue) throws {
        guard let members = event.object else {
            throw FunctionError(
                type: "BadHyperparameter", message: "Hyperparameters are a JSON object, not \(event.kind)")
        }
        for member in members {
            let (key, value) = (member.key, member.value)
            switch key {
            case "roost": break
            case "epochs": epochs = try Self.integer(key, value, in: 1...1_000_000)
            case "learningRate": learningRate = try Self.number(key, value, in: 1e-6...1)
            case "batchSize": batchSize = try Self.integer(key, value, in: 1...4096)
            case "embeddingDimension":
                embeddingDimension = try Self.integer(key, value, in: 8...256)
                if embeddingDimension % 8 != 0 { throw Self.bad(key, "a multiple of 8", value) }
            case "hiddenUnits": hiddenUnits = try Self.integer(key, value, in: 1...1024)
            case "buckets":
                buckets = try Self.integer(key, value, in: (1 << 10)...(1 << 24))
                if buckets & (buckets - 1) != 0 { throw Self.bad(key, "a power of two", value) }
            case "dropout": dropout = try Self.number(key, value, in: 0...0.9)
            case "labelSmoothing": labelSmoothing = try Self.number(key, value, in: 0...0.5)
            case "patience": patience = try Self.integer(key, value, in: 0...1_000_000)
            case "seed": seed = try Self.integer(key, value, in: 0...(1 << 53))
            default:
                throw FunctionError(
                    type: "BadHyperparameter",
                    message: "Unknown hyperparameter \(key); there are \(Self.names.joined(separator: ", "))")
            }
        }
    }

    static let names = [
        "epochs", "learningRate", "batchSize", "embeddingDimension", "hiddenUnits", "buckets", "dropout",
        "labelSmoothing", "patience", "seed",
    ]

    /// The epochs to run on so many training examples.
    func epochCount(examples: Int) -> Int {
        if let epochs { return epochs }
        let batches = max(1, (examples + batchSize - 1) / batchSize)
        return min(400, max(20, (2000 + batches - 1) / batches))
    }

    private static func integer(_ key: String, _ value: JSONValue, in range: ClosedRange<Int>) throws -> Int {
        guard let integer = value.integer, range.contains(integer) else {
            throw bad(key, "a whole number from \(range.lowerBound) to \(range.upperBound)", value)
        }
        return integer
    }

    private static func number(_ key: String, _ value: JSONValue, in range: ClosedRange<Double>) throws -> Double {
        guard let number = value.number, range.contains(number) else {
            throw bad(key, "a number from \(range.lowerBound) to \(range.upperBound)", value)
        }
        return number
    }

    private static func bad(_ key: String, _ wanted: String, _ value: JSONValue) -> FunctionError {
        let found = String(decoding: value.encoded.prefix(80), as: UTF8.self)
        return FunctionError(type: "BadHyperparameter", message: "\(key) must be \(wanted), not \(found)")
    }
}
