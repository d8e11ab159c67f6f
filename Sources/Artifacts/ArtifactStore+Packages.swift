internal import CArchive
package import Domain
internal import Glibc

extension ArtifactStore {
    package struct StoredPackage: Equatable, Sendable {
        package var manifest: Digest
        /// SHA-256 of the zip.
        package var codeDigest: Digest
        /// Bytes of the zip.
        package var codeSizeBytes: Int
        package var unpackedBytes: Int
    }

    /// Stores the files of a zip. The zip itself is not kept.
    ///
    /// Refused are paths that leave the package, links of both kinds, devices, encryption, a path that occurs twice, more
    /// than `packageFilesMax` entries, more than `packageBytesMax` bytes (noticed while unpacking, whatever the zip
    /// says), and a zip without a file. A leading `./` is dropped; directories without files are too. Of the mode, the
    /// owner's executable bit is kept; `bootstrap` at the top is always executable.
    package func storeZip(_ bytes: [UInt8]) throws(ArtifactError) -> StoredPackage {
        let files = try bytes.span.withUnsafeBytes { (buffer) throws(ArtifactError) in try unpack(buffer) }
        guard !files.isEmpty else { throw .empty }
        var packageLimits = Manifest.Limits()
        packageLimits.filesMax = min(limits.packageFilesMax, limits.folder.filesMax)
        packageLimits.bytesMax = limits.packageBytesMax
        let manifest = try store(files, limits: packageLimits)
        return StoredPackage(
            manifest: manifest.digest, codeDigest: SHA256Hasher.digest(of: bytes), codeSizeBytes: bytes.count,
            unpackedBytes: manifest.sizeBytes)
    }

    private func unpack(_ bytes: UnsafeRawBufferPointer) throws(ArtifactError) -> [(StagedFile, Manifest.File)] {
        // libarchive turns names that are marked as UTF-8 into the thread's character set, which is ASCII by default.
        let utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nil)
        let before = utf8.map { uselocale($0) }
        defer {
            if let before { uselocale(before) }
            if let utf8 { freelocale(utf8) }
        }
        guard let archive = archive_read_new() else { throw .io(path: "zip", operation: "allocate", errno: ENOMEM) }
        defer { archive_read_free(archive) }
        // By the central directory at the end, as every other unpacker reads it; never by what precedes each entry.
        archive_read_support_format_zip_seekable(archive)
        guard archive_read_open_memory(archive, bytes.baseAddress, bytes.count) == ARCHIVE_OK else {
            throw corrupt(archive, at: nil)
        }
        var files: [(StagedFile, Manifest.File)] = []
        var paths: Set<[UInt8]> = []
        var folders: Set<[UInt8]> = []
        var entries = 0
        var bytesLeft = limits.packageBytesMax
        var last: String?
        while true {
            var header: OpaquePointer?
            let status = archive_read_next_header(archive, &header)
            if status == ARCHIVE_EOF { break }
            // A warning is a name or a field that does not fit the others, so not an entry to trust.
            guard status == ARCHIVE_OK, let header, let name = archive_entry_pathname(header) else {
                throw corrupt(archive, at: last)
            }
            entries += 1
            guard entries <= limits.packageFilesMax else { throw .tooManyFiles(limit: limits.packageFilesMax) }
            var path = Array(UnsafeRawBufferPointer(start: name, count: strlen(name)))
            last = path.displayText
            let isDirectory = roost_archive_is_directory(archive_entry_filetype(header)) != 0
            if isDirectory, path.last == UInt8(ascii: "/") { path.removeLast() }
            if path.starts(with: "./".utf8) { path.removeFirst(2) }
            if isDirectory, path.isEmpty || path == Array(".".utf8) { continue }
            try Manifest.check(path: path)
            try checkKind(of: header, path: path)
            if isDirectory {
                folders.insert(path)
                continue
            }
            guard paths.insert(path).inserted else { throw .badPath(path: path.displayText, .duplicate) }
            let staged = try stage()
            try unpackData(of: archive, into: staged, path: path, bytesLeft: &bytesLeft)
            let isExecutable = archive_entry_perm(header) & 0o100 != 0 || path == Array("bootstrap".utf8)
            let digest = try staged.finish(isFlushed: false)
            files.append(
                (
                    staged,
                    Manifest.File(
                        path: path, isExecutable: isExecutable, sizeBytes: staged.sizeBytes, digest: digest)
                ))
        }
        if let both = paths.first(where: folders.contains) {
            throw .badPath(path: both.displayText, .fileAndDirectory)
        }
        return files
    }

    private func checkKind(of header: OpaquePointer, path: [UInt8]) throws(ArtifactError) {
        guard archive_entry_is_encrypted(header) == 0 else { throw .encryptedPackage(entry: path.displayText) }
        let type = archive_entry_filetype(header)
        if roost_archive_is_link(type) != 0 { throw .unsupportedEntry(path: path.displayText, .symbolicLink) }
        if archive_entry_hardlink(header) != nil { throw .unsupportedEntry(path: path.displayText, .hardLink) }
        guard roost_archive_is_file(type) != 0 || roost_archive_is_directory(type) != 0 else {
            throw .unsupportedEntry(path: path.displayText, .special)
        }
    }

    private func unpackData(
        of archive: OpaquePointer, into staged: StagedFile, path: [UInt8], bytesLeft: inout Int
    ) throws(ArtifactError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = archive_read_data(archive, buffer.baseAddress, buffer.count)
            if count == 0 { return }
            guard count > 0 else { throw corrupt(archive, at: path.displayText) }
            guard count <= bytesLeft else { throw .tooManyBytes(limit: limits.packageBytesMax) }
            bytesLeft -= count
            try staged.write(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
        }
    }

    private func corrupt(_ archive: OpaquePointer, at entry: String?) -> ArtifactError {
        .corruptPackage(
            entry: entry, reason: archive_error_string(archive).map { String(cString: $0) } ?? "unreadable")
    }
}
