internal import CUV

/// Our end of a Unix socket on which a child sends messages with descriptors. Every member runs on the loop's thread.
package final class DescriptorReceiver: Handle {
    /// A message and the descriptors that came with it, which now belong to the receiver of the call.
    package var onMessage: (([UInt8], [CInt]) -> Void)?
    /// The peer closed its end, or receiving failed.
    package var onEnd: ((UVError?) -> Void)?

    private let socket: CInt
    private static let messageBytesMax = 4096
    private static let descriptorsMax = 8

    /// Takes over `socket`, closed with this handle and here on failure.
    package init(loop: EventLoop, socket: CInt) throws(UVError) {
        self.socket = socket
        do {
            try super.init(loop: loop, byteCount: MemoryLayout<uv_poll_t>.size, "uv_poll_init") {
                uv_poll_init(loop.raw, $0.assumingMemoryBound(to: uv_poll_t.self), socket)
            }
        } catch {
            Descriptor.close(socket)
            throw error
        }
        let readable = CInt(UV_READABLE.rawValue)
        let status = uv_poll_start(memory.assumingMemoryBound(to: uv_poll_t.self), readable) { handle, _, _ in
            let receiver: DescriptorReceiver = Handle.owner(handle!.pointee.data)
            receiver.loop.watched("descriptor message") { receiver.receive() }
        }
        guard status >= 0 else {
            close()
            throw UVError(code: status, call: "uv_poll_start")
        }
    }

    private func receive() {
        var message = [UInt8](repeating: 0, count: Self.messageBytesMax)
        var descriptors = [CInt](repeating: -1, count: Self.descriptorsMax)
        var descriptorCount: CInt = 0
        let length = message.withUnsafeMutableBytes {
            cuv_receive(
                socket, $0.baseAddress, $0.count, &descriptors, CInt(Self.descriptorsMax), &descriptorCount)
        }
        if length == Int(UV_EAGAIN.rawValue) { return }
        guard length > 0 else {
            uv_poll_stop(memory.assumingMemoryBound(to: uv_poll_t.self))
            onEnd?(length == 0 ? nil : UVError(code: CInt(length), call: "recvmsg"))
            return
        }
        message.removeLast(message.count - length)
        let received = Array(descriptors.prefix(Int(descriptorCount)))
        if let onMessage { onMessage(message, received) } else { received.forEach(Descriptor.close) }
    }

    override func willClose() {
        uv_poll_stop(memory.assumingMemoryBound(to: uv_poll_t.self))
        onMessage = nil
        onEnd = nil
        Descriptor.close(socket)
    }
}
