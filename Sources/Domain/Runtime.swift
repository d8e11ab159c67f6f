/// What runs a function's package.
package enum Runtime: Hashable, Sendable, CustomStringConvertible {
    /// An executable `bootstrap` that links our worker library.
    case swift
    /// The machine's Python with our bootstrap; `minor` is the least 3.x asked for, `nil` for any.
    case python3(minor: Int?)
    /// Any executable `bootstrap` that speaks the Runtime API over TCP; `name` as the client wrote it.
    case provided(name: String)

    package static let supportedNames = [
        "swift", "python3", "python3.N", "provided", "provided.al2", "provided.al2023",
    ]

    package init?(_ text: String) {
        switch text {
        case "swift": self = .swift
        case "python3": self = .python3(minor: nil)
        case "provided", "provided.al2", "provided.al2023": self = .provided(name: text)
        default:
            guard text.hasPrefix("python3."), let minor = Int(text.dropFirst(8)), (0...99).contains(minor),
                text == "python3.\(minor)"
            else { return nil }
            self = .python3(minor: minor)
        }
    }

    package var description: String {
        switch self {
        case .swift: "swift"
        case .python3(nil): "python3"
        case .python3(let minor?): "python3.\(minor)"
        case .provided(let name): name
        }
    }
}
