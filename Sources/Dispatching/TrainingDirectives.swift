package import Domain
internal import JSON

/// What the reserved key `roost` of a training's event says. The rest of the event is the hyperparameters.
///
/// `{"base": "live", "channels": {"train": "dataset:reviews"}, "promote": {"alias": "live", "if": {"metric": "accuracy",
/// "atLeast": 0.8}}}`, each key optional.
package struct TrainingDirectives {
    /// A data channel as the client wrote it.
    package struct Channel: Equatable, Sendable {
        package enum Source: Equatable, Sendable {
            /// The manifest of uploaded files.
            case artifact(Digest)
            case dataset(DatasetReference)
        }

        package var name: String
        package var source: Source

        package init(name: String, source: Source) {
            self.name = name
            self.source = source
        }
    }

    /// The version of the trained function to start from; `$LATEST` when absent.
    package var base = Qualifier.version(.latest)
    package var channels: [Channel] = []
    package var promote: Promotion?

    static let key = "roost"
    static let channelsMax = 32
    static let metricLengthMax = 256

    package struct Invalid: Error {
        package let description: String
    }

    /// - Throws: `Invalid` with a sentence that names the key.
    package init(event: [UInt8]) throws(Invalid) {
        guard let value = try? JSONValue.parse(event), let object = value.objectValue else {
            throw Invalid(description: "The event of a training is a JSON object of hyperparameters.")
        }
        guard let directives = object[Self.key] else { return }
        do throws(JSONReadError) {
            let reader = try JSONObjectReader(directives, named: Self.key)
            try read(reader)
            try reader.refuseUnknown()
        } catch {
            throw Invalid(description: error.description)
        }
    }

    private mutating func read(_ reader: JSONObjectReader) throws(JSONReadError) {
        if let text = try reader.optional("base", as: String.self) {
            guard let base = Qualifier(text) else { throw reader.notAllowed("base", "is no version or alias") }
            self.base = base
        }
        if let promotion = try reader.optionalObject("promote") {
            let text = try promotion.required("alias", as: String.self)
            guard let alias = AliasName(text) else { throw promotion.notAllowed("alias", "is no alias name") }
            let gate = try promotion.optionalObject("if").map { reader throws(JSONReadError) in try Self.gate(reader) }
            try promotion.refuseUnknown()
            promote = Promotion(alias: alias, gate: gate)
        }
        let named = try reader.optional("channels", as: [String: String].self) ?? [:]
        guard named.count <= Self.channelsMax else {
            throw reader.notAllowed("channels", "has more than \(Self.channelsMax) entries")
        }
        for (name, reference) in named.sorted(by: { $0.key < $1.key }) {
            guard Self.isChannelName(name) else {
                throw reader.notAllowed("channels", "'\(name)' is not 1 to 64 letters, digits and '_'")
            }
            // Names of the environment have no case: two such channels would be one.
            guard !channels.contains(where: { $0.name.uppercased() == name.uppercased() }) else {
                throw reader.notAllowed("channels", "'\(name)' is there twice")
            }
            guard let source = Self.source(reference) else {
                throw reader.notAllowed(
                    "channels",
                    "'\(reference)' is neither the artifact 'sha256:...' of uploaded files nor 'dataset:NAME' or "
                        + "'dataset:NAME@VERSION'")
            }
            channels.append(.init(name: name, source: source))
        }
    }

    /// `{"metric": "loss", "atMost": 0.3}`, or `"atLeast"`, or `"betterThan": "current"` with a `"direction"`.
    private static func gate(_ reader: JSONObjectReader) throws(JSONReadError) -> PromotionGate {
        let metric = try reader.required("metric", as: String.self)
        guard (1...metricLengthMax).contains(metric.utf8.count) else {
            throw reader.notAllowed("metric", "has not 1 to \(metricLengthMax) bytes")
        }
        var conditions: [PromotionGate.Condition] = []
        if let limit = try reader.optional("atLeast", as: Double.self) { conditions.append(.atLeast(limit)) }
        if let limit = try reader.optional("atMost", as: Double.self) { conditions.append(.atMost(limit)) }
        let direction = try reader.optional("direction", as: String.self)
        if let text = try reader.optional("betterThan", as: String.self) {
            guard text == "current" else { throw reader.notAllowed("betterThan", "can be 'current' only") }
            guard let direction = PromotionGate.Direction(rawValue: direction ?? "max") else {
                throw reader.notAllowed("direction", "is neither 'max' nor 'min'")
            }
            conditions.append(.betterThanCurrent(direction))
        } else if direction != nil {
            throw reader.notAllowed("direction", "is for 'betterThan' only")
        }
        try reader.refuseUnknown()
        guard conditions.count == 1 else {
            throw .notAllowed(path: reader.path, reason: "needs one of 'atLeast', 'atMost' and 'betterThan'")
        }
        return PromotionGate(metric: metric, condition: conditions[0])
    }

    private static func source(_ text: String) -> Channel.Source? {
        if let dataset = DatasetReference(text) { return .dataset(dataset) }
        guard text.hasPrefix("sha256:") else { return nil }
        return Digest(text).map { .artifact($0) }
    }

    private static func isChannelName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x5F
            }
    }
}
