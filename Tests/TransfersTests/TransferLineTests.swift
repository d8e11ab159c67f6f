import Domain
import Testing

@testable import Transfers

@Suite("Who has a place")
struct TransferLineTests {
    private func at(_ seconds: Int) -> Instant { Instant.zero + .seconds(seconds) }

    @Test("places are given in the order of arrival, and one that ends makes room")
    func order() {
        var line = TransferLine(placesMax: 2)
        #expect(line.isEmpty && line.wake == nil && line.startNext() == nil)
        for id in 1...4 as ClosedRange<TransferLine.ID> { line.add(id, deadline: at(10)) }
        #expect(line.startNext() == 1)
        #expect(line.startNext() == 2)
        #expect(line.startNext() == nil)
        line.end(2)
        #expect(line.startNext() == 3)
        #expect(line.startNext() == nil)
        for id in [1, 3] as [TransferLine.ID] { line.end(id) }
        #expect(line.startNext() == 4)
        #expect(!line.isEmpty)
        line.end(4)
        #expect(line.isEmpty && line.wake == nil)
    }

    @Test("time passes for those that wait as for those that have a place")
    func deadlines() {
        var line = TransferLine(placesMax: 1)
        line.add(1, deadline: at(10))
        line.add(2, deadline: at(5))
        line.add(3, deadline: at(20))
        #expect(line.startNext() == 1)
        #expect(line.wake == at(5))
        #expect(line.expire(at: at(4)) == ([], []))
        #expect(line.expire(at: at(5)) == ([], [2]))
        #expect(line.wake == at(10))
        #expect(line.expire(at: at(10)) == ([1], []))
        #expect(line.wake == at(20))
        #expect(line.startNext() == 3)
        #expect(line.expire(at: at(30)) == ([3], []))
        #expect(line.isEmpty && line.wake == nil)
    }

    @Test("the next deadline is never later than one that is in the line")
    func wake() {
        var line = TransferLine(placesMax: 2)
        line.add(1, deadline: at(1))
        line.add(2, deadline: at(8))
        #expect(line.startNext() == 1)
        line.end(1)
        // Early is allowed: `expire` then finds nothing, and tells when to come again.
        #expect(line.wake! <= at(8))
        #expect(line.expire(at: at(1)) == ([], []))
        #expect(line.wake == at(8))
    }
}
