/// The name of a function: 1 to 64 letters, digits, `-` and `_`.
package struct FunctionName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    package static let lengthMax = 64

    /// `nil` when `text` breaks the rule above.
    package init?(_ text: some StringProtocol) {
        guard (1...Self.lengthMax).contains(text.utf8.count), text.utf8.allSatisfy(isNameByte) else { return nil }
        self.text = String(text)
    }

    package var description: String { text }
    package static func < (left: FunctionName, right: FunctionName) -> Bool { left.text < right.text }
}

/// The name of an alias: 1 to 128 letters, digits, `-` and `_`, not all of them digits.
package struct AliasName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    package static let lengthMax = 128

    package init?(_ text: some StringProtocol) {
        guard (1...Self.lengthMax).contains(text.utf8.count), text.utf8.allSatisfy(isNameByte),
            !text.utf8.allSatisfy(isDigit)
        else { return nil }
        self.text = String(text)
    }

    package var description: String { text }
    package static func < (left: AliasName, right: AliasName) -> Bool { left.text < right.text }
}

/// The name of an execution: 1 to 64 letters, digits, `-` and `_`.
package struct ExecutionName: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package static let lengthMax = 64

    package init?(_ text: some StringProtocol) {
        guard (1...Self.lengthMax).contains(text.utf8.count), text.utf8.allSatisfy(isNameByte) else { return nil }
        self.text = String(text)
    }

    package var description: String { text }
}

/// Which snapshot of a function: the mutable `$LATEST`, or a published number from 1 up.
package enum VersionNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    case latest
    case published(Int)

    package init?(_ text: some StringProtocol) {
        if text == "$LATEST" {
            self = .latest
        } else if text.utf8.allSatisfy(isDigit), let number = Int(text), number > 0 {
            self = .published(number)
        } else {
            return nil
        }
    }

    package var description: String {
        switch self {
        case .latest: "$LATEST"
        case .published(let number): String(number)
        }
    }
}

/// How a reference picks a version: a version itself, or an alias that points to one.
package enum Qualifier: Hashable, Sendable, CustomStringConvertible {
    case version(VersionNumber)
    case alias(AliasName)

    package init?(_ text: some StringProtocol) {
        if let version = VersionNumber(text) {
            self = .version(version)
        } else if let alias = AliasName(text) {
            self = .alias(alias)
        } else {
            return nil
        }
    }

    package var description: String {
        switch self {
        case .version(let number): number.description
        case .alias(let name): name.text
        }
    }
}

private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
    default: false
    }
}
