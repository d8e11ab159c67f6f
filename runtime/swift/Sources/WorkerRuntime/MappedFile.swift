#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A file mapped read-only into memory: how a model's weights are loaded.
///
/// Mapping takes microseconds whatever the size; pages are read when they are touched, and all workers that map the
/// same file share them. The file must not shrink while it is mapped (touching a page that is gone kills the process
/// with SIGBUS); model artifacts never change. Unmapped when the last reference goes, so keep the object as long as
/// any pointer into it.
public final class MappedFile: @unchecked Sendable {  // immutable after init, and the pages are read-only
    public let path: String
    /// The file's content. Valid as long as this object, which Swift may release after its last mention: store it
    /// beside whatever points into it, or use ``withBytes(_:)``.
    public let bytes: UnsafeRawBufferPointer

    /// A range that the file does not contain, or an address that its type cannot have: the file is not what its
    /// reader thinks.
    public struct OutOfBounds: Error, Sendable, CustomStringConvertible {
        public var path: String
        public var offset: Int
        public var length: Int
        public var size: Int

        public var description: String {
            "\(path): \(length) bytes at \(offset) are outside its \(size) bytes, or not aligned"
        }
    }

    /// Maps the whole file. Throws a ``SystemError``; its `code` is `ENOENT` when there is no such file.
    public init(path: String) throws(SystemError) {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw SystemError(operation: "open \(path)", code: errno) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw SystemError(operation: "fstat \(path)", code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw SystemError(operation: "map \(path), which is no regular file", code: EINVAL)
        }
        self.path = path
        let size = Int(status.st_size)
        guard size > 0 else {  // mmap refuses an empty range
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        // MAP_FAILED is a macro that Swift does not import.
        guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, file, 0),
            address != UnsafeMutableRawPointer(bitPattern: -1)
        else { throw SystemError(operation: "mmap \(path)", code: errno) }
        bytes = UnsafeRawBufferPointer(start: address, count: size)
    }

    deinit {
        if let address = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: address), bytes.count) }
    }

    public var count: Int { bytes.count }

    /// Calls `body` with the content, and keeps the mapping until it returns.
    public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withExtendedLifetime(self) { try body(bytes) }
    }

    /// Reads one value, in the machine's byte order, from any offset.
    public func load<T: BitwiseCopyable>(_ type: T.Type, at offset: Int) throws(OutOfBounds) -> T {
        try slice(at: offset, count: MemoryLayout<T>.size).loadUnaligned(as: type)
    }

    /// `count` bytes in place.
    public func slice(at offset: Int, count: Int) throws(OutOfBounds) -> UnsafeRawBufferPointer {
        guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else {
            throw OutOfBounds(path: path, offset: offset, length: count, size: bytes.count)
        }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
    }

    /// `count` values in place, without copying. The offset must suit the type's alignment.
    public func buffer<T: BitwiseCopyable>(
        of type: T.Type, at offset: Int, count: Int
    ) throws(OutOfBounds) -> UnsafeBufferPointer<T> {
        let (length, overflow) = max(count, 0).multipliedReportingOverflow(by: MemoryLayout<T>.stride)
        guard !overflow, count >= 0, offset >= 0, offset % MemoryLayout<T>.alignment == 0 else {
            throw OutOfBounds(path: path, offset: offset, length: length, size: bytes.count)
        }
        return try slice(at: offset, count: length).bindMemory(to: type)
    }
}
