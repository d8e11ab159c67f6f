import Glibc
import Testing
import WorkerRuntime

@testable import TextClassifier

@Suite("Training")
struct TrainingTests {
    @Test("the backward pass is the derivative of the forward pass")
    func gradients() {
        let shape = NetworkShape(dimension: 8, hidden: 5, labels: 3)
        let layers = DenseLayers(shape: shape)
        var random = RandomNumbers(3, 0, 0)
        var parameters = (0..<shape.denseCount).map { _ in random.nextUnit() - 0.5 }
        var embedding = (0..<8).map { _ in random.nextUnit() * 2 - 1 }
        var hidden = [Float](repeating: 0, count: 5)
        var probabilities = [Float](repeating: 0, count: 3)
        func loss() -> Double {
            layers.forward(parameters, embedding: embedding, hidden: &hidden, probabilities: &probabilities)
            return -log(Double(probabilities[1]))
        }
        _ = loss()
        var errors = probabilities
        errors[1] -= 1
        var hiddenErrors = [Float](repeating: 0, count: 5)
        var gradients = [Float](repeating: 0, count: shape.denseCount)
        var embeddingGradient = [Float](repeating: 0, count: 8)
        layers.backward(
            parameters, embedding: embedding, hidden: hidden, errors: errors, hiddenErrors: &hiddenErrors,
            gradients: &gradients, embeddingGradient: &embeddingGradient)
        let step: Float = 1e-2
        for index in parameters.indices {
            let value = parameters[index]
            parameters[index] = value + step
            let above = loss()
            parameters[index] = value - step
            let slope = (above - loss()) / Double(2 * step)
            parameters[index] = value
            #expect(abs(slope - Double(gradients[index])) < 2e-3, "parameter \(index)")
        }
        for index in embedding.indices {
            let value = embedding[index]
            embedding[index] = value + step
            let above = loss()
            embedding[index] = value - step
            let slope = (above - loss()) / Double(2 * step)
            embedding[index] = value
            #expect(abs(slope - Double(embeddingGradient[index])) < 2e-3, "input \(index)")
        }
    }

