internal import Glibc

// The system calls of the store, with their errors. Paths inside a folder are bytes, because a file name need not be UTF-8.

/// An open file or directory, closed when dropped.
struct Descriptor: ~Copyable {
    let raw: Int32

    /// - Parameter raw: what `open` returned; -1 throws its error.
    init(_ raw: Int32, _ path: @autoclosure () -> String) throws(ArtifactError) {
        guard raw >= 0 else { throw .system("open", path()) }
        self.raw = raw
    }

    deinit { close(raw) }
}

/// Tells whether a file may be another than it was: replaced, or written to.
struct FileStamp: Equatable, Sendable {
    let inode: UInt64
    let sizeBytes: Int
    let modifiedSeconds: Int
    let modifiedNanoseconds: Int

    init(_ status: stat) {
        inode = UInt64(status.st_ino)
        sizeBytes = Int(status.st_size)
        modifiedSeconds = Int(status.st_mtim.tv_sec)
        modifiedNanoseconds = Int(status.st_mtim.tv_nsec)
    }

    /// `nil` when there is no such file.
    init?(of path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.init(status)
    }
}

extension ArtifactError {
    /// The error of the system call that just failed.
    static func system(_ operation: String, _ path: String) -> ArtifactError {
        switch errno {
        case ENOSPC, EDQUOT: .diskFull(path: path)
        case let code: .io(path: path, operation: operation, errno: code)
        }
    }
}

/// Throws unless `status` is 0.
func check(_ status: Int32, _ operation: String, _ path: @autoclosure () -> String) throws(ArtifactError) {
    guard status == 0 else { throw .system(operation, path()) }
}

func makeDirectory(_ path: String) throws(ArtifactError) {
    if mkdir(path, 0o755) != 0, errno != EEXIST { throw .system("mkdir", path) }
}

func openDirectory(_ path: String) throws(ArtifactError) -> Descriptor {
    try Descriptor(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), path)
}

func syncDirectory(_ path: String) throws(ArtifactError) {
    let directory = try openDirectory(path)
    try check(fsync(directory.raw), "fsync", path)
}

func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ path: String) throws(ArtifactError) {
    var rest = bytes
    while !rest.isEmpty {
        let count = write(descriptor, rest.baseAddress, rest.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw .system("write", path) }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
    }
}

/// Reads to the end, piece by piece.
func readAll(
    _ descriptor: Int32, _ path: @autoclosure () -> String,
    _ body: (UnsafeRawBufferPointer) throws(ArtifactError) -> Void
) throws(ArtifactError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
    defer { buffer.deallocate() }
    while true {
        let count = read(descriptor, buffer.baseAddress, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw .system("read", path()) }
        if count == 0 { return }
        try body(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
    }
}

/// The names in an open directory, `.` and `..` left out, each ended by a NUL.
func names(in directory: Int32, _ path: @autoclosure () -> String) throws(ArtifactError) -> [[UInt8]] {
    // A descriptor of its own, because closedir closes it and reading moves its position.
    let copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard copy >= 0, let stream = fdopendir(copy) else { throw .system("opendir", path()) }
    defer { closedir(stream) }
    let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name)!
    var names: [[UInt8]] = []
    while true {
        errno = 0
        guard let entry = readdir(stream) else {
            guard errno == 0 else { throw .system("readdir", path()) }
            return names
        }
        // The record is only as long as its name, so it is never copied as a `dirent`.
        let name = UnsafeRawPointer(entry) + nameOffset
        let length = strlen(name.assumingMemoryBound(to: CChar.self))
        let bytes = Array(UnsafeRawBufferPointer(start: name, count: length + 1))
        if bytes != [0x2E, 0], bytes != [0x2E, 0x2E, 0] { names.append(bytes) }
    }
}

/// Removes a file or a directory with all it holds; what cannot be removed stays.
func removeTree(_ name: [UInt8], in parent: Int32) {
    if name.withCString({ unlinkat(parent, $0, 0) }) == 0 { return }
    let raw = name.withCString { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
    guard let directory = try? Descriptor(raw, "") else { return }
    fchmod(directory.raw, 0o700)
    for name in (try? names(in: directory.raw, "")) ?? [] { removeTree(name, in: directory.raw) }
    _ = name.withCString { unlinkat(parent, $0, AT_REMOVEDIR) }
}

extension [UInt8] {
    /// As a C string for a system call. `self` ends with a NUL.
    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        precondition(last == 0, "a C string ends with a NUL")
        return withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    }

    /// For messages: control characters as `\xNN`, broken UTF-8 as U+FFFD.
    var displayText: String {
        var text: [UInt8] = []
        for byte in self where byte != 0 {
            if byte < 0x20 || byte == 0x7F {
                let digits = String(byte, radix: 16, uppercase: true)
                text += Array("\\x\(digits.count == 1 ? "0" : "")\(digits)".utf8)
            } else {
                text.append(byte)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
