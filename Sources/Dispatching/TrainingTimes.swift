package import Domain

/// Where the time of a training that has succeeded went, from its history.
package struct TrainingTimes: Equatable {
    /// From acceptance to the start of the first attempt; the start of its worker is part of that.
    package var queuedSeconds: Double
    /// Of all attempts together, each from its start to its answer or its end.
    package var trainingSeconds: Double

    /// - Parameters:
    ///   - lastStart: when the attempt started that succeeded.
    ///   - lastRun: for how long that ran.
    ///   - earlier: the events `attemptStarted`, `attemptEnded` and `interrupted` of the attempts before, in order; an
    ///     interruption at the time of the last sign of life before it.
    package init(acceptedAt: Timestamp, lastStart: Timestamp, lastRun: Interval, earlier: [ExecutionEvent]) {
        var milliseconds: Int64 = 0
        var first: Timestamp?
        var running: Timestamp?
        for event in earlier {
            if event.kind == .attemptStarted {
                first = first ?? event.at
                running = event.at
            } else if let start = running {
                milliseconds += max(0, event.at.millisecondsSince1970 - start.millisecondsSince1970)
                running = nil
            }
        }
        let start = first ?? lastStart
        queuedSeconds = Double(max(0, start.millisecondsSince1970 - acceptedAt.millisecondsSince1970)) / 1000
        trainingSeconds = Double(milliseconds) / 1000 + lastRun.seconds
    }
}
