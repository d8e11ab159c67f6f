#if canImport(Glibc)
    internal import Glibc
#endif

/// A step at which a host can be made to die, for the tests of what survives: with `ROOST_FAULT_POINT=publish.committing`
/// in its environment it kills itself there, as `kill -9` does. Costs a comparison where it is passed.
package enum FaultPoint: String, CaseIterable, Sendable {
    /// An asynchronous invocation is stored, and its 202 is not sent.
    case accepted = "accept.stored"
    /// An execution's end is stored, and nobody has heard of it.
    case ended = "end.stored"
    /// A target was told of an execution's end, and that is not stored.
    case told = "delivery.told"
    /// A training's output is in the artifact store, and no version names it.
    case outputStored = "publish.output-stored"
    /// All that a training's end changes is decided, and nothing of it is stored.
    case committing = "publish.committing"
    /// It is stored, and the training's scratch files are still there.
    case committed = "publish.committed"
    /// A collection has taken away the name of a file that nothing refers to, and its bytes are still there.
    case fileTakenAway = "gc.file-taken-away"
    /// The same of a tree.
    case treeTakenAway = "gc.tree-taken-away"

    private static let variable = "ROOST_FAULT_POINT"
    private static let chosen = value.flatMap(FaultPoint.init(rawValue:))
    private static var value: String? { unsafe getenv(variable).map { unsafe String(cString: $0) } }

    /// What the environment says, when that is no fault point.
    package static var unknown: String? {
        value.flatMap { FaultPoint(rawValue: $0) == nil ? $0 : nil }
    }

    package func pass() {
        if Self.chosen == self { kill(getpid(), SIGKILL) }
    }
}
