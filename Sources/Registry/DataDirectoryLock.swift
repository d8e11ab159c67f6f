internal import Glibc

/// The right to serve a data directory, held by one process at a time until this is dropped or the process ends,
/// however it ends: the kernel gives it back.
package final class DataDirectoryLock: Sendable {
    private let descriptor: Int32

    /// Makes `directory` when it is missing (its parent exists). Throws `dataDirectoryInUse` at once when another process
    /// holds the lock.
    package init(directory: String) throws(RegistryError) {
        if unsafe mkdir(directory, 0o755) != 0, errno != EEXIST { throw Self.failure(directory) }
        let path = directory + "/lock"
        // Close-on-exec: a worker that inherited it would hold the lock after the host's death.
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw Self.failure(path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let isHeld = errno == EWOULDBLOCK
            let error =
                isHeld ? .dataDirectoryInUse(path: directory, pid: Self.pid(in: descriptor)) : Self.failure(path)
            Glibc.close(descriptor)
            throw error
        }
        // The pid is for messages only, so a failure to write it is none.
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(descriptor, 0) == 0 {
            _ = unsafe text.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        }
        self.descriptor = descriptor
    }

    deinit {
        // Closing alone would leave it to a child that another thread is starting, until that child's exec.
        flock(descriptor, LOCK_UN)
        Glibc.close(descriptor)
    }

    private static func pid(in descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        return Int32(String(decoding: bytes.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self))
    }

    private static func failure(_ path: String) -> RegistryError {
        .io(detail: unsafe "\(path): \(String(cString: strerror(errno)))")
    }
}
