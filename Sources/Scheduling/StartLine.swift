/// Pools that want a worker and wait for room: by function, the one with the lowest turn first; within a function, first
/// come, first served.
struct StartLine: Sendable {
    /// When a function is served: the lowest first.
    struct Turn: Comparable, Sendable {
        /// As `FairShare.turn` has it.
        var share: Double
        /// Ascending with each joining: those of equal share take turns.
        let order: UInt64

        static func < (left: Turn, right: Turn) -> Bool {
            left.share != right.share ? left.share < right.share : left.order < right.order
        }
    }

    /// By function.
    private var turns = IndexedHeap<Turn>()
    private var pools: [IndexList] = []
    private var orders: [UInt64] = []
    private(set) var count = 0
    private var lastOrder: UInt64 = 0

    var isEmpty: Bool { count == 0 }
    var first: (function: Int, share: Double)? { turns.first.map { ($0.index, $0.key.share) } }

    func contains(function: Int) -> Bool { turns.contains(function) }

    /// - Precondition: the function is in line.
    func firstPool(of function: Int) -> Int { pools[function].first }

    mutating func append(_ pool: Int, of function: Int, share: Double, _ links: inout [IndexList.Link]) {
        if function >= pools.count || pools[function].isEmpty {
            lastOrder += 1
            while pools.count <= function {
                pools.append(IndexList())
                orders.append(0)
            }
            orders[function] = lastOrder
        }
        enter(function, share)
        pools[function].append(pool, &links)
    }

    /// Puts one back that was in line before, with the order that its function had.
    mutating func prepend(_ pool: Int, of function: Int, share: Double, _ links: inout [IndexList.Link]) {
        enter(function, share)
        pools[function].prepend(pool, &links)
    }

    mutating func remove(_ pool: Int, of function: Int, _ links: inout [IndexList.Link]) {
        pools[function].remove(pool, &links)
        count -= 1
        if pools[function].isEmpty { turns.remove(function) }
    }

    mutating func update(function: Int, share: Double) {
        guard var turn = turns.key(of: function), turn.share != share else { return }
        turn.share = share
        turns.set(function, to: turn)
    }

    private mutating func enter(_ function: Int, _ share: Double) {
        count += 1
        if pools[function].isEmpty { turns.set(function, to: Turn(share: share, order: orders[function])) }
    }
}

/// One line for trainings, one for all others.
struct StartLines: Sendable {
    private var inference = StartLine()
    private var training = StartLine()

    subscript(isTraining isTraining: Bool) -> StartLine {
        _read { if isTraining { yield training } else { yield inference } }
        _modify { if isTraining { yield &training } else { yield &inference } }
    }

    var isEmpty: Bool { inference.isEmpty && training.isEmpty }
    var count: Int { inference.count + training.count }
}
