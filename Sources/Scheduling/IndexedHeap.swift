/// A binary min-heap of small numbers that knows where each of them is: a number's key is changed, and the number removed,
/// in place, so the heap never holds more than one entry per number. No allocation once it has grown.
struct IndexedHeap<Key: Comparable & Sendable>: Sendable {
    private struct Entry: Sendable {
        var key: Key
        var index: Int
    }

    private var entries: [Entry] = []
    /// By number; -1 for one that is not there.
    private var positions: [Int] = []

    var count: Int { entries.count }
    var first: (index: Int, key: Key)? { entries.first.map { ($0.index, $0.key) } }

    func contains(_ index: Int) -> Bool { index < positions.count && positions[index] >= 0 }
    func key(of index: Int) -> Key? { contains(index) ? entries[positions[index]].key : nil }

    mutating func set(_ index: Int, to key: Key) {
        while positions.count <= index { positions.append(-1) }
        var position = positions[index]
        if position < 0 {
            position = entries.count
            entries.append(Entry(key: key, index: index))
            positions[index] = position
        } else {
            entries[position].key = key
        }
        siftDown(siftUp(position))
    }

    mutating func remove(_ index: Int) {
        guard contains(index) else { return }
        let position = positions[index]
        positions[index] = -1
        let moved = entries.removeLast()
        guard position < entries.count else { return }
        entries[position] = moved
        positions[moved.index] = position
        siftDown(siftUp(position))
    }

    private mutating func siftUp(_ start: Int) -> Int {
        var position = start
        while position > 0 {
            let parent = (position - 1) / 2
            guard entries[position].key < entries[parent].key else { break }
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
            if child + 1 < entries.count, entries[child + 1].key < entries[child].key { child += 1 }
            guard entries[child].key < entries[position].key else { return }
            swap(position, child)
            position = child
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        entries.swapAt(left, right)
        positions[entries[left].index] = left
        positions[entries[right].index] = right
    }
}
