internal import CUV

/// Tells its owner when a socket can be read or written. The socket is somebody else's, who closes it after this.
///
/// Every member runs on the loop's thread.
package final class SocketPoll: Handle {
    package struct Events: OptionSet, Sendable {
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        package static let readable = Events(rawValue: UV_READABLE.rawValue)
        package static let writable = Events(rawValue: UV_WRITABLE.rawValue)
        /// Comes without being asked for: the socket has an error, which the next read or write tells. Polling has
        /// stopped.
        package static let failed = Events(rawValue: 1 << 16)
    }

    /// What is waited for; empty before the first `start`. Also kept when polling has stopped for a failure.
    package private(set) var awaited: Events = []
    private var onReady: ((Events) -> Void)?
    private var raw: UnsafeMutablePointer<uv_poll_t> { memory.assumingMemoryBound(to: uv_poll_t.self) }

    /// Waits for nothing until `start`. Makes `socket` non-blocking.
    ///
    /// - Throws: `EEXIST` when the loop polls this socket already, among others.
    package init(loop: EventLoop, socket: CInt, _ onReady: @escaping (Events) -> Void) throws(UVError) {
        self.onReady = onReady
        try super.init(loop: loop, byteCount: MemoryLayout<uv_poll_t>.size, "uv_poll_init") {
            uv_poll_init(loop.raw, $0.assumingMemoryBound(to: uv_poll_t.self), socket)
        }
    }

    /// Calls `onReady` as long as any of `events` is true of the socket, in place of what was waited for before.
    package func start(_ events: Events) throws(UVError) {
        guard !isClosed else { return }
        awaited = events
        let status = uv_poll_start(raw, CInt(events.rawValue)) { handle, status, events in
            let poll: SocketPoll = Handle.owner(handle!.pointee.data)
            poll.loop.watched("socket poll") {
                poll.onReady?(status < 0 ? .failed : Events(rawValue: UInt32(events)))
            }
        }
        try UVError.check(status, "uv_poll_start")
    }

    override func willClose() {
        uv_poll_stop(raw)
        onReady = nil
    }
}
