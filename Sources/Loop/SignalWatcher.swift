internal import CUV

/// Calls its owner on the loop's thread when the process receives a signal.
package final class SignalWatcher: Handle {
    private var onSignal: (() -> Void)?

    package init(loop: EventLoop, signal number: CInt, _ onSignal: @escaping () -> Void) throws(UVError) {
        self.onSignal = onSignal
        try super.init(loop: loop, byteCount: MemoryLayout<uv_signal_t>.size, "uv_signal_init") {
            uv_signal_init(loop.raw, $0.assumingMemoryBound(to: uv_signal_t.self))
        }
        let status = uv_signal_start(
            memory.assumingMemoryBound(to: uv_signal_t.self),
            { handle, _ in
                let watcher: SignalWatcher = Handle.owner(handle!.pointee.data)
                watcher.loop.watched("signal") { watcher.onSignal?() }
            }, number)
        guard status >= 0 else {
            close()
            throw UVError(code: status, call: "uv_signal_start")
        }
    }

    override func willClose() { onSignal = nil }
}
