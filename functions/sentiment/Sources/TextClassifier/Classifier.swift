import Glibc
package import WorkerRuntime

/// The function's handler `infer`: reads `{"text": ...}` or `{"texts": [...]}`, asks the model, writes the answer.
package struct Classifier {
    /// The most texts of one invocation.
    package static let textsMax = 1024

    private let model: TextModel?
    private let labels: [String]

    /// Loads the model of a version, if it has one. Throws when the version has a damaged one.
    package init(modelDirectory: String?) throws {
        do {
            model = try modelDirectory.map { try TextModel(path: "\($0)/\(TextModel.fileName)") }
        } catch let error as FunctionError where error.type == "Model.Missing" {
            model = nil
        }
        labels = model?.labels ?? []
    }

    /// Answers an event. Throws a ``FunctionError`` of type `BadInput` or `Model.Missing`.
    package func answer(_ event: JSONValue) throws -> JSONValue {
        guard let members = event.object else { throw Self.bad("The event is \(event.kind), not an object") }
        if let unknown = members.keys.first(where: { $0 != "text" && $0 != "texts" }) {
            throw Self.bad("Unknown key \(unknown); the event has either text or texts")
        }
        switch (members["text"], members["texts"]) {
        case (let text?, nil):
            guard let text = text.string else { throw Self.bad("text is \(text.kind), not a string") }
            return classify(text, with: try loaded())
        case (nil, let texts?):
            guard let texts = texts.array else { throw Self.bad("texts is \(texts.kind), not an array") }
            guard texts.count <= Self.textsMax else {
                throw Self.bad("texts has \(texts.count) texts; the limit is \(Self.textsMax)")
            }
            let model = try loaded()
            var results: [JSONValue] = []
            for (index, text) in texts.enumerated() {
                guard let text = text.string else { throw Self.bad("texts[\(index)] is \(text.kind), not a string") }
                results.append(classify(text, with: model))
            }
            return ["results": .array(results)]
        default: throw Self.bad("The event must have either text (a string) or texts (an array of strings)")
        }
    }

    private func loaded() throws -> TextModel {
        guard let model else {
            throw FunctionError(
                type: "Model.Missing",
                message: "This version has no model; train it first: roost train sentiment --channel train=FILE")
        }
        return model
    }

    private func classify(_ text: String, with model: TextModel) -> JSONValue {
        let probabilities = model.probabilities(of: text)
        let best = probabilities.indices.max { probabilities[$0] < probabilities[$1] }!
        let members = JSONObject(zip(labels, probabilities.map { JSONValue.number(Self.rounded($0)) }))
        return ["label": .string(labels[best]), "probabilities": .object(members)]
    }

    /// Six decimals: a Float has no more to say, and the text stays short.
    private static func rounded(_ probability: Float) -> Double { (Double(probability) * 1e6).rounded() / 1e6 }

    private static func bad(_ message: String) -> FunctionError { FunctionError(type: "BadInput", message: message) }
}
