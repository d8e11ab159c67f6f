internal import Domain
internal import JSON
internal import Loop
internal import Management
internal import Registry

/// What a version that a training published remembers of where it comes from, and whether an alias moves to it.
extension Executions {
    /// What a training reported in the end.
    struct TrainingResult {
        var answer: [UInt8]
        /// `metrics` of the answer; else the last value of each metric that the attempt reported; `nil` without any.
        var metrics: JSONObject?
        var run: Interval
        /// Of the worker; `nil` when that could not be told.
        var memoryPeakMegabytes: Int?
    }

    func result(of execution: Live, _ answer: [UInt8], _ outcome: InvocationOutcome) -> TrainingResult {
        execution.noteMetrics()
        let answered = (try? JSONValue.parse(answer))?["metrics"]?.objectValue
        return TrainingResult(
            answer: answer, metrics: answered ?? (execution.metrics.isEmpty ? nil : execution.metrics),
            run: outcome.timing.run, memoryPeakMegabytes: outcome.peakMegabytes)
    }

    /// Where a trained version comes from. docs/ARCHITECTURE.md lists the keys.
    func lineage(
        of stored: Execution, _ head: ExecutionHead, model: Digest, _ result: TrainingResult
    ) async -> String {
        var lineage: JSONObject = [
            "execution": .string(stored.id.text),
            "attempt": .integer(Int64(head.attempt)),
            "attempts": .integer(Int64(head.attempt)),
            "base": .string((stored.baseVersion ?? .latest).description),
            "model": .string(model.description),
        ]
        let code = management.catalog.entry(stored.function)?.version(stored.version)
        if let code {
            lineage["trainingPackage"] = .string(code.package.description)
            lineage["trainingVersion"] = .string(stored.version.description)
        }
        var channels = JSONObject()
        var datasets = JSONObject()
        for channel in stored.channels {
            channels[channel.name] = .string(channel.artifact.description)
            guard let dataset = channel.dataset, let number = dataset.number else { continue }
            datasets[channel.name] = ["name": .string(dataset.name.text), "version": .integer(Int64(number))]
        }
        lineage["channels"] = .object(channels)
        lineage["datasets"] = .object(datasets)
        if var event = (try? JSONValue.parse(stored.input.bytes ?? []))?.objectValue {
            event[TrainingDirectives.key] = nil
            lineage["hyperparameters"] = .object(event)
        }
        if let metrics = result.metrics { lineage["metrics"] = .object(metrics) }
        let times = TrainingTimes(
            acceptedAt: stored.acceptedAt, lastStart: head.startedAt ?? stored.acceptedAt, lastRun: result.run,
            earlier: await earlierAttempts(of: head))
        lineage["queuedSeconds"] = .real(Self.thousandths(times.queuedSeconds))
        lineage["trainingSeconds"] = .real(Self.thousandths(times.trainingSeconds))
        if let peak = result.memoryPeakMegabytes { lineage["memoryPeakMegabytes"] = .integer(Int64(peak)) }
        if let memory = result.memoryPeakMegabytes ?? code?.configuration.memoryMegabytes {
            let cost = Double(memory) / 1024 * times.trainingSeconds
            lineage["costGigabyteSeconds"] = .real(Self.thousandths(cost))
        }
        return JSONValue.object(lineage).text()
    }

    private static func thousandths(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

    /// As `TrainingTimes` wants them. What cannot be read is left out.
    private func earlierAttempts(of head: ExecutionHead) async -> [ExecutionEvent] {
        guard head.attempt > 1 else { return [] }
        var events: [ExecutionEvent] = []
        for kind in [ExecutionEvent.Kind.attemptStarted, .attemptEnded, .interrupted] {
            events += (try? await registry.events(of: head.id, kind: kind, since: head.acceptedAt)) ?? []
        }
        events.sort { $0.sequence < $1.sequence }
        // An interruption by the host's end was noted at the next start.
        for index in events.indices where events[index].kind == .interrupted {
            let before = try? await registry.events(
                of: head.id, isNewestFirst: true, after: events[index].sequence, limit: 1)
            if let sign = before?.first { events[index].at = sign.at }
        }
        return events
    }

    // MARK: - Promotion

    /// What was decided of a promotion, to be told in the execution.
    struct PromotionOutcome {
        var isMoved: Bool
        /// A JSON object: `alias`, `moved`, and with a gate `metric`, `value`, `reason`, and what it was compared with.
        var detail: JSONObject
    }

    /// The error of a gate that has nothing to look at; `nil` when it has.
    func missingMetric(_ promotion: Promotion?, _ result: TrainingResult) -> Execution.Failure? {
        guard let promotion, let gate = promotion.gate, result.metrics?[gate.metric]?.realValue == nil else {
            return nil
        }
        let reported = (result.metrics?.entries ?? []).filter { $0.value.realValue != nil }.map(\.key)
        return Execution.Failure(
            type: "Roost.MetricMissing",
            message:
                "The gate of alias '\(promotion.alias)' needs the metric '\(gate.metric)', which the training did not "
                + "report as a number. "
                + (reported.isEmpty ? "It reported none." : "It reported: \(reported.joined(separator: ", "))."))
    }

    /// Whether the alias moves. Called inside the commit's decision, so the alias points to what is compared with.
    func decide(_ promotion: Promotion, _ result: TrainingResult, in entry: Catalog.Entry) -> PromotionOutcome {
        var detail: JSONObject = ["alias": .string(promotion.alias.text), "moved": true]
        guard let gate = promotion.gate, let value = result.metrics?[gate.metric]?.realValue else {
            return PromotionOutcome(isMoved: true, detail: detail)
        }
        var current = PromotionGate.Current.none
        if let target = entry.aliases[promotion.alias]?.target {
            let lineage = entry.version(target.version)?.lineage.flatMap { try? JSONValue.parse($0) }
            current = .version(target.version, lineage?["metrics"]?[gate.metric]?.realValue)
        }
        let verdict = gate.verdict(value: value, current: current)
        detail["moved"] = .bool(verdict.holds)
        detail["metric"] = .string(gate.metric)
        detail["value"] = .real(value)
        if case .version(let number, let before) = current {
            detail["currentVersion"] = .string(number.description)
            if let before { detail["currentValue"] = .real(before) }
        }
        detail["reason"] = .string("\(gate.metric) \(value) \(verdict.reason)")
        return PromotionOutcome(isMoved: verdict.holds, detail: detail)
    }
}

extension Executions.Live {
    /// Takes over the metrics of the reports that are not stored yet; harmless to repeat.
    func noteMetrics() {
        for (_, report) in progress {
            for entry in (try? JSONValue.parse(report))?["metrics"]?.objectValue?.entries ?? [] {
                metrics[entry.key] = entry.value
            }
        }
    }
}
