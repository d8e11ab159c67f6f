import Dispatching
import Domain
import Testing

@Suite("The queue of executions")
struct ExecutionQueueTests {
    private func id(_ number: UInt64) -> Execution.ID { Execution.ID(UniqueID.text(number, ~number)) }

    private func function(_ number: Int64) -> Function.ID { Function.ID(number) }

    private func take(_ queue: inout ExecutionQueue, _ mayHave: (Function.ID) -> Bool = { _ in true }) -> Execution.ID?
    {
        queue.take(mayHave)?.id
    }

    @Test("what was added comes back as it was")
    func identity() {
        var queue = ExecutionQueue()
        let id = Execution.ID(UniqueID.random())
        queue.add(id, of: function(1), priority: -7)
        #expect(queue.take { _ in true } == .init(id: id, function: function(1), priority: -7))
        #expect(take(&queue) == nil)
    }

    @Test("functions take turns; within one it is first in, first out")
    func turns() {
        var queue = ExecutionQueue()
        for number in UInt64(1)...3 { queue.add(id(number), of: function(1)) }
        for number in UInt64(11)...12 { queue.add(id(number), of: function(2)) }
        let order = (0..<5).map { _ in take(&queue) }
        #expect(order == [1, 11, 2, 12, 3].map { id($0) })
    }

    @Test("a function that may have no more is passed over, and keeps its order")
    func limits() {
        var queue = ExecutionQueue()
        for number in UInt64(1)...2 { queue.add(id(number), of: function(1)) }
        queue.add(id(11), of: function(2))
        #expect(take(&queue) { $0 == function(2) } == id(11))
        #expect(take(&queue) { $0 == function(2) } == nil)
        #expect(take(&queue) == id(1))
        #expect(take(&queue) == id(2))
    }

    @Test("a higher priority comes first within its function, and no function is starved by another's priority")
    func priorities() {
        var queue = ExecutionQueue()
        queue.add(id(1), of: function(1))
        queue.add(id(2), of: function(1), priority: 5)
        queue.add(id(3), of: function(1), priority: -1)
        queue.add(id(4), of: function(1), priority: 5)
        queue.add(id(11), of: function(2), priority: -9)
        let order = (0..<5).map { _ in take(&queue) }
        #expect(order == [2, 11, 4, 1, 3].map { id($0) })
    }

    @Test("what waits for a time is taken after it, the earliest first")
    func delays() {
        var queue = ExecutionQueue()
        for (number, at) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            queue.add(id(UInt64(number)), of: function(1), notBefore: Timestamp(millisecondsSince1970: Int64(at)))
        }
        #expect(take(&queue) == nil)
        #expect(queue.nextDue == Timestamp(millisecondsSince1970: 10))
        queue.release(at: Timestamp(millisecondsSince1970: 25))
        #expect((0..<4).map { _ in take(&queue) } == [id(2), id(4), id(3), nil])
        queue.release(at: Timestamp(millisecondsSince1970: 30))
        #expect(take(&queue) == id(1))
        #expect(queue.nextDue == nil)
    }

    @Test("ten thousand of a hundred functions come out in the order in which each function's went in")
    func many() {
        var queue = ExecutionQueue()
        var random = SystemRandomNumberGenerator()
        var expected: [Function.ID: [Execution.ID]] = [:]
        for number in UInt64(1)...10_000 {
            let function = function(Int64.random(in: 1...100, using: &random))
            queue.add(id(number), of: function)
            expected[function, default: []].append(id(number))
        }
        var found: [Function.ID: [Execution.ID]] = [:]
        while let next = queue.take({ _ in true }) { found[next.function, default: []].append(next.id) }
        #expect(found == expected)
    }
}
