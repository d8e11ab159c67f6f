/// Elements at stable indices; a removed element's place is used again. Grows to the most that ever lived at once.
struct Slab<Element: Sendable>: Sendable {
    private var elements: [Element?] = []
    private var free: [Int] = []

    var capacity: Int { elements.count }
    var count: Int { elements.count - free.count }

    mutating func insert(_ element: Element) -> Int {
        if let index = free.popLast() {
            elements[index] = element
            return index
        }
        elements.append(element)
        return elements.count - 1
    }

    mutating func remove(_ index: Int) {
        elements[index] = nil
        free.append(index)
    }

    /// Traps on a free place.
    subscript(index: Int) -> Element {
        _read { yield elements[index]! }
        _modify { yield &elements[index]! }
    }

    func contains(_ index: Int) -> Bool { elements[index] != nil }

    var indices: [Int] { elements.indices.filter { elements[$0] != nil } }
}
