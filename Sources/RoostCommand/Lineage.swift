import JSON

/// A version's lineage as people read it. Pure: the host's JSON in, text out.
enum Lineage {
    /// The data channels by name: `dataset:reviews@2`, or the digest of what was sent.
    static func channels(_ lineage: JSONObject) -> [(name: String, text: String)] {
        (lineage["channels"]?.objectValue?.entries ?? []).map { channel in
            guard let dataset = lineage["datasets"]?[channel.key], let name = dataset["name"]?.stringValue else {
                return (channel.key, shortDigest(channel.value))
            }
            return (channel.key, "dataset:\(name)@\(text(dataset["version"]))")
        }
    }

    /// One line per part that is there.
    static func lines(_ lineage: JSONObject) -> [String] {
        var parts: [(String, String)] = []
        func add(_ name: String, _ text: String?) {
            if let text, !text.isEmpty { parts.append((name, printable(text))) }
        }
        add("base", lineage["base"]?.stringValue)
        add("execution", lineage["execution"]?.stringValue)
        add("data", channels(lineage).map { "\($0.name)=\($0.text)" }.joined(separator: "  "))
        let hyperparameters = lineage["hyperparameters"]?.objectValue?.entries ?? []
        add("hyperparameters", hyperparameters.map { "\($0.key)=\(text($0.value))" }.joined(separator: "  "))
        add("metrics", (lineage["metrics"]?.objectValue).map(TrainingView.text))
        var times: [String] = []
        if let queued = lineage["queuedSeconds"]?.realValue { times.append("queued for \(spanText(seconds: queued))") }
        if let trained = lineage["trainingSeconds"]?.realValue {
            times.append("trained for \(spanText(seconds: trained))")
        }
        if let attempts = lineage["attempts"]?.integerValue { times.append(counted(Int(attempts), "attempt")) }
        if let peak = lineage["memoryPeakMegabytes"]?.integerValue { times.append("\(peak) MB at most") }
        if let cost = lineage["costGigabyteSeconds"]?.realValue { times.append("\(metricText(cost)) GB s") }
        add("took", times.joined(separator: ", "))
        let width = parts.map(\.0.count).max() ?? 0
        return parts.map { $0.0 + String(repeating: " ", count: width - $0.0.count + 2) + $0.1 }
    }
}
