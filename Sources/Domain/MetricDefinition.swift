/// How a metric is found in what a training script prints: the first group of a regular expression is its value.
package struct MetricDefinition: Equatable, Sendable {
    package let name: String
    /// Searched in each line with Python's `re`.
    package let pattern: String

    package static let countMax = 40
    package static let nameLengthMax = 255
    package static let patternLengthMax = 500

    /// Why a definition cannot be taken; the text follows the name of the place that has it.
    package struct Invalid: Error, Equatable {
        /// `name` or `regex`, as the manifest calls them.
        package let key: String
        package let reason: String
    }

    package init(name: String, pattern: String) throws(Invalid) {
        let length = name.unicodeScalars.count
        guard (1...Self.nameLengthMax).contains(length), !name.contains("="), !Self.hasControl(name) else {
            throw Invalid(
                key: "name",
                reason: "must be 1 to \(Self.nameLengthMax) characters without '=' and control characters")
        }
        guard (1...Self.patternLengthMax).contains(pattern.unicodeScalars.count), !Self.hasControl(pattern) else {
            throw Invalid(
                key: "regex",
                reason: "must be 1 to \(Self.patternLengthMax) characters without control characters")
        }
        do { _ = try Regex(Self.asSwift(pattern)) } catch {
            throw Invalid(key: "regex", reason: "'\(pattern)' is no regular expression: \(error)")
        }
        guard Self.hasGroup(pattern) else {
            throw Invalid(key: "regex", reason: "'\(pattern)' has no group in parentheses, which would be the value")
        }
        self.name = name
        self.pattern = pattern
    }

    // MARK: - ROOST_METRICS

    /// Lines `NAME=REGEX`.
    package static func text(of definitions: [MetricDefinition]) -> String {
        definitions.map { "\($0.name)=\($0.pattern)" }.joined(separator: "\n")
    }

    package static func list(_ text: String) throws(FunctionSettings.Invalid) -> [MetricDefinition] {
        var definitions: [MetricDefinition] = []
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw .init(description: "ROOST_METRICS has '\(line)'; each line is NAME=REGEX")
            }
            do throws(Invalid) {
                definitions.append(try MetricDefinition(name: String(parts[0]), pattern: String(parts[1])))
            } catch {
                throw .init(description: "ROOST_METRICS: the \(error.key) of '\(parts[0])' \(error.reason)")
            }
        }
        guard let repeated = problem(of: definitions) else { return definitions }
        throw .init(description: "ROOST_METRICS \(repeated)")
    }

    /// What is wrong with them together; the text follows the name of the list.
    package static func problem(of definitions: [MetricDefinition]) -> String? {
        if definitions.count > countMax { return "has \(definitions.count) metrics; allowed are \(countMax)" }
        var names: Set<String> = []
        for definition in definitions where !names.insert(definition.name).inserted {
            return "has the metric '\(definition.name)' twice"
        }
        return nil
    }

    // MARK: - Parts

    private static func hasControl(_ text: String) -> Bool {
        text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
    }

    /// Swift's engine has no lookbehind. Its syntax is that of lookahead.
    private static func asSwift(_ pattern: String) -> String {
        pattern.replacing("(?<=", with: "(?=").replacing("(?<!", with: "(?!")
    }

    /// Whether a well-formed pattern captures anything.
    private static func hasGroup(_ pattern: String) -> Bool {
        var rest = Substring(pattern)
        var isInClass = false
        while let character = rest.popFirst() {
            switch character {
            case "\\": _ = rest.popFirst()
            case "[": isInClass = true
            case "]": isInClass = false
            case "(" where !isInClass:
                guard rest.first == "?" else { return true }
                // Named groups are the only ones that begin with a question mark and capture.
                if rest.hasPrefix("?P<") { return true }
            default: break
            }
        }
        return false
    }
}
