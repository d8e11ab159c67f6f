import Artifacts
import Domain
import Glibc
import JSON

/// Files of this machine on their way to the host: a package, a model, or a data channel.
struct FileSet {
    struct File {
        /// In the set: relative, joined by `/`.
        var path: String
        /// On this machine.
        var source: String
        var isExecutable: Bool
        var sizeBytes: Int
    }

    private(set) var files: [File] = []

    var sizeBytes: Int { files.reduce(0) { $0 + $1.sizeBytes } }

    init() {}

    /// Every file of a folder, less hidden ones and what `skips` says of paths relative to it.
    init(folder: String, skipping skips: (_ path: String, _ isDirectory: Bool) -> Bool = { _, _ in false })
        throws(CommandError)
    {
        try add(folder: folder, prefix: "", skips)
    }

    /// A single file, or every file of a folder.
    init(fileOrFolder path: String) throws(CommandError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw .usage("\(path): \(systemMessage(errno))") }
        if status.st_mode & S_IFMT == S_IFDIR {
            try self.init(folder: path)
        } else {
            self.init()
            let name = path.split(separator: "/").last.map(String.init) ?? path
            try add(file: path, as: name)
        }
        if files.isEmpty { throw .folder(path: path, reason: "there is no file in it") }
    }

    mutating func add(file source: String, as path: String) throws(CommandError) {
        var status = stat()
        guard stat(source, &status) == 0 else { throw .io(path: source, operation: "open", errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .folder(path: source, reason: "this is no regular file") }
        files.append(
            File(
                path: path, source: source, isExecutable: status.st_mode & S_IXUSR != 0, sizeBytes: Int(status.st_size))
        )
    }

    private mutating func add(folder: String, prefix: String, _ skips: (String, Bool) -> Bool) throws(CommandError) {
        for name in try directoryEntries(folder) where !name.hasPrefix(".") {
            let source = folder + "/" + name
            var status = stat()
            guard lstat(source, &status) == 0 else { throw .io(path: source, operation: "look at", errno: errno) }
            let kind = status.st_mode & S_IFMT
            if skips(prefix + name, kind == S_IFDIR) { continue }
            switch kind {
            case S_IFDIR: try add(folder: source, prefix: prefix + name + "/", skips)
            case S_IFREG: try add(file: source, as: prefix + name)
            case S_IFLNK: throw .folder(path: source, reason: "this is a symbolic link; put a copy in its place")
            default: throw .folder(path: source, reason: "this is a device, pipe or socket")
            }
        }
    }

    /// Reads every file for its digest.
    func manifest() throws(CommandError) -> Manifest {
        var entries: [Manifest.File] = []
        for file in files {
            entries.append(
                Manifest.File(
                    path: Array(file.path.utf8), isExecutable: file.isExecutable, sizeBytes: file.sizeBytes,
                    digest: try digest(ofFile: file.source, sizeBytes: file.sizeBytes)))
        }
        do {
            return try Manifest(files: entries)
        } catch {
            throw .folder(path: files.first?.source ?? "", reason: "\(error)")
        }
    }
}

/// SHA-256 of a file's bytes, which must be `sizeBytes`.
private func digest(ofFile path: String, sizeBytes: Int) throws(CommandError) -> Digest {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .io(path: path, operation: "open", errno: errno) }
    defer { close(descriptor) }
    var hasher = SHA256Hasher()
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    var total = 0
    while true {
        let count = read(descriptor, &piece, piece.count)
        if count == 0 { break }
        if count > 0 {
            total += count
            piece.withUnsafeBytes { hasher.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        } else if errno != EINTR {
            throw .io(path: path, operation: "read", errno: errno)
        }
    }
    guard total == sizeBytes else { throw .folder(path: path, reason: "the file is being written") }
    return hasher.digest()
}

extension HostClient {
    struct Uploaded {
        var manifest: Digest
        var filesCount: Int
        var sizeBytes: Int
        /// Of these, what the host did not have yet.
        var filesSent: Int
        var bytesSent: Int

        /// `2 files, 8.9 MB, 1.0 MB sent`.
        var text: String {
            let sent = filesSent == 0 ? "all there already" : "\(sizeText(bytesSent)) sent"
            return "\(counted(filesCount, "file")), \(sizeText(sizeBytes)), \(sent)"
        }
    }

    /// Sends the files that the host lacks, then the manifest.
    ///
    /// - Parameter progress: told before each file: its name in the set, bytes sent and bytes to send in all.
    func upload(
        _ set: FileSet, progress: (_ file: String, _ bytesSent: Int, _ bytesTotal: Int) -> Void = { _, _, _ in }
    ) throws(CommandError) -> Uploaded {
        let manifest = try set.manifest()
        var sources: [String: FileSet.File] = [:]
        for file in set.files { sources[file.path] = file }
        var wanted: [Digest: FileSet.File] = [:]
        for entry in manifest.files { wanted[entry.digest] = sources[String(decoding: entry.path, as: UTF8.self)] }

        var missing: [Digest] = []
        // What an upload that was cut off has left.
        var partial: [Digest: Int] = [:]
        let digests = wanted.keys.sorted { $0.hex < $1.hex }
        for start in stride(from: 0, to: digests.count, by: 10_000) {
            let part = digests[start..<min(start + 10_000, digests.count)]
            let answer = try json(
                "POST", .roost("artifacts", "missing"), ["Digests": .array(part.map { .string($0.description) })])
            missing += (answer["Missing"]?.arrayValue ?? []).compactMap { $0.stringValue.flatMap { Digest($0) } }
            for entry in answer["Partial"]?.objectValue?.entries ?? [] {
                guard let digest = Digest(entry.key), let size = entry.value.integerValue.map({ Int($0) }),
                    let file = wanted[digest], (1...file.sizeBytes).contains(size)
                else { continue }
                partial[digest] = size
            }
        }
        let bytesTotal = missing.reduce(0) { $0 + (wanted[$1]?.sizeBytes ?? 0) - (partial[$1] ?? 0) }
        var bytesSent = 0
        for digest in missing {
            guard let file = wanted[digest] else { continue }
            progress(file.path, bytesSent, bytesTotal)
            let offset = partial[digest] ?? 0
            do throws(CommandError) {
                try send(file, digest, from: offset)
                bytesSent += file.sizeBytes - offset
            } catch {
                // What was there was not the beginning of this file, or somebody else goes on with it.
                guard offset > 0, case .refused(status: 400..<500, _, _) = error else { throw error }
                try send(file, digest, from: 0)
                bytesSent += file.sizeBytes
            }
        }
        _ = try send(
            "PUT", .roost("manifests", manifest.digest.description), headers: [("Content-Type", "text/plain")],
            body: .bytes(manifest.text))
        return Uploaded(
            manifest: manifest.digest, filesCount: set.files.count, sizeBytes: set.sizeBytes,
            filesSent: missing.count, bytesSent: bytesSent)
    }

    private func send(_ file: FileSet.File, _ digest: Digest, from offset: Int) throws(CommandError) {
        let query = [("offset", offset > 0 ? String(offset) : nil)]
        _ = try send(
            "PUT", .roost("artifacts", digest.description, query: query),
            headers: [("Content-Type", "application/octet-stream")],
            body: .file(path: file.source, sizeBytes: file.sizeBytes, digest: digest, offset: offset))
    }
}
