import JSON

/// `--if` of `roost train`: `accuracy>=0.8`, `loss<=0.3`, `accuracy>current`, `loss<current`.
struct GateOption: Equatable {
    let metric: String
    /// What the directive `promote` has under `if`, besides the metric.
    let condition: JSONObject

    init(_ text: String) throws(CommandError) {
        let wrong = CommandError.usage(
            "'\(text)' is no condition; write METRIC>=NUMBER, METRIC<=NUMBER, METRIC>current or METRIC<current")
        guard let at = text.firstIndex(where: { $0 == "<" || $0 == ">" }), at > text.startIndex else { throw wrong }
        metric = String(text[..<at]).trimmed
        let isMore = text[at] == ">"
        let rest = text[text.index(after: at)...]
        if rest.hasPrefix("=") {
            guard let limit = Double(String(rest.dropFirst()).trimmed), limit.isFinite else { throw wrong }
            condition = [isMore ? "atLeast" : "atMost": .real(limit)]
        } else {
            guard String(rest).trimmed == "current" else { throw wrong }
            condition = ["betterThan": "current", "direction": isMore ? "max" : "min"]
        }
        guard !metric.isEmpty else { throw wrong }
    }

    /// The directive `promote`.
    static func promotion(_ alias: String, _ gate: GateOption?) -> JSONValue {
        var promotion: JSONObject = ["alias": .string(alias)]
        if let gate {
            var condition: JSONObject = ["metric": .string(gate.metric)]
            for entry in gate.condition.entries { condition[entry.key] = entry.value }
            promotion["if"] = .object(condition)
        }
        return .object(promotion)
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = self[...]
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
