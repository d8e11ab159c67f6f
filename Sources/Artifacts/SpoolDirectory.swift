internal import Glibc

/// A directory from which another program takes files. Every call blocks; make none on the loop.
///
/// A name that does not begin with a dot is a complete file that is on disk. Files have mode 0640, so that a reader can be
/// another user of the directory's group.
package struct SpoolDirectory: Sendable {
    package let path: String

    /// Why nothing was added, or not all of it.
    package struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// Files that nobody took; no more are added beside them.
    package static let filesMax = 100_000

    /// - Parameter path: of a directory that exists, and in which this process may make files.
    package init(_ path: String) throws(Failure) {
        self.path = path
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw Failure(description: "\(path): \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw Failure(description: "\(path) is no directory") }
        guard access(path, W_OK | X_OK) == 0 else { throw Failure(description: "no file can be made in \(path)") }
    }

    /// Returns when the files have their names and both are on disk. A file that has the name already is replaced.
    ///
    /// - Parameter files: by names that do not begin with a dot.
    package func add(_ files: [(name: String, bytes: [UInt8])]) throws(Failure) {
        let there: Int
        do throws(ArtifactError) { there = try count() } catch { throw Failure(description: "\(error)") }
        guard there + files.count <= Self.filesMax else {
            throw Failure(description: "\(path) has \(there) files that nobody took; allowed are \(Self.filesMax)")
        }
        do throws(ArtifactError) { try addAll(files) } catch { throw Failure(description: "\(error)") }
    }

    private func count() throws(ArtifactError) -> Int {
        let directory = try openDirectory(path)
        return try names(in: directory.raw, path).count
    }

    private func addAll(_ files: [(name: String, bytes: [UInt8])]) throws(ArtifactError) {
        let directory = try openDirectory(path)
        for file in files { try add(file.name, file.bytes, to: directory.raw) }
        try check(fsync(directory.raw), "fsync", path)
    }

    private func add(_ name: String, _ bytes: [UInt8], to directory: Int32) throws(ArtifactError) {
        let temporary = ".\(name).new"
        let shown = "\(path)/\(name)"
        let file = try Descriptor(
            openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o640), shown)
        do throws(ArtifactError) {
            // Whatever the process's mask. A file system that has no modes refuses, and needs none.
            _ = fchmod(file.raw, 0o640)
            let written = bytes.withUnsafeBytes { bytes in
                Result { () throws(ArtifactError) in try writeAll(bytes, to: file.raw, shown) }
            }
            try written.get()
            try check(fsync(file.raw), "fsync", shown)
            try check(renameat(directory, temporary, directory, name), "rename", shown)
        } catch {
            unlinkat(directory, temporary, 0)
            throw error
        }
    }
}
