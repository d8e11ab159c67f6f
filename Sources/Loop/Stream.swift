internal import CUV

#if canImport(Glibc)
    internal import Glibc
#endif

/// A connected byte stream: a TCP connection, one end of a socketpair, or a pipe. Every member runs on the loop's thread.
///
/// The owner sets `onRead` and `onEnd`, and closes the stream; after `close` neither is called again.
package final class Stream: Handle {
    /// Bytes that arrived, valid until the callback returns.
    package var onRead: ((UnsafeRawBufferPointer) -> Void)?
    /// No more bytes will come: the peer ended (`nil`), or reading failed.
    package var onEnd: ((UVError?) -> Void)?
    /// What is written but not yet taken by the kernel.
    package var queuedByteCount: Int { isClosed ? 0 : uv_stream_get_write_queue_size(raw) }

    private var raw: UnsafeMutablePointer<uv_stream_t> { memory.assumingMemoryBound(to: uv_stream_t.self) }

    // MARK: - Making one

    /// Takes over one end of a socketpair or pipe; the descriptor is closed with the stream, and here on failure.
    package init(loop: EventLoop, pipeDescriptor: CInt) throws(UVError) {
        do {
            try super.init(loop: loop, byteCount: MemoryLayout<uv_pipe_t>.size, "uv_pipe_init") {
                uv_pipe_init(loop.raw, $0.assumingMemoryBound(to: uv_pipe_t.self), 0)
            }
        } catch {
            Descriptor.close(pipeDescriptor)
            throw error
        }
        let status = uv_pipe_open(memory.assumingMemoryBound(to: uv_pipe_t.self), pipeDescriptor)
        guard status >= 0 else {
            Descriptor.close(pipeDescriptor)
            close()
            throw UVError(code: status, call: "uv_pipe_open")
        }
    }

    /// Accepts a connection that waits on `listener`.
    init(acceptedFrom listener: Listener) throws(UVError) {
        let loop = listener.loop
        let isTCP = listener.isTCP
        let byteCount = isTCP ? MemoryLayout<uv_tcp_t>.size : MemoryLayout<uv_pipe_t>.size
        try super.init(loop: loop, byteCount: byteCount, isTCP ? "uv_tcp_init" : "uv_pipe_init") {
            isTCP
                ? uv_tcp_init(loop.raw, $0.assumingMemoryBound(to: uv_tcp_t.self))
                : uv_pipe_init(loop.raw, $0.assumingMemoryBound(to: uv_pipe_t.self), 0)
        }
        let status = uv_accept(listener.stream, raw)
        guard status >= 0 else {
            close()
            throw UVError(code: status, call: "uv_accept")
        }
        if isTCP { uv_tcp_nodelay(memory.assumingMemoryBound(to: uv_tcp_t.self), 1) }
    }

    // MARK: - Reading

    package func startReading() throws(UVError) {
        guard !isClosed else { return }
        let status = uv_read_start(
            raw,
            { handle, _, buffer in
                let shared = Handle.owner(handle!.pointee.data, as: Stream.self).loop.readBuffer
                buffer!.pointee = uv_buf_init(
                    shared.baseAddress!.assumingMemoryBound(to: CChar.self), UInt32(shared.count))
            },
            { handle, count, buffer in
                let stream: Stream = Handle.owner(handle!.pointee.data)
                stream.loop.watched("stream read") { stream.received(count, buffer!) }
            })
        // Already reading is fine.
        if status != UV_EALREADY.rawValue { try UVError.check(status, "uv_read_start") }
    }

    package func stopReading() {
        guard !isClosed else { return }
        uv_read_stop(raw)
    }

    /// Reads what is there now, without waiting for the loop's next turn.
    package func readAvailable() {
        var descriptor: uv_os_fd_t = 0
        guard !isClosed, uv_is_active(base) != 0, uv_fileno(base, &descriptor) == 0 else { return }
        // Not the loop's buffer: the caller may be busy with bytes in it.
        withUnsafeTemporaryAllocation(byteCount: 16 * 1024, alignment: 16) { buffer in
            while !isClosed {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                // The end and errors are left to libuv, which meets them again.
                guard count > 0 else { return }
                onRead?(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count))
            }
        }
    }

    private func received(_ count: Int, _ buffer: UnsafePointer<uv_buf_t>) {
        if count > 0 {
            onRead?(UnsafeRawBufferPointer(start: buffer.pointee.base, count: count))
        } else if count < 0 {
            uv_read_stop(raw)
            onEnd?(count == Int(UV_EOF.rawValue) ? nil : UVError(code: CInt(count), call: "read"))
        }
    }

    // MARK: - Writing

    /// Hands as much as the kernel takes at once, in one system call. Returns the number of bytes taken, 0 when the
    /// stream has queued writes or its buffer is full.
    package func tryWrite(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer = .init(start: nil, count: 0)
    ) throws(UVError) -> Int {
        guard !isClosed else { throw UVError(code: UV_ECANCELED.rawValue, call: "write") }
        var buffers = (Self.buffer(first), Self.buffer(second))
        let status = withUnsafeMutablePointer(to: &buffers) {
            $0.withMemoryRebound(to: uv_buf_t.self, capacity: 2) {
                uv_try_write(raw, $0, second.isEmpty ? 1 : 2)
            }
        }
        if status == UV_EAGAIN.rawValue { return 0 }
        try UVError.check(status, "write")
        return Int(status)
    }

    /// Queues a copy of `bytes`; `completion` runs once they are with the kernel, or with the error.
    package func write(_ bytes: UnsafeRawBufferPointer, completion: ((UVError?) -> Void)? = nil) {
        guard !isClosed else {
            completion?(UVError(code: UV_ECANCELED.rawValue, call: "write"))
            return
        }
        WriteRequest(copying: bytes, completion: completion).submit(to: raw, on: loop)
    }

    /// Ends our direction once all queued writes are out. The peer then reads the end of the stream.
    package func shutdown(completion: (() -> Void)? = nil) {
        guard !isClosed else { return }
        ShutdownRequest(completion: completion).submit(to: raw)
    }

    private static func buffer(_ bytes: UnsafeRawBufferPointer) -> uv_buf_t {
        // libuv only reads through this pointer.
        let start = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: CChar.self))
        return uv_buf_t(base: start, len: bytes.count)
    }

    override func willClose() {
        onRead = nil
        onEnd = nil
    }
}

