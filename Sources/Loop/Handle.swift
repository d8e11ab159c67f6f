internal import CUV

/// What every libuv handle has: heap memory that must not move, and one way to close.
///
/// Every member runs on the loop's thread. The owner calls `close` exactly when it is done; the memory is freed in
/// libuv's close callback, not before. Dropping a handle that is open is a programmer's mistake, and stops the process.
package class Handle {
    package let loop: EventLoop
    let memory: UnsafeMutableRawPointer
    package private(set) final var isClosed = false
    private final var onClosed: (() -> Void)?

    /// - Parameter initialize: calls libuv's `uv_..._init` on the memory.
    init(
        loop: EventLoop, byteCount: Int, _ call: String, initialize: (UnsafeMutableRawPointer) -> CInt
    ) throws(UVError) {
        self.loop = loop
        memory = .allocate(byteCount: byteCount, alignment: 16)
        let status = initialize(memory)
        guard status >= 0 else {
            memory.deallocate()
            isClosed = true
            throw UVError(code: status, call: call)
        }
        // Unretained: the owner keeps a handle alive while it is open; `close` keeps it until libuv lets go.
        base.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit { precondition(isClosed, "\(Self.self) dropped while open") }

    final var base: UnsafeMutablePointer<uv_handle_t> { memory.assumingMemoryBound(to: uv_handle_t.self) }

    /// An open handle keeps the loop running unless it is unreferenced.
    package final func unreference() { uv_unref(base) }

    /// Closes once; later calls do nothing. `onClosed` runs when libuv has let go of the handle.
    package final func close(_ onClosed: (() -> Void)? = nil) {
        loop.checkIsolated()
        guard !isClosed else { return }
        isClosed = true
        self.onClosed = onClosed
        willClose()
        _ = Unmanaged.passRetained(self)  // +1, taken back in the close callback below
        uv_close(base) { closed in
            let handle = Unmanaged<Handle>.fromOpaque(closed!.pointee.data).takeRetainedValue()
            handle.memory.deallocate()
            let onClosed = handle.onClosed
            handle.onClosed = nil
            onClosed?()
        }
    }

    /// Subclasses drop their callbacks here, which breaks the cycle with their owner.
    func willClose() {}

    /// The object behind a handle in a callback.
    @inline(__always)
    static func owner<Object: Handle>(_ data: UnsafeMutableRawPointer?, as _: Object.Type = Object.self) -> Object {
        Unmanaged<Object>.fromOpaque(data!).takeUnretainedValue()
    }
}
