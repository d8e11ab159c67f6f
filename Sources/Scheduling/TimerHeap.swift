import Domain

/// The deadlines of everything that waits for time, one for each owner.
struct TimerHeap: Sendable {
    enum Owner: Hashable, Sendable {
        /// The start-rate limit.
        case startRate
        /// A pool by index: the end of a keep-alive, a start ahead of a call, its next look at scaling, the end of its
        /// backoff.
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

    private var deadlines = IndexedHeap<Instant>()

    var count: Int { deadlines.count }
    var earliest: Instant? { deadlines.first?.key }

    func deadline(of owner: Owner) -> Instant? { deadlines.key(of: owner.key) }

    mutating func set(_ owner: Owner, to deadline: Instant) { deadlines.set(owner.key, to: deadline) }

    /// Moves the timer only to an earlier time: a later one is found out when the earlier fires, which saves moving a
    /// timer with each invocation.
    mutating func setNoLater(_ owner: Owner, than deadline: Instant) {
        if let current = deadlines.key(of: owner.key), current <= deadline { return }
        deadlines.set(owner.key, to: deadline)
    }

    mutating func cancel(_ owner: Owner) { deadlines.remove(owner.key) }

    mutating func popDue(at now: Instant) -> Owner? {
        guard let first = deadlines.first, first.key <= now else { return nil }
        deadlines.remove(first.index)
        return Owner(key: first.index)
    }
}
