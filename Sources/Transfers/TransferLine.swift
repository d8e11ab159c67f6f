internal import Domain

/// Which requests have a place, which wait for one in their order, and when the next one's time is over.
///
/// libcurl could make them wait as well, but its versions differ in whether the time of one that waits passes.
struct TransferLine {
    typealias ID = UInt64

    let placesMax: Int
    private var running: [ID: Instant] = [:]
    // Short, so that taking its first costs little.
    private var waiting: [(id: ID, deadline: Instant)] = []
    /// No deadline is earlier; the one that was it may have gone.
    private var earliest = Instant.distantFuture

    init(placesMax: Int) { self.placesMax = placesMax }

    var isEmpty: Bool { running.isEmpty && waiting.isEmpty }
    /// When to call `expire`; nil when nothing is there. May come before anything is over.
    var wake: Instant? { isEmpty ? nil : earliest }

    mutating func add(_ id: ID, deadline: Instant) {
        waiting.append((id, deadline))
        earliest = min(earliest, deadline)
    }

    /// The next one, which has a place from now on; nil when none waits or all places are taken.
    mutating func startNext() -> ID? {
        guard running.count < placesMax, !waiting.isEmpty else { return nil }
        let (id, deadline) = waiting.removeFirst()
        running[id] = deadline
        return id
    }

    /// One that has a place is over.
    mutating func end(_ id: ID) {
        running[id] = nil
        if isEmpty { earliest = .distantFuture }
    }

    /// Those whose time is over at `now`, which are out of the line with this.
    mutating func expire(at now: Instant) -> (running: [ID], waiting: [ID]) {
        let ended = running.filter { $0.value <= now }.map(\.key).sorted()
        for id in ended { running[id] = nil }
        let expired = waiting.filter { $0.deadline <= now }.map(\.id)
        waiting.removeAll { $0.deadline <= now }
        earliest = min(running.values.min() ?? .distantFuture, waiting.map(\.deadline).min() ?? .distantFuture)
        return (ended, expired)
    }
}
