internal import CUV

/// Calls its owner on the loop's thread soon after any thread has asked for it. Several requests may become one call.
// @unchecked Sendable: `send` alone is called from other threads, and is the one libuv call that allows it; the rest is
// used on the loop's thread.
package final class LoopWakeup: Handle, @unchecked Sendable {
    package var onWake: (() -> Void)?
    private var raw: UnsafeMutablePointer<uv_async_t> { memory.assumingMemoryBound(to: uv_async_t.self) }

    package init(loop: EventLoop) throws(UVError) {
        try super.init(loop: loop, byteCount: MemoryLayout<uv_async_t>.size, "uv_async_init") {
            uv_async_init(loop.raw, $0.assumingMemoryBound(to: uv_async_t.self)) { handle in
                let wakeup: LoopWakeup = Handle.owner(handle!.pointee.data)
                wakeup.loop.watched("wake-up") { wakeup.onWake?() }
            }
        }
    }

    /// From any thread. The caller sees to it that this is not closed meanwhile: it may hold a lock that `close` takes.
    package func send() { uv_async_send(raw) }

    override func willClose() { onWake = nil }
}