/// One queued write and the copy of its bytes.
private final class WriteRequest {
    private let request = UnsafeMutablePointer<uv_write_t>.allocate(capacity: 1)
    private let bytes: UnsafeMutableRawBufferPointer
    private let completion: ((UVError?) -> Void)?
    private var loop: EventLoop?

    init(copying source: UnsafeRawBufferPointer, completion: ((UVError?) -> Void)?) {
        bytes = .allocate(byteCount: source.count, alignment: 1)
        bytes.copyMemory(from: source)
        self.completion = completion
    }

    deinit {
        bytes.deallocate()
        request.deallocate()
    }

    func submit(to stream: UnsafeMutablePointer<uv_stream_t>, on loop: EventLoop) {
        self.loop = loop
        // +1, taken back in the callback, or below when libuv refuses.
        request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        var buffer = uv_buf_t(base: bytes.baseAddress?.assumingMemoryBound(to: CChar.self), len: bytes.count)
        let status = uv_write(request, stream, &buffer, 1) { request, status in
            let write = Unmanaged<WriteRequest>.fromOpaque(request!.pointee.data).takeRetainedValue()
            write.loop?.watched("stream write") {
                write.completion?(status < 0 ? UVError(code: status, call: "write") : nil)
            }
        }
        if status < 0 {
            Unmanaged.passUnretained(self).release()
            completion?(UVError(code: status, call: "uv_write"))
        }
    }
}

private final class ShutdownRequest {
    private let request = UnsafeMutablePointer<uv_shutdown_t>.allocate(capacity: 1)
    private let completion: (() -> Void)?

    init(completion: (() -> Void)?) { self.completion = completion }

    deinit { request.deallocate() }

    func submit(to stream: UnsafeMutablePointer<uv_stream_t>) {
        // +1, taken back in the callback, or below when libuv refuses (the peer is gone already).
        request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        let status = uv_shutdown(request, stream) { request, _ in
            Unmanaged<ShutdownRequest>.fromOpaque(request!.pointee.data).takeRetainedValue().completion?()
        }
        if status < 0 {
            Unmanaged.passUnretained(self).release()
            completion?()
        }
    }
}
