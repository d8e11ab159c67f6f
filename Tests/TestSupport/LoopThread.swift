import Domain
import Foundation
package import Loop

/// Runs `body` on a new event loop in a thread of its own, and returns when the loop has stopped and all handles closed.
///
/// `body` starts things and returns; a callback calls `loop.stop()`. A test that is not done after `seconds` fails by
/// stopping the process with a message, because a loop that hangs cannot be unwound.
package func withLoop(seconds: Double = 120, _ body: @escaping @Sendable (EventLoop) throws -> Void) async throws {
    let error: (any Error)? = await withCheckedContinuation { continuation in
        let thread = Thread {
            do {
                let loop = try EventLoop()
                let deadline = LoopTimer(loop: loop) { preconditionFailure("the loop did not stop within its time") }
                deadline.start(after: .seconds(seconds))
                deadline.unreference()
                var failure: (any Error)?
                do { try body(loop) } catch {
                    failure = error
                    loop.stop()
                }
                loop.run { deadline.close() }
                continuation.resume(returning: failure)
            } catch {
                continuation.resume(returning: error)
            }
        }
        thread.stackSize = 4 << 20
        thread.start()
    }
    if let error { throw error }
}
