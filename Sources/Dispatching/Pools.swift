internal import Domain
internal import Scheduling
internal import Workers

/// What a pool runs. One pool per published version, per revision of `$LATEST`, and per attempt of a training.
enum PoolKey: Hashable {
    case version(Function.ID, Int)
    case latest(Function.ID, revision: String)
    case training(Execution.ID)

    init(_ function: Function.ID, _ version: Version) {
        self =
            switch version.number {
            case .latest: .latest(function, revision: version.revision)
            case .published(let number): .version(function, number)
            }
    }
}

/// The pools and their keys, both ways.
struct PoolTable {
    struct Entry {
        let key: PoolKey
        let function: Function
        let version: Version
        let training: WorkerStart.Training?
        /// What its workers find as their model.
        let model: Digest?

        /// Package, model and channels.
        var artifacts: [Digest] {
            [version.package] + (model.map { [$0] } ?? []) + (training?.channels.map(\.artifact) ?? [])
        }
    }

    private(set) var ids: [PoolKey: PoolID] = [:]
    private(set) var entries: [PoolID: Entry] = [:]
    private var lastID: UInt32 = 0

    mutating func add(_ entry: Entry) -> PoolID {
        // Wraps after four thousand million pools; one that still lives then keeps its number.
        repeat { lastID &+= 1 } while entries[PoolID(lastID)] != nil
        let id = PoolID(lastID)
        ids[entry.key] = id
        entries[id] = entry
        return id
    }

    /// No invocation finds it any more; it stays known until it is forgotten.
    mutating func retire(_ id: PoolID) {
        if let key = entries[id]?.key, ids[key] == id { ids[key] = nil }
    }

    mutating func forget(_ id: PoolID) {
        retire(id)
        entries[id] = nil
    }

    func pools(of function: Function.ID) -> [PoolID] {
        entries.filter { $0.value.function.id == function }.map(\.key)
    }
}
