/// Lets one asynchronous section run at a time, in order of arrival. Lives on the loop.
///
/// Management decides from memory, then awaits the disk, then changes memory: two such sections must not overlap.
package final class SerialGate {
    private var isHeld = false
    private var waiters: [CheckedContinuation<Void, Never>] = []
    private let waitersMax: Int

    package init(waitersMax: Int) { self.waitersMax = waitersMax }

    package func run<Value>(_ body: () async throws(ManagementError) -> Value) async throws(ManagementError) -> Value {
        if isHeld {
            guard waiters.count < waitersMax else { throw .overloaded(limit: waitersMax) }
            await withCheckedContinuation { waiters.append($0) }
        }
        isHeld = true
        defer {
            // Ownership passes to the first waiter: `isHeld` stays true, so that nobody overtakes it.
            if waiters.isEmpty { isHeld = false } else { waiters.removeFirst().resume() }
        }
        return try await body()
    }
}
