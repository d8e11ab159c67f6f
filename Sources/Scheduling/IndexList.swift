/// A doubly linked list of indices whose links live in an array beside the elements: no allocation, O(1) removal.
///
/// One `links` array serves all lists of one kind, since an element is in at most one of them.
struct IndexList: Sendable {
    struct Link: Sendable {
        var previous = IndexList.absent
        var next = IndexList.absent
    }

    /// Past either end.
    static let end = -1
    /// The link of an element that is in no list.
    static let absent = -2

    private(set) var first = IndexList.end
    private(set) var last = IndexList.end
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    static func isLinked(_ index: Int, _ links: [Link]) -> Bool { links[index].previous != absent }

    mutating func prepend(_ index: Int, _ links: inout [Link]) {
        links[index] = Link(previous: Self.end, next: first)
        if first == Self.end { last = index } else { links[first].previous = index }
        first = index
        count += 1
    }

    mutating func append(_ index: Int, _ links: inout [Link]) {
        links[index] = Link(previous: last, next: Self.end)
        if last == Self.end { first = index } else { links[last].next = index }
        last = index
        count += 1
    }

    mutating func remove(_ index: Int, _ links: inout [Link]) {
        let link = links[index]
        if link.previous == Self.end { first = link.next } else { links[link.previous].next = link.next }
        if link.next == Self.end { last = link.previous } else { links[link.next].previous = link.previous }
        links[index] = Link()
        count -= 1
    }
}
