/// Elements at stable indices; a removed element's place is used again. Grows to the most that ever lived at once.
///
/// A removed element stays in its place until the place is used again: without an `Optional` around each element it
/// is read and changed where it is, instead of being copied out.
struct Slab<Element: Sendable>: Sendable {
    private var elements: [Element] = []
    private var isUsed: [Bool] = []
    private var free: [Int] = []

    var count: Int { elements.count - free.count }

    mutating func insert(_ element: Element) -> Int {
        if let index = free.popLast() {
            elements[index] = element
            isUsed[index] = true
            return index
        }
        elements.append(element)
        isUsed.append(true)
        return elements.count - 1
    }

    mutating func remove(_ index: Int) {
        assert(isUsed[index])
        isUsed[index] = false
        free.append(index)
    }

    subscript(index: Int) -> Element {
        _read {
            assert(isUsed[index])
            yield elements[index]
        }
        _modify {
            assert(isUsed[index])
            yield &elements[index]
        }
    }

    func contains(_ index: Int) -> Bool { isUsed[index] }

    /// In ascending order. Allocates.
    var indices: [Int] { elements.indices.filter { isUsed[$0] } }
}
