import Domain
import Testing

@testable import Management

@Suite("Roll-back")
struct RollBackTests {
    private static let live = AliasName("live")!

    private static func change(
        _ sequence: Int64, _ from: Int?, _ to: Int?, _ cause: AliasChange.Cause, undoes: Int64? = nil
    ) -> AliasChange {
        AliasChange(
            sequence: sequence, alias: live, from: from.map { .init(version: .published($0)) },
            to: to.map { .init(version: .published($0)) }, cause: cause, undoes: undoes,
            at: Timestamp(millisecondsSince1970: sequence), by: "test", why: "")
    }

    /// Newest first, as the registry gives it.
    private static func history(_ changes: AliasChange...) -> [AliasChange] { changes.reversed() }

    @Test("an alias that was only created has nothing to undo")
    func created() {
        #expect(RollBack.target(Self.history(Self.change(1, nil, 1, .created))) == nil)
        #expect(RollBack.target([]) == nil)
    }

    @Test("the newest move is undone first, the one before next, and then there is none")
    func twice() {
        let moves = [
            Self.change(1, nil, 1, .created), Self.change(2, 1, 2, .updated), Self.change(3, 2, 3, .promoted),
        ]
        #expect(RollBack.target(moves.reversed())?.sequence == 3)
        let once = moves + [Self.change(4, 3, 2, .rolledBack, undoes: 3)]
        #expect(RollBack.target(once.reversed())?.sequence == 2)
        let again = once + [Self.change(5, 2, 1, .rolledBack, undoes: 2)]
        #expect(RollBack.target(again.reversed()) == nil)
    }

    @Test("a move after a roll-back is the one to undo, and what was undone stays undone")
    func moveAfterRollBack() {
        let history = Self.history(
            Self.change(1, nil, 1, .created), Self.change(2, 1, 2, .updated),
            Self.change(3, 2, 1, .rolledBack, undoes: 2), Self.change(4, 1, 3, .updated))
        #expect(RollBack.target(history)?.sequence == 4)
        let undone = [Self.change(5, 3, 1, .rolledBack, undoes: 4)] + history
        #expect(RollBack.target(undone) == nil)
    }

    @Test("an update that did not move the alias is passed over")
    func descriptionOnly() {
        let history = Self.history(
            Self.change(1, nil, 1, .created), Self.change(2, 1, 2, .updated), Self.change(3, 2, 2, .updated))
        #expect(RollBack.target(history)?.sequence == 2)
    }

    @Test("an alias made anew does not reach back behind its creation")
    func recreated() {
        let history = Self.history(
            Self.change(1, nil, 1, .created), Self.change(2, 1, 2, .updated), Self.change(3, 2, nil, .deleted),
            Self.change(4, nil, 5, .created))
        #expect(RollBack.target(history) == nil)
    }
}
