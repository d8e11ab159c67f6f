package import Domain

/// The files of a folder: what a digest of a package, model, data channel or output stands for.
///
/// Its canonical text has one line per file, ended by a line feed, sorted by the bytes of the paths:
///
///     MODE SIZE SHA256 PATH
///
/// MODE is `644`, or `755` for an executable. SIZE is decimal. SHA256 is 64 lower-case hexadecimal digits. PATH is relative,
/// its components joined by `/`; each byte that is not in `!`...`~`, and `%` itself, is written as `%` and two upper-case
/// hexadecimal digits, and no other byte is. So a folder has exactly one text, and the SHA-256 of that text is the
/// folder's digest. Directories exist only through their files.
package struct Manifest: Equatable, Sendable {
    package struct File: Equatable, Sendable {
        /// Any bytes but NUL, unescaped.
        package var path: [UInt8]
        package var isExecutable: Bool
        package var sizeBytes: Int
        package var digest: Digest

        package init(path: [UInt8], isExecutable: Bool, sizeBytes: Int, digest: Digest) {
            self.path = path
            self.isExecutable = isExecutable
            self.sizeBytes = sizeBytes
            self.digest = digest
        }
    }

    /// Sorted by the bytes of their paths.
    package let files: [File]
    /// Of all files together.
    package let sizeBytes: Int

    package struct Limits: Equatable, Sendable {
        /// Default 20,000.
        package var filesMax = 20_000
        /// All files together. Default 100 GB.
        package var bytesMax = 100_000_000_000
        package init() {}
    }

    /// Of a path, in bytes.
    package static let pathLengthMax = 1024
    /// Of a component, in bytes; that of Linux.
    package static let componentLengthMax = 255
    /// Components of a path.
    package static let depthMax = 128

    /// Sorts `files` and checks their paths and the limits.
    package init(files: [File], limits: Limits = .init()) throws(ArtifactError) {
        for file in files { try Self.check(path: file.path) }
        try self.init(sorted: files.sorted { $0.path.lexicographicallyPrecedes($1.path) }, limits: limits)
    }

    private init(sorted files: [File], limits: Limits) throws(ArtifactError) {
        guard files.count <= limits.filesMax else { throw .tooManyFiles(limit: limits.filesMax) }
        var sum = 0
        for (index, file) in files.enumerated() {
            let (next, isOverflow) = sum.addingReportingOverflow(file.sizeBytes)
            guard !isOverflow, next <= limits.bytesMax else { throw .tooManyBytes(limit: limits.bytesMax) }
            sum = next
            if index > 0, files[index - 1].path == file.path {
                throw .badPath(path: file.path.displayText, .duplicate)
            }
            // A file that is also a directory has another path below it, which need not be the next one: `a-` sorts
            // between `a` and `a/b`.
            let below = file.path + [slash]
            var low = index + 1
            var high = files.count
            while low < high {
                let middle = (low + high) / 2
                if files[middle].path.lexicographicallyPrecedes(below) { low = middle + 1 } else { high = middle }
            }
            if low < files.count, files[low].path.starts(with: below) {
                throw .badPath(path: file.path.displayText, .fileAndDirectory)
            }
        }
        self.files = files
        sizeBytes = sum
    }

    /// Reads the canonical text, and nothing but the canonical text.
    package init(text: [UInt8], limits: Limits = .init()) throws(ArtifactError) {
        var files: [File] = []
        var start = 0
        while start < text.count {
            let line = files.count + 1
            guard files.count < limits.filesMax else { throw .tooManyFiles(limit: limits.filesMax) }
            guard let end = text[start...].firstIndex(of: lineFeed) else {
                throw .badManifest(line: line, reason: "does not end with a line feed")
            }
            let file = try Self.file(line: text[start..<end], number: line)
            if let last = files.last, !last.path.lexicographicallyPrecedes(file.path) {
                if last.path == file.path { throw .badPath(path: file.path.displayText, .duplicate) }
                throw .badManifest(line: line, reason: "is not in the order of the paths' bytes")
            }
            files.append(file)
            start = end + 1
        }
        try self.init(sorted: files, limits: limits)
    }

    /// The canonical text.
    package var text: [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(files.count * 128)
        for file in files {
            text += file.isExecutable ? executableMode : plainMode
            text.append(space)
            text += Array(String(file.sizeBytes).utf8)
            text.append(space)
            text += Array(file.digest.hex.utf8)
            text.append(space)
            for byte in file.path {
                if Self.isPlain(byte) {
                    text.append(byte)
                } else {
                    text += [percent, hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
                }
            }
            text.append(lineFeed)
        }
        return text
    }

    /// The folder's digest: SHA-256 of the canonical text. Computed at each use.
    package var digest: Digest { SHA256Hasher.digest(of: text) }

    private static func isPlain(_ byte: UInt8) -> Bool { (0x21...0x7E).contains(byte) && byte != percent }

    private static func file(line: ArraySlice<UInt8>, number: Int) throws(ArtifactError) -> File {
        func bad(_ reason: String) -> ArtifactError { .badManifest(line: number, reason: reason) }
        let fields = line.split(separator: space, omittingEmptySubsequences: false)
        guard fields.count == 4 else { throw bad("has not the four fields mode, size, digest, path") }
        let isExecutable: Bool
        switch Array(fields[0]) {
        case executableMode: isExecutable = true
        case plainMode: isExecutable = false
        default: throw bad("has a mode other than 644 and 755")
        }
        let size = String(decoding: fields[1], as: UTF8.self)
        guard let sizeBytes = Int(size), sizeBytes >= 0, String(sizeBytes) == size else {
            throw bad("has no decimal size")
        }
        guard fields[2].count == 64, let digest = Digest(String(decoding: fields[2], as: UTF8.self)) else {
            throw bad("has no SHA-256 of 64 lower-case hexadecimal digits")
        }
        var path: [UInt8] = []
        var escaped = fields[3]
        while let byte = escaped.popFirst() {
            if isPlain(byte) {
                path.append(byte)
                continue
            }
            guard byte == percent, let high = escaped.popFirst().flatMap(hexDigits.firstIndex(of:)),
                let low = escaped.popFirst().flatMap(hexDigits.firstIndex(of:)),
                !isPlain(UInt8(high << 4 | low))
            else { throw bad("has a path that is not escaped as it has to be") }
            path.append(UInt8(high << 4 | low))
        }
        try check(path: path)
        return File(path: path, isExecutable: isExecutable, sizeBytes: sizeBytes, digest: digest)
    }

    /// Throws unless `path` stays inside the folder it is relative to, within the limits.
    static func check(path: [UInt8]) throws(ArtifactError) {
        func bad(_ fault: ArtifactError.PathFault) -> ArtifactError { .badPath(path: path.displayText, fault) }
        guard let first = path.first else { throw bad(.empty) }
        guard first != slash else { throw bad(.absolute) }
        guard path.count <= pathLengthMax else { throw bad(.tooLong) }
        guard !path.contains(0) else { throw bad(.nulByte) }
        let components = path.split(separator: slash, omittingEmptySubsequences: false)
        guard components.count <= depthMax else { throw bad(.tooDeep) }
        for component in components {
            guard !component.isEmpty else { throw bad(.emptyComponent) }
            guard component != [dot], component != [dot, dot] else { throw bad(.dotComponent) }
            guard component.count <= componentLengthMax else { throw bad(.tooLong) }
        }
    }
}

private let lineFeed = UInt8(ascii: "\n")
private let space = UInt8(ascii: " ")
private let percent = UInt8(ascii: "%")
private let slash = UInt8(ascii: "/")
private let dot = UInt8(ascii: ".")
private let hexDigits = Array("0123456789ABCDEF".utf8)
private let plainMode = Array("644".utf8)
private let executableMode = Array("755".utf8)
