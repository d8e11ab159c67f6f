internal import CUV

/// A listening socket, TCP or Unix. Every member runs on the loop's thread.
package final class Listener: Handle {
    private var onAccept: ((Stream) -> Void)?
    let isTCP: Bool
    /// A connection that could not be accepted, as when descriptors have run out. The listener goes on.
    package var onError: ((UVError) -> Void)?

    var stream: UnsafeMutablePointer<uv_stream_t> { memory.assumingMemoryBound(to: uv_stream_t.self) }
    private var tcp: UnsafeMutablePointer<uv_tcp_t> { memory.assumingMemoryBound(to: uv_tcp_t.self) }

    /// Binds to a numeric IPv4 or IPv6 address; port 0 picks a free one, see `port`.
    package init(loop: EventLoop, host: String, port: Int, backlog: Int = 1024) throws(UVError) {
        var address = sockaddr_storage()
        let status = withUnsafeMutablePointer(to: &address) { address in
            let ip4 = UnsafeMutableRawPointer(address).assumingMemoryBound(to: sockaddr_in.self)
            let ip6 = UnsafeMutableRawPointer(address).assumingMemoryBound(to: sockaddr_in6.self)
            let status = uv_ip4_addr(host, CInt(port), ip4)
            return status == 0 ? 0 : uv_ip6_addr(host, CInt(port), ip6)
        }
        try UVError.check(status, "address \(host)")
        isTCP = true
        try super.init(loop: loop, byteCount: MemoryLayout<uv_tcp_t>.size, "uv_tcp_init") {
            uv_tcp_init(loop.raw, $0.assumingMemoryBound(to: uv_tcp_t.self))
        }
        let bound = withUnsafePointer(to: &address) {
            uv_tcp_bind(tcp, UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), 0)
        }
        guard bound >= 0 else {
            close()
            throw UVError(code: bound, call: "bind \(host):\(port)")
        }
        try listen(backlog: backlog)
    }

    /// Binds to a path, which must not exist; the file is removed with the listener.
    package init(loop: EventLoop, path: String, backlog: Int = 128) throws(UVError) {
        isTCP = false
        try super.init(loop: loop, byteCount: MemoryLayout<uv_pipe_t>.size, "uv_pipe_init") {
            uv_pipe_init(loop.raw, $0.assumingMemoryBound(to: uv_pipe_t.self), 0)
        }
        let bound = uv_pipe_bind(memory.assumingMemoryBound(to: uv_pipe_t.self), path)
        guard bound >= 0 else {
            close()
            throw UVError(code: bound, call: "bind \(path)")
        }
        try listen(backlog: backlog)
    }

    /// Takes over a TCP socket that is bound, and perhaps listening, already.
    package init(loop: EventLoop, tcpDescriptor: CInt, backlog: Int = 128) throws(UVError) {
        isTCP = true
        do {
            try super.init(loop: loop, byteCount: MemoryLayout<uv_tcp_t>.size, "uv_tcp_init") {
                uv_tcp_init(loop.raw, $0.assumingMemoryBound(to: uv_tcp_t.self))
            }
        } catch {
            Descriptor.close(tcpDescriptor)
            throw error
        }
        let status = uv_tcp_open(tcp, tcpDescriptor)
        guard status >= 0 else {
            Descriptor.close(tcpDescriptor)
            close()
            throw UVError(code: status, call: "uv_tcp_open")
        }
        try listen(backlog: backlog)
    }

    private func listen(backlog: Int) throws(UVError) {
        let status = uv_listen(stream, CInt(backlog)) { handle, status in
            let listener: Listener = Handle.owner(handle!.pointee.data)
            listener.loop.watched("accept") { listener.connectionWaits(status) }
        }
        guard status >= 0 else {
            close()
            throw UVError(code: status, call: "uv_listen")
        }
    }

    /// Connections that come before this is called wait in the backlog of the first turn, so call it at once.
    package func start(_ onAccept: @escaping (Stream) -> Void) { self.onAccept = onAccept }

    private func connectionWaits(_ status: CInt) {
        guard status >= 0 else {
            onError?(UVError(code: status, call: "accept"))
            return
        }
        do throws(UVError) {
            let stream = try Stream(acceptedFrom: self)
            if let onAccept { onAccept(stream) } else { stream.close() }
        } catch {
            onError?(error)
        }
    }

    /// The port it is bound to; 0 for a Unix listener.
    package var port: Int {
        guard isTCP else { return 0 }
        var address = sockaddr_storage()
        var length = CInt(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &address) { address in
            let raw = UnsafeMutableRawPointer(address)
            guard uv_tcp_getsockname(tcp, raw.assumingMemoryBound(to: sockaddr.self), &length) == 0 else { return 0 }
            // The port stands at the same place for both families.
            return Int(UInt16(bigEndian: raw.assumingMemoryBound(to: sockaddr_in.self).pointee.sin_port))
        }
    }

    override func willClose() {
        onAccept = nil
        onError = nil
    }
}
