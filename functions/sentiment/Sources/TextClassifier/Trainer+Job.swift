package import WorkerRuntime

extension Trainer {
    /// Does a training job: the function's handler `train`.
    package static func run(_ job: TrainingJob) throws -> TrainingResult {
        let settings = try Hyperparameters(job.hyperparameters)
        guard let training = try job.files(inChannel: "train") else {
            throw FunctionError(
                type: "BadData", message: "There is no channel train; give it lines of label, tab, text")
        }
        guard !training.isEmpty else { throw FunctionError(type: "BadData", message: "The channel train has no file") }
        let validation = try job.files(inChannel: "validation")
        if let validation, validation.isEmpty {
            throw FunctionError(type: "BadData", message: "The channel validation has no file")
        }
        let trainer = try Trainer(settings, training: training, validation: validation)
        job.progress(
            fraction: 0,
            message: "\(trainer.examples) examples, \(trainer.validationExamples) for validation, "
                + "\(trainer.labels.count) labels, up to \(trainer.epochCount) epochs")
        let outcome = try trainer.run(
            checkpointDirectory: job.checkpointDirectory, isStopRequested: { job.isStopRequested },
            report: { report in
                var metrics = [
                    "loss": report.loss, "accuracy": report.accuracy, "examples_per_second": report.examplesPerSecond,
                ]
                metrics["validation_loss"] = report.validationLoss
                metrics["validation_accuracy"] = report.validationAccuracy
                job.progress(
                    fraction: report.fraction, step: report.epoch, metrics: metrics,
                    message: report.isEpochEnd ? "epoch \(report.epoch) of \(report.epochs)" : nil)
            })
        try trainer.writeModel(toPath: "\(job.outputDirectory)/\(TextModel.fileName)")
        var metrics: [String: Double] = [
            "accuracy": outcome.accuracy, "loss": outcome.loss, "epochs": Double(outcome.epochs),
            "best_epoch": Double(outcome.bestEpoch), "examples": Double(outcome.examples),
            "labels": Double(outcome.labels), "seconds": outcome.seconds, "model_bytes": Double(outcome.modelBytes),
        ]
        metrics["validation_loss"] = outcome.validationLoss
        metrics["validation_accuracy"] = outcome.validationAccuracy
        return TrainingResult(metrics: metrics)
    }
}
