/// The name of a dataset: 1 to 64 letters, digits, `-` and `_`.
package struct DatasetName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    package static let lengthMax = 64

    package init?(_ text: some StringProtocol) {
        guard (1...Self.lengthMax).contains(text.utf8.count), text.utf8.allSatisfy(isNameByte) else { return nil }
        self.text = String(text)
    }

    package var description: String { text }
    package static func < (left: DatasetName, right: DatasetName) -> Bool { left.text < right.text }
}

/// One immutable version of a dataset: a name and a number for an artifact.
package struct DatasetVersion: Equatable, Sendable {
    package let name: DatasetName
    /// From 1. The number of a version that was removed is not given again.
    package let number: Int
    /// The manifest of its files.
    package let artifact: Digest
    package let filesCount: Int
    package let sizeBytes: Int
    package let createdAt: Timestamp
    /// Who made it, as in `Caller.name`.
    package let createdBy: String
    /// When it was removed; its files are then no longer kept for it.
    package let removedAt: Timestamp?

    package init(
        name: DatasetName, number: Int, artifact: Digest, filesCount: Int, sizeBytes: Int, createdAt: Timestamp,
        createdBy: String, removedAt: Timestamp? = nil
    ) {
        self.name = name
        self.number = number
        self.artifact = artifact
        self.filesCount = filesCount
        self.sizeBytes = sizeBytes
        self.createdAt = createdAt
        self.createdBy = createdBy
        self.removedAt = removedAt
    }
}

/// `dataset:NAME` or `dataset:NAME@NUMBER`: how a channel names a dataset.
package struct DatasetReference: Hashable, Sendable, CustomStringConvertible {
    package let name: DatasetName
    /// `nil` is the newest.
    package let number: Int?

    package static let prefix = "dataset:"

    package init(name: DatasetName, number: Int?) {
        self.name = name
        self.number = number
    }

    /// `nil` when `text` has another form.
    package init?(_ text: some StringProtocol) {
        guard text.hasPrefix(Self.prefix) else { return nil }
        let parts = text.dropFirst(Self.prefix.count).split(
            separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = DatasetName(parts[0]) else { return nil }
        self.name = name
        guard parts.count == 2 else {
            number = nil
            return
        }
        // Digits only, so that there is one way to write a number.
        guard !parts[1].hasPrefix("0"), parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int(parts[1])
        else { return nil }
        self.number = number
    }

    package var description: String { Self.prefix + name.text + (number.map { "@\($0)" } ?? "") }
}
