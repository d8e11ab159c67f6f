package import Domain

/// Executions that wait for a place in the window, or for their time. A million of them take 25 MB: of each there is only
/// what its place in line needs, all else is in the registry.
///
/// Functions take turns; within one the highest priority comes first, then who was added first. An execution may be in it
/// more than once, or although it does not wait any more: who takes it looks.
package struct ExecutionQueue {
    package struct Place: Equatable, Sendable {
        package var id: Execution.ID
        package var function: Function.ID
        package var priority: Int

        package init(id: Execution.ID, function: Function.ID, priority: Int) {
            self.id = id
            self.function = function
            self.priority = priority
        }
    }

    /// Of one priority, first in, first out.
    private struct Lane {
        let priority: Int
        var keys: [Key] = []
        var start = 0

        mutating func take() -> Key {
            let key = keys[start]
            start += 1
            if start > 1024, start * 2 > keys.count {
                keys.removeFirst(start)
                start = 0
            }
            return key
        }

        var isEmpty: Bool { start == keys.count }
    }

    private struct Delayed {
        let at: Int64
        /// Of equal times, the first added.
        let order: UInt64
        let function: Function.ID
        let priority: Int32
        let key: Key

        static func < (left: Delayed, right: Delayed) -> Bool { (left.at, left.order) < (right.at, right.order) }
    }

    /// By function, the highest priority first; none of them is empty.
    private var lanes: [Function.ID: [Lane]] = [:]
    /// Functions that have lanes.
    private var turns: [Function.ID] = []
    private var nextTurn = 0
    /// A binary heap.
    private var delayed: [Delayed] = []
    private var lastOrder: UInt64 = 0

    package init() {}

    package mutating func add(_ id: Execution.ID, of function: Function.ID, priority: Int = 0) {
        add(Key(id), of: function, priority: priority)
    }

    /// Not to be taken before a time.
    package mutating func add(_ id: Execution.ID, of function: Function.ID, priority: Int = 0, notBefore: Timestamp) {
        lastOrder += 1
        delayed.append(
            Delayed(
                at: notBefore.millisecondsSince1970, order: lastOrder, function: function, priority: Int32(priority),
                key: Key(id)))
        var child = delayed.count - 1
        while child > 0, delayed[child] < delayed[(child - 1) / 2] {
            delayed.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// When the next delayed one may be taken.
    package var nextDue: Timestamp? { delayed.first.map { Timestamp(millisecondsSince1970: $0.at) } }

    /// Puts those whose time has come into their lines.
    package mutating func release(at now: Timestamp) {
        while let first = delayed.first, first.at <= now.millisecondsSince1970 {
            delayed.swapAt(0, delayed.count - 1)
            delayed.removeLast()
            var parent = 0
            while 2 * parent + 1 < delayed.count {
                var child = 2 * parent + 1
                if child + 1 < delayed.count, delayed[child + 1] < delayed[child] { child += 1 }
                guard delayed[child] < delayed[parent] else { break }
                delayed.swapAt(child, parent)
                parent = child
            }
            add(first.key, of: first.function, priority: Int(first.priority))
        }
    }

    /// The next in turn of those whose function may have one more.
    package mutating func take(_ mayHave: (Function.ID) -> Bool) -> Place? {
        for _ in turns.indices {
            if nextTurn >= turns.count { nextTurn = 0 }
            let function = turns[nextTurn]
            guard mayHave(function) else {
                nextTurn += 1
                continue
            }
            let priority = lanes[function]![0].priority
            let key = lanes[function]![0].take()
            if lanes[function]![0].isEmpty { lanes[function]!.removeFirst() }
            if lanes[function]!.isEmpty {
                lanes[function] = nil
                turns.remove(at: nextTurn)
            } else {
                nextTurn += 1
            }
            return Place(id: key.id, function: function, priority: priority)
        }
        return nil
    }

    private mutating func add(_ key: Key, of function: Function.ID, priority: Int) {
        if lanes[function] == nil { turns.append(function) }
        var own = lanes.removeValue(forKey: function) ?? []
        let index = own.firstIndex { $0.priority <= priority } ?? own.endIndex
        if index == own.endIndex || own[index].priority != priority { own.insert(Lane(priority: priority), at: index) }
        own[index].keys.append(key)
        lanes[function] = own
    }

    /// An execution's id, which is a UUID, in 16 bytes.
    private struct Key {
        private let high: UInt64
        private let low: UInt64

        /// - Precondition: it is one that the host made.
        init(_ id: Execution.ID) {
            var (high, low, digits) = (UInt64(0), UInt64(0), 0)
            for byte in id.text.utf8 where byte != UInt8(ascii: "-") {
                let digit = byte <= UInt8(ascii: "9") ? byte &- UInt8(ascii: "0") : byte &- UInt8(ascii: "a") &+ 10
                precondition(digit < 16, "the execution's id '\(id)' is no UUID")
                if digits < 16 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
                digits += 1
            }
            precondition(digits == 32, "the execution's id '\(id)' is no UUID")
            self.high = high
            self.low = low
        }

        var id: Execution.ID { Execution.ID(UniqueID.text(high, low)) }
    }
}
