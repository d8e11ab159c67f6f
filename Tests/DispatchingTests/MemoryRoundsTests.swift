import Dispatching
import Domain
import Testing

struct MemoryRoundsTests {
    private static func at(_ seconds: Double) -> Instant { .zero + .seconds(seconds) }

    /// After a round from second 11 to 11.01.
    private static func after(_ need: MemoryRounds.Need) -> (rounds: MemoryRounds, next: Instant?) {
        var rounds = MemoryRounds()
        _ = rounds.changed(at: at(10))
        rounds.began(at: at(11))
        let next = rounds.ended(need: need, at: at(11.01))
        return (rounds, next)
    }

    @Test("a first change is measured a second later, and changes until the round ends ask for no other")
    func firstRound() {
        var rounds = MemoryRounds()
        #expect(rounds.changed(at: Self.at(10)) == Self.at(11))
        #expect(rounds.changed(at: Self.at(10.5)) == nil)
        rounds.began(at: Self.at(11))
        #expect(rounds.changed(at: Self.at(11.005)) == nil)
    }

    @Test(
        "the next round comes in 5 s where something may change, in 30 s where workers are only kept, else not at all",
        arguments: [(.measure, at(16)), (.watch, at(41)), (.nothing, nil)] as [(MemoryRounds.Need, Instant?)])
    func periods(need: MemoryRounds.Need, expected: Instant?) {
        let (rounds, next) = Self.after(need)
        #expect(next == expected)
        #expect(rounds.isExpected == (need == .measure))
    }

    @Test(
        "a change after a round does not wait for the watch, and never comes sooner than 5 s after the last one",
        arguments: [.watch, .nothing] as [MemoryRounds.Need])
    func change(need: MemoryRounds.Need) {
        var (soon, late) = (Self.after(need).rounds, Self.after(need).rounds)
        #expect(soon.changed(at: Self.at(12)) == Self.at(16))
        #expect(late.changed(at: Self.at(35)) == Self.at(36))
    }

    @Test("a round that took long is followed by nineteen times as long a pause")
    func longRound() {
        var rounds = MemoryRounds()
        rounds.began(at: Self.at(11))
        #expect(rounds.ended(need: .measure, at: Self.at(12)) == Self.at(31))
        rounds.began(at: Self.at(31))
        #expect(rounds.ended(need: .watch, at: Self.at(33)) == Self.at(71))
    }
}
