import JSON

/// What is shown of a running execution, made from its events. Pure: events in, text out.
struct TrainingView {
    private(set) var fraction: Double?
    private(set) var message: String?
    private(set) var metrics: JSONObject?
    private var history = MetricHistory()
    /// The metric whose curve is drawn; nil chooses one.
    private let plot: String?
    private var phase = "queued"
    private var startedAt: Double?
    /// Where the fraction stood when it was first known in the attempt, and where it stands.
    private var firstFraction: (at: Double, fraction: Double)?
    private var lastFraction: (at: Double, fraction: Double)?

    init(plot: String? = nil) { self.plot = plot }

    /// Takes the next event and returns the lines that stay on the screen, in most cases none.
    mutating func take(kind: String, at: Double, detail: JSONValue) -> [String] {
        switch kind {
        case "attemptStarted":
            phase = "starting"
            startedAt = startedAt ?? at
            let attempt = detail["attempt"]?.integerValue ?? detail["Attempt"]?.integerValue ?? 1
            // Where a later one goes on is what it says first.
            firstFraction = attempt > 1 ? nil : (at, 0)
            lastFraction = nil
            return attempt > 1 ? ["attempt \(attempt) starts"] : []
        case "progress":
            phase = "running"
            if let fraction = detail["fraction"]?.realValue {
                self.fraction = fraction
                firstFraction = firstFraction ?? (at, fraction)
                lastFraction = (at, fraction)
            }
            history.take(at: at, report: detail)
            metrics = detail["metrics"]?.objectValue ?? metrics
            let text = detail["message"]?.stringValue.map(printable)
            if let text = text ?? detail["step"]?.integerValue.map({ "step \($0)" }) { message = text }
            guard let text else { return [] }
            guard let metrics = detail["metrics"]?.objectValue, !metrics.isEmpty else { return [text] }
            return ["\(text)  \(TrainingView.text(of: metrics))"]
        case "interrupted":
            if let reason = detail["reason"]?.stringValue { return [printable(reason)] }
            phase = "waits for the host to start again"
            return ["interrupted; it will go on from its last checkpoint"]
        case "stopRequested":
            phase = "stopping"
            return ["a stop was requested"]
        case "paused":
            phase = "paused"
            return ["paused; `roost executions resume` lets it go on from its last checkpoint"]
        case "resumed":
            phase = "queued"
            return ["resumed"]
        case "attemptEnded":
            phase = "attempt ended"
            return []
        default: return []
        }
    }

    /// The curve of a metric, where there is one and room for it, and below it the status.
    func screen(now: Double, columns: Int, rows: Int, style: TextStyle = .plain) -> [String] {
        let status = statusText(now: now, columns: columns)
        guard rows >= MetricPlot.rows + 4, let name = plot ?? history.loss else { return [status] }
        let values = history.points(of: name).map(\.value)
        return MetricPlot.lines(name: name, values: values, columns: columns, style: style) + [status]
    }

    /// `[#####-----]  50 %  12.3 s  ETA 11.9 s  epoch 5 of 10  loss 0.41`, cut to `columns`.
    func statusText(now: Double, columns: Int) -> String {
        var parts: [String] = []
        if let fraction {
            parts.append("\(TrainingView.bar(fraction, width: min(30, max(8, columns / 4))))")
        } else {
            parts.append(phase)
        }
        if let startedAt { parts.append(spanText(seconds: now - startedAt)) }
        if phase == "running", let left = secondsLeft(now: now) { parts.append("ETA \(spanText(seconds: left))") }
        if let message { parts.append(message) }
        if let metrics { parts.append(TrainingView.text(of: metrics)) }
        return String(parts.joined(separator: "  ").prefix(max(0, columns)))
    }

    /// If the attempt goes on as it did from its first fraction to its last; nil when it has not moved.
    private func secondsLeft(now: Double) -> Double? {
        guard let first = firstFraction, let last = lastFraction, last.at > first.at, last.fraction > first.fraction
        else { return nil }
        let secondsPerWhole = (last.at - first.at) / (last.fraction - first.fraction)
        return max(0, (1 - last.fraction) * secondsPerWhole - (now - last.at))
    }

    static func bar(_ fraction: Double, width: Int) -> String {
        let part = min(1, max(0, fraction))
        let full = Int((part * Double(width)).rounded(.down))
        let percent = String(Int((part * 100).rounded(.down)))
        return "[" + String(repeating: "#", count: full) + String(repeating: "-", count: width - full) + "] "
            + String(repeating: " ", count: 3 - percent.count) + percent + " %"
    }

    /// `loss 0.41  accuracy 0.7800`, in the function's own order.
    static func text(of metrics: JSONObject) -> String {
        metrics.entries.compactMap { entry in
            entry.value.realValue.map { "\(printable(entry.key)) \(metricText($0))" }
        }.joined(separator: "  ")
    }
}

/// `text` without what a terminal would act on: a function's words are not to be trusted with the screen.
func printable(_ text: String) -> String {
    String(
        String.UnicodeScalarView(
            text.unicodeScalars.map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? " " : $0 }))
}
