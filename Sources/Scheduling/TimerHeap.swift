import Domain

/// The deadlines of everything that waits for time: a binary heap that knows where each timer is.
///
/// A timer is moved and cancelled in place, so the heap never holds more than one entry per owner.
struct TimerHeap: Sendable {
    enum Owner: Hashable, Sendable {
        /// The start-rate limit.
        case startRate
        /// A pool by index: keep-alive of its longest idle worker, its next look at scaling, the end of its backoff.
        case pool(Int)
        /// A queued invocation by index: the end of its wait.
        case queued(Int)

        fileprivate var key: Int {
            switch self {
            case .startRate: 0
            case .pool(let index): 1 + 2 * index
            case .queued(let index): 2 + 2 * index
            }
        }

        fileprivate init(key: Int) {
            self = key == 0 ? .startRate : key & 1 == 1 ? .pool((key - 1) / 2) : .queued((key - 2) / 2)
        }
    }

    private struct Entry: Sendable {
        var deadline: Instant
        var key: Int
    }

    private var entries: [Entry] = []
    /// By key; -1 for a timer that is not set.
    private var positions: [Int] = []

    var count: Int { entries.count }
    var earliest: Instant? { entries.first?.deadline }

    func deadline(of owner: Owner) -> Instant? {
        let key = owner.key
        guard key < positions.count, positions[key] >= 0 else { return nil }
        return entries[positions[key]].deadline
    }

    mutating func set(_ owner: Owner, to deadline: Instant) {
        let key = owner.key
        while positions.count <= key { positions.append(-1) }
        var position = positions[key]
        if position < 0 {
            position = entries.count
            entries.append(Entry(deadline: deadline, key: key))
            positions[key] = position
        } else {
            entries[position].deadline = deadline
        }
        siftDown(siftUp(position))
    }

    /// Moves the timer only to an earlier time: a later one is found out when the earlier fires, which saves moving a
    /// timer with each invocation.
    mutating func setNoLater(_ owner: Owner, than deadline: Instant) {
        if let current = self.deadline(of: owner), current <= deadline { return }
        set(owner, to: deadline)
    }

    mutating func cancel(_ owner: Owner) {
        let key = owner.key
        guard key < positions.count, positions[key] >= 0 else { return }
        remove(at: positions[key])
    }

    mutating func popDue(at now: Instant) -> Owner? {
        guard let first = entries.first, first.deadline <= now else { return nil }
        remove(at: 0)
        return Owner(key: first.key)
    }

    private mutating func remove(at position: Int) {
        positions[entries[position].key] = -1
        let moved = entries.removeLast()
        guard position < entries.count else { return }
        entries[position] = moved
        positions[moved.key] = position
        siftDown(siftUp(position))
    }

    private mutating func siftUp(_ start: Int) -> Int {
        var position = start
        while position > 0 {
            let parent = (position - 1) / 2
            guard entries[position].deadline < entries[parent].deadline else { break }
            swap(position, parent)
            position = parent
        }
        return position
    }

    private mutating func siftDown(_ start: Int) {
        var position = start
        while true {
            var child = 2 * position + 1
            guard child < entries.count else { return }
            if child + 1 < entries.count, entries[child + 1].deadline < entries[child].deadline { child += 1 }
            guard entries[child].deadline < entries[position].deadline else { return }
            swap(position, child)
            position = child
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        entries.swapAt(left, right)
        positions[entries[left].key] = left
        positions[entries[right].key] = right
    }
}
