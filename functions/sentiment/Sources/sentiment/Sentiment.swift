import TextClassifier
import WorkerRuntime

/// The deployable function: `infer` classifies texts, `train` makes the model.
@main struct Sentiment: TrainableFunction {
    private let classifier: Classifier

    init(_ context: InitContext) throws {
        classifier = try Classifier(modelDirectory: context.modelDirectory)
    }

    mutating func infer(_ event: Event, _ context: InvocationContext) throws -> Response {
        Response(json: try classifier.answer(event.json()))
    }

    static func train(_ job: TrainingJob) throws -> TrainingResult {
        try Trainer.run(job)
    }
}
