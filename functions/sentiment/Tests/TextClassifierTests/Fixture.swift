import Glibc
import Testing
import WorkerRuntime

@testable import TextClassifier

/// A folder of its own for one test, and made-up data in it.
final class Fixture {
    let path: String

    init() {
        var template = Array("/tmp/text-classifier-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
        for folder in ["train", "validation", "checkpoint", "output"] { mkdir("\(path)/\(folder)", 0o755) }
    }

    deinit {
        for folder in ["train", "validation", "checkpoint", "output"] {
            for name in ["a.tsv", "b.tsv", "checkpoint.bin", "model.bin"] { unlink("\(path)/\(folder)/\(name)") }
            rmdir("\(path)/\(folder)")
        }
        rmdir(path)
    }

    func write(_ text: String, to file: String = "train/a.tsv") throws {
        try write(Array(text.utf8), to: file)
    }

    func write(_ bytes: [UInt8], to file: String) throws {
        try bytes.withUnsafeBytes { try TrainingJob.replaceFile(atPath: "\(path)/\(file)", with: $0) }
    }

    func read(_ file: String) throws -> [UInt8] {
        try MappedFile(path: "\(path)/\(file)").withBytes { Array($0) }
    }

    var model: [UInt8] { get throws { try read("output/model.bin") } }

    /// Trains on the folder's files. Stops after `batches` minibatches if given.
    @discardableResult
    func train(
        _ hyperparameters: JSONValue = [:], validation: Bool = false, stopAfter batches: Int? = nil,
        onProgress: @escaping (TrainingJob.Progress) -> Void = { _ in }
    ) throws -> TrainingResult {
        var channels = ["train": "\(path)/train"]
        if validation { channels["validation"] = "\(path)/validation" }
        var asked = 0
        let job = TrainingJob(
            hyperparameters: hyperparameters, channels: channels, checkpointDirectory: "\(path)/checkpoint",
            outputDirectory: "\(path)/output",
            isStopRequested: {
                asked += 1
                return asked == batches
            }, onProgress: onProgress)
        return try Trainer.run(job)
    }

    func answer(_ event: String) throws -> JSONValue {
        try Classifier(modelDirectory: "\(path)/output").answer(JSONValue(parsing: event))
    }

    func label(of text: String) throws -> String? {
        let event: JSONValue = ["text": .string(text)]
        return try Classifier(modelDirectory: "\(path)/output").answer(event)["label"]?.string
    }

    /// Lines whose texts share most words; each label has a few of its own.
    static func lines(_ count: Int, labels: [String] = ["good", "bad"], seed: UInt64 = 1) -> String {
        var random = RandomNumbers(seed, 0, 0)
        var text = ""
        for _ in 0..<count {
            let label = random.next(below: labels.count)
            text += labels[label] + "\t"
            for position in 0..<10 {
                let own = position % 4 == 0
                text += own ? "own\(label)x\(random.next(below: 5)) " : "common\(random.next(below: 50)) "
            }
            text += "\n"
        }
        return text
    }
}

/// The message of the `FunctionError` that `body` throws, with its type.
func failure(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return "\(error)"
    }
}
