internal import CUV
package import Domain

/// A one-shot timer that can be started again. Every member runs on the loop's thread. Resolution 1 ms, never early.
package final class LoopTimer: Handle {
    private var onFire: (() -> Void)?
    private var raw: UnsafeMutablePointer<uv_timer_t> { memory.assumingMemoryBound(to: uv_timer_t.self) }

    package init(loop: EventLoop, _ onFire: @escaping () -> Void) {
        self.onFire = onFire
        do {
            try super.init(loop: loop, byteCount: MemoryLayout<uv_timer_t>.size, "uv_timer_init") {
                uv_timer_init(loop.raw, $0.assumingMemoryBound(to: uv_timer_t.self))
            }
        } catch {
            preconditionFailure("uv_timer_init cannot fail: \(error)")
        }
    }

    /// Fires once after `interval`; a start that is pending is replaced. An interval below zero counts as zero.
    package func start(after interval: Interval) {
        guard !isClosed else { return }
        // libuv counts from the start of the turn; jobs of this turn may have taken long.
        uv_update_time(loop.raw)
        let nanosecondsRoundedUp = UInt64(max(0, interval.nanoseconds)) + 999_999
        uv_timer_start(
            raw,
            { raw in
                let timer: LoopTimer = Handle.owner(raw!.pointee.data)
                timer.loop.watched("timer") { timer.onFire?() }
            }, nanosecondsRoundedUp / 1_000_000, 0)
    }

    package func start(at instant: Instant) { start(after: instant - loop.now) }

    package func stop() {
        guard !isClosed else { return }
        uv_timer_stop(raw)
    }

    package var isActive: Bool { !isClosed && uv_is_active(base) != 0 }

    override func willClose() { onFire = nil }
}