    @Test("learns two labels, and says so while it does")
    func learns() throws {
        let fixture = Fixture()
        try fixture.write(Fixture.lines(300))
        var reports: [TrainingJob.Progress] = []
        let metrics = try fixture.train(["learningRate": 0.005], onProgress: { reports.append($0) }).metrics
        #expect(try #require(metrics["validation_accuracy"]) > 0.95)
        #expect(try #require(metrics["accuracy"]) > 0.9)
        #expect(metrics["labels"] == 2)
        #expect(try fixture.label(of: "own0x1 common3") == "good")
        #expect(try fixture.label(of: "own1x1 common3") == "bad")
        let epochs = reports.dropFirst()
        #expect(epochs.map(\.step) == (1...epochs.count).map { $0 })
        #expect(
            epochs.last.map { $0.metrics.keys.sorted() } == [
                "accuracy", "examples_per_second", "loss", "validation_accuracy", "validation_loss",
            ])
        #expect(zip(epochs, epochs.dropFirst()).allSatisfy { $0.fraction! < $1.fraction! })
    }

    @Test("the same seed gives the same bits, another seed others, and the order of files does not choose the labels")
    func deterministic() throws {
        let fixture = Fixture()
        try fixture.write(Fixture.lines(300))
        try fixture.train(["epochs": 3])
        let first = try fixture.model
        unlink("\(fixture.path)/checkpoint/checkpoint.bin")
        try fixture.train(["epochs": 3])
        #expect(try fixture.model == first)
        try fixture.train(["epochs": 3, "seed": 2])
        #expect(try fixture.model != first)
        #expect(try TextModel(path: "\(fixture.path)/output/model.bin").labels == ["bad", "good"])
    }

    @Test(
        "a training that was stopped and continued ends in the same bits as one that was not",
        arguments: [1, 5, 17, 18, 40])
    func resumed(batches: Int) throws {
        let fixture = Fixture()
        try fixture.write(Fixture.lines(300))
        let settings: JSONValue = ["epochs": 4, "seed": 5]
        try fixture.train(settings)
        let whole = try fixture.model
        unlink("\(fixture.path)/output/model.bin")
        #expect(throws: TrainingStopped.self) { try fixture.train(settings, stopAfter: batches) }
        #expect(throws: TrainingStopped.self) { try fixture.train(settings, stopAfter: 2) }
        var steps: [Int] = []
        try fixture.train(settings, onProgress: { report in report.step.map { steps.append($0) } })
        #expect(steps.first == (batches + 2) / 17 + 1 || (batches + 2) % 17 == 0, "finished epochs are not repeated")
        #expect(try fixture.model == whole)
    }

    @Test(
        "a checkpoint of other data, of other settings, or a damaged one is not continued",
        arguments: ["data", "settings", "damage", "cut"])
    func foreignCheckpoint(change: String) throws {
        let fixture = Fixture()
        let checkpoint = "checkpoint/checkpoint.bin"
        try fixture.write(Fixture.lines(300, seed: change == "data" ? 2 : 1))
        let settings: JSONValue = ["epochs": 2]
        #expect(throws: TrainingStopped.self) {
            try fixture.train(change == "settings" ? ["epochs": 2, "dropout": 0.1] : settings, stopAfter: 20)
        }
        try fixture.write(Fixture.lines(300))
        var bytes = try fixture.read(checkpoint)
        if change == "damage" { bytes[bytes.count / 2] ^= 1 }
        if change == "cut" { bytes.removeLast(100) }
        try fixture.write(bytes, to: checkpoint)
        var steps: [Int] = []
        try fixture.train(settings, onProgress: { report in report.step.map { steps.append($0) } })
        #expect(steps == [1, 2])
        let after = try fixture.model
        unlink("\(fixture.path)/\(checkpoint)")
        try fixture.train(settings)
        #expect(try fixture.model == after)
    }

    @Test("runs all epochs without patience, and stops early with it")
    func patience() throws {
        let fixture = Fixture()
        let noise = Fixture.lines(200, labels: ["x"]).split(separator: "\n").enumerated().map { index, line in
            (index % 2 == 0 ? "good" : "bad") + line.dropFirst()
        }
        try fixture.write(noise.joined(separator: "\n"))
        #expect(try fixture.train(["epochs": 60, "patience": 0]).metrics["epochs"] == 60)
        #expect(try #require(try fixture.train(["epochs": 60, "patience": 2]).metrics["epochs"]) < 60)
    }

    @Test("learns from four lines with a byte order mark, CRLF and blank lines, in two files")
    func smallData() throws {
        let fixture = Fixture()
        try fixture.write("\u{FEFF}good\tI love this film\r\n\r\nbad\tI hate this film\r\n  \r\n")
        try fixture.write("good\tgreat fun\nbad\tso boring", to: "train/b.tsv")
        let metrics = try fixture.train().metrics
        #expect(metrics["examples"] == 4)
        #expect(metrics["validation_accuracy"] == nil)
        #expect(try fixture.label(of: "love it, great") == "good")
        #expect(try fixture.label(of: "boring, I hate it") == "bad")
    }

    @Test("learns Chinese, and twenty labels")
    func otherData() throws {
        let fixture = Fixture()
        try fixture.write(String(repeating: "好评\t这本书很好，喜欢\n差评\t质量太差了，后悔\n好评\t非常满意\n差评\t很失望\n", count: 30))
        try fixture.train(["epochs": 10, "learningRate": 0.005])
        #expect(try fixture.label(of: "很喜欢") == "好评")
        #expect(try fixture.label(of: "太差") == "差评")
        try fixture.write(Fixture.lines(600, labels: (0..<20).map { "label \($0)" }))
        let metrics = try fixture.train(["learningRate": 0.01, "epochs": 10]).metrics
        #expect(try #require(metrics["validation_accuracy"]) > 0.9)
        #expect(try fixture.label(of: "own13x2 own13x4 common1") == "label 13")
    }

    @Test("uses the channel validation for nothing but choosing the epoch")
    func validationChannel() throws {
        let fixture = Fixture()
        try fixture.write(Fixture.lines(200))
        try fixture.write(Fixture.lines(50, seed: 9), to: "validation/a.tsv")
        let metrics = try fixture.train(validation: true).metrics
        #expect(metrics["examples"] == 200)
        #expect(metrics["validation_accuracy"] != nil)
    }

    @Test(
        "says what is wrong with the data, and where",
        arguments: [
            ("", "BadData: The channel train has no examples"),
            ("a\tx\na\ty\n", "BadData: The channel train has one label only, a; two are needed"),
            ("a\tx\n\nno tab\n", "BadData: a.tsv, line 3: no tab between label and text"),
            ("a\tx\n\ty\n", "BadData: a.tsv, line 2: no label before the tab"),
        ])
    func badData(text: String, expected: String) throws {
        let fixture = Fixture()
        try fixture.write(text)
        #expect(failure { try fixture.train() } == expected)
    }

    @Test("says where the data is not UTF-8, which validation label is unknown, and that the columns are swapped")
    func moreBadData() throws {
        let fixture = Fixture()
        try fixture.write(Array("a\tx\nb\t".utf8) + [0xFF, 0x0A], to: "train/a.tsv")
        #expect(failure { try fixture.train() } == "BadData: a.tsv, line 2: byte 3 is not UTF-8")
        try fixture.write("a\tx\nb\ty\n")
        try fixture.write("c\tx\n", to: "validation/a.tsv")
        #expect(
            failure { try fixture.train(validation: true) }
                == "BadData: a.tsv, line 1: the label c does not occur in the channel train")
        try fixture.write((0..<2000).map { "text \($0)\tgood" }.joined(separator: "\n"))
        #expect(failure { try fixture.train() }?.contains("more than 1000 labels") == true)
        let job = TrainingJob(channels: [:], outputDirectory: fixture.path)
        #expect(failure { _ = try Trainer.run(job) }?.contains("no channel train") == true)
    }

    @Test(
        "refuses hyperparameters by name",
        arguments: [
            (#"{"lr": 1}"#, "Unknown hyperparameter lr; there are epochs"),
            (#"{"epochs": 0}"#, "epochs must be a whole number from 1 to 1000000, not 0"),
            (#"{"epochs": 2.5}"#, "epochs must be a whole number from 1 to 1000000, not 2.5"),
            (#"{"learningRate": "fast"}"#, #"learningRate must be a number from 1e-06 to 1.0, not "fast""#),
            (#"{"embeddingDimension": 12}"#, "embeddingDimension must be a multiple of 8, not 12"),
            (#"{"buckets": 3000}"#, "buckets must be a power of two, not 3000"),
            (#"{"dropout": 1}"#, "dropout must be a number from 0.0 to 0.9, not 1"),
            ("[]", "Hyperparameters are a JSON object, not an array"),
        ])
    func badHyperparameters(event: String, expected: String) throws {
        let message = try #require(failure { _ = try Hyperparameters(JSONValue(parsing: event)) })
        #expect(message.hasPrefix("BadHyperparameter: \(expected)"))
    }

    @Test("takes all hyperparameters, and skips the host's own key")
    func hyperparameters() throws {
        let fixture = Fixture()
        try fixture.write(Fixture.lines(150))
        let settings = try JSONValue(
            parsing: """
                {"roost": {"base": "live"}, "epochs": 2, "learningRate": 0.01, "batchSize": 7, "embeddingDimension": 24,
                 "hiddenUnits": 5, "buckets": 1024, "dropout": 0, "labelSmoothing": 0, "patience": 0, "seed": 0}
                """)
        #expect(try fixture.train(settings).metrics["epochs"] == 2)
        #expect(try fixture.label(of: "x") != nil)
        #expect(Hyperparameters.names.count == settings.object!.count - 1)
    }

    @Test("weights that become infinite end the training, not in a model", arguments: [1.0])
    func highRate(rate: Double) throws {
        let fixture = Fixture()
        try fixture.write(Fixture.lines(200))
        // Either it learns at that rate or it says that it cannot; a damaged model is neither.
        if failure({ try fixture.train(["learningRate": .number(rate)]) }) == nil {
            #expect(try fixture.label(of: "x") != nil)
        }
    }
}
