internal import CUV

#if canImport(Glibc)
    internal import Glibc
#endif

/// Raw file descriptors on their way into a child or a handle. All of them are close-on-exec.
package enum Descriptor {
    package static func close(_ descriptor: CInt) { _ = Glibc.close(descriptor) }

    /// Two connected Unix stream sockets: ours does not block, the child's does.
    package static func socketPair() throws(UVError) -> (ours: CInt, childs: CInt) {
        var pair: (uv_os_sock_t, uv_os_sock_t) = (0, 0)
        let status = withUnsafeMutablePointer(to: &pair) {
            $0.withMemoryRebound(to: uv_os_sock_t.self, capacity: 2) {
                uv_socketpair(CInt(SOCK_STREAM.rawValue), 0, $0, CInt(UV_NONBLOCK_PIPE.rawValue), 0)
            }
        }
        try UVError.check(status, "uv_socketpair")
        return (pair.0, pair.1)
    }

    /// An anonymous file in memory with these bytes; a child inherits it and reads from its start.
    package static func memory(_ bytes: [UInt8], name: String) throws(UVError) -> CInt {
        let descriptor = cuv_memory_file(name)
        try UVError.check(descriptor, "memfd_create")
        let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        guard written == bytes.count else {
            close(descriptor)
            throw UVError(code: UV_ENOMEM.rawValue, call: "write to memory file")
        }
        return descriptor
    }

    /// A pipe: we read without blocking, the child writes.
    package static func pipe() throws(UVError) -> (ours: CInt, childs: CInt) {
        var ends: (uv_file, uv_file) = (0, 0)
        let status = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: uv_file.self, capacity: 2) { uv_pipe($0, CInt(UV_NONBLOCK_PIPE.rawValue), 0) }
        }
        try UVError.check(status, "uv_pipe")
        return (ends.0, ends.1)
    }
}

/// A process named by a descriptor, which cannot come to mean another one. Closed by its owner.
package struct ProcessDescriptor {
    package let descriptor: CInt

    package init(descriptor: CInt) { self.descriptor = descriptor }

    /// A process that has ended is no error.
    package func signal(_ number: CInt) throws(UVError) {
        let status = cuv_pidfd_send_signal(descriptor, number)
        if status != UV_ESRCH.rawValue { try UVError.check(status, "pidfd_send_signal") }
    }

    /// Its number on this machine, from the kernel's memory; `nil` once it is gone.
    package var processIdentifier: Int? {
        Self.number("Pid:", in: "/proc/self/fdinfo/\(descriptor)").flatMap { $0 > 0 ? $0 : nil }
    }

    /// The most memory that it has had resident, in MB, rounded up; `nil` once it is gone.
    package var peakMegabytes: Int? {
        processIdentifier.flatMap { Self.number("VmHWM:", in: "/proc/\($0)/status") }.map { ($0 + 1023) / 1024 }
    }

    /// The number behind a label in a file of the kernel's.
    private static func number(_ label: String, in path: String) -> Int? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { Descriptor.close(file) }
        var bytes = [UInt8](repeating: 0, count: 2048)
        let count = read(file, &bytes, bytes.count)
        let lines = String(decoding: bytes[..<max(0, count)], as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix(label) }) else { return nil }
        return Int(line.dropFirst(label.utf8.count).drop { $0 == "\t" || $0 == " " }.prefix { $0.isNumber })
    }

    package func close() { Descriptor.close(descriptor) }
}
