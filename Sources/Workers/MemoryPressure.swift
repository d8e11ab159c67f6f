/// How much of the last 10 s was lost to waiting for memory, in percent, as the kernel tells it (PSI).
package struct MemoryPressure: Equatable, Sendable {
    /// At least one process waited.
    package var some: Double
    /// All that could have run waited.
    package var full: Double

    package static let none = MemoryPressure(some: 0, full: 0)

    package init(some: Double, full: Double) {
        self.some = some
        self.full = full
    }

    /// - Parameter text: of `/proc/pressure/memory` or of a cgroup's `memory.pressure`; `nil` when it is something else.
    package init?(parsing text: String) {
        var averages: [Substring: Double] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let kind = fields.first, let field = fields.dropFirst().first(where: { $0.hasPrefix("avg10=") }),
                let value = Double(field.dropFirst(6)), (0...100).contains(value)
            else { return nil }
            averages[kind] = value
        }
        guard let some = averages["some"], let full = averages["full"] else { return nil }
        self.init(some: some, full: full)
    }

    /// The worse of both.
    func merged(with other: MemoryPressure) -> MemoryPressure {
        MemoryPressure(some: max(some, other.some), full: max(full, other.full))
    }

    /// The worst of these files; `nil` when none can be read. Blocking.
    package static func read(_ files: [String]) -> MemoryPressure? {
        files.compactMap { MachineMemory.text($0).flatMap { MemoryPressure(parsing: $0) } }
            .reduce(nil) { $0?.merged(with: $1) ?? $1 }
    }
}
