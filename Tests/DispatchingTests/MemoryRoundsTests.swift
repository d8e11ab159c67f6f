import Dispatching
import Domain
import Testing

struct MemoryRoundsTests {
    private static func at(_ seconds: Double) -> Instant { .zero + .seconds(seconds) }

    @Test("a first change is measured a second later, and changes until then ask for no other round")
    func firstRound() {
        var rounds = MemoryRounds()
        #expect(rounds.changed(at: Self.at(10)) == Self.at(11))
        #expect(rounds.changed(at: Self.at(10.5)) == nil)
        #expect(rounds.isPending)
    }

    @Test("without a change since the round began no other follows, and the next change is measured soon")
    func idle() {
        var rounds = MemoryRounds()
        _ = rounds.changed(at: Self.at(10))
        #expect(rounds.ended(beganAt: Self.at(11), isMore: false, at: Self.at(11.01)) == nil)
        #expect(!rounds.isPending)
        #expect(rounds.changed(at: Self.at(100)) == Self.at(101))
    }

    @Test("rounds are 5 s apart, also when a change comes soon after one", arguments: [true, false])
    func period(isMore: Bool) {
        var rounds = MemoryRounds()
        _ = rounds.changed(at: Self.at(10))
        let next = rounds.ended(beganAt: Self.at(11), isMore: isMore, at: Self.at(11.01))
        #expect(next == (isMore ? Self.at(16) : nil))
        #expect(rounds.changed(at: Self.at(12)) == (isMore ? nil : Self.at(16)))
    }

    @Test("a round that took long is followed by nineteen times as long a pause")
    func longRound() {
        var rounds = MemoryRounds()
        _ = rounds.changed(at: Self.at(10))
        #expect(rounds.ended(beganAt: Self.at(11), isMore: true, at: Self.at(12)) == Self.at(31))
    }
}
