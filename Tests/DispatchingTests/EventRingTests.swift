import Dispatching
import Domain
import Testing

struct EventRingTests {
    @Test(
        "the newest events are kept, in their order, and older ones forgotten",
        arguments: [0, 1, 999, 1000, 1001, 2500])
    func keepsTheNewest(count: Int) {
        var ring = EventRing()
        for number in 0..<count {
            ring.append(
                .memoryBudget(megabytes: number, before: 0), at: Timestamp(millisecondsSince1970: Int64(number)))
        }
        let kept = min(count, EventRing.capacity)
        #expect(ring.newest(5000).map(\.sequence) == Array(UInt64(count - kept + 1)..<UInt64(count + 1)))
        #expect(ring.newest(3).map(\.at.millisecondsSince1970) == Array(Int64(max(0, count - 3))..<Int64(count)))
        #expect(ring.newest(0).isEmpty)
    }
}
