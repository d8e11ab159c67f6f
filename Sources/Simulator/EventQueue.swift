import Domain

/// What is going to happen, the earliest first: a binary heap in one array. What comes at the same instant comes in the
/// order in which it was added, so a simulation repeats itself.
struct EventQueue<Event: Sendable>: Sendable {
    struct Entry: Sendable {
        let at: Instant
        fileprivate let order: UInt64
        let event: Event

        fileprivate func isBefore(_ other: Entry) -> Bool {
            at != other.at ? at < other.at : order < other.order
        }
    }

    private var entries: [Entry] = []
    private var lastOrder: UInt64 = 0

    var count: Int { entries.count }
    var earliest: Instant? { entries.first?.at }

    mutating func add(_ event: Event, at instant: Instant) {
        lastOrder += 1
        let entry = Entry(at: instant, order: lastOrder, event: event)
        entries.append(entry)
        var place = entries.count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            guard entry.isBefore(entries[parent]) else { break }
            entries[place] = entries[parent]
            place = parent
        }
        entries[place] = entry
    }

    mutating func popFirst() -> Entry? {
        guard let first = entries.first, let moved = entries.popLast() else { return nil }
        let count = entries.count
        guard count > 0 else { return first }
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < count else { break }
            if child + 1 < count, entries[child + 1].isBefore(entries[child]) { child += 1 }
            guard entries[child].isBefore(moved) else { break }
            entries[place] = entries[child]
            place = child
        }
        entries[place] = moved
        return first
    }
}
