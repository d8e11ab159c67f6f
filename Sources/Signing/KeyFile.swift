internal import Domain
internal import Glibc
internal import JSON

/// The access keys of a host: `keys.json` in its data directory.
///
/// The file holds the secrets themselves, because a signature can be checked only with what made it; no hash of a secret
/// would do. So it is its owner's alone (mode 0600, from its creation on), and one that others can read is refused, as is
/// one that is damaged: neither is ever taken for a file without keys. Whoever can write the data directory administers
/// the host.
///
/// A change writes a new file beside it, syncs it and renames it, so a reader finds the old keys or the new ones. Changes
/// exclude each other by a lock on `keys.json.lock`, which, unlike `keys.json`, is never replaced. All functions here
/// block.
package enum KeyFile {
    package static let name = "keys.json"
    package static let keysMax = 1000
    private static let bytesMax = 8 << 20
    private static let lockSecondsMax = 10

    /// Tells one content from another without reading it.
    package struct Stamp: Hashable, Sendable {
        private let inode: UInt64
        private let sizeBytes: Int64
        private let modifiedSeconds: Int64
        private let modifiedNanoseconds: Int64

        /// Of the file at `path`; nil when there is none. Take it before `load`, and no change can be missed.
        package init?(of path: String) throws(KeyFileError) {
            var status = stat()
            guard unsafe lstat(path, &status) == 0 else {
                if errno == ENOENT { return nil }
                throw .io(path: path, operation: "stat", errno: errno)
            }
            inode = UInt64(status.st_ino)
            sizeBytes = Int64(status.st_size)
            modifiedSeconds = Int64(status.st_mtim.tv_sec)
            modifiedNanoseconds = Int64(status.st_mtim.tv_nsec)
        }
    }

    /// All keys, in the order in which they were added, expired ones too. None when there is no file.
    package static func load(_ path: String) throws(KeyFileError) -> [AccessKey] {
        guard let bytes = try contents(ofSecret: path, bytesMax: bytesMax) else { return [] }
        return try decode(bytes, path: path)
    }

    /// A file that is its owner's alone, whole; nil when there is none.
    static func contents(ofSecret path: String, bytesMax: Int) throws(KeyFileError) -> [UInt8]? {
        // Without O_NONBLOCK, opening a pipe would wait for its writer.
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        if file < 0, errno == ENOENT { return nil }
        guard file >= 0 else { throw .io(path: path, operation: "open", errno: errno) }
        defer { close(file) }
        var status = stat()
        guard unsafe fstat(file, &status) == 0 else { throw .io(path: path, operation: "stat", errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notAFile(path: path) }
        guard status.st_mode & 0o077 == 0 else { throw .tooOpen(path: path, mode: status.st_mode & 0o7777) }
        if status.st_uid != geteuid() {
            guard try status.st_uid == owner(ofFolder: folder(of: path)).user else {
                throw .foreignOwner(path: path, uid: status.st_uid)
            }
        }
        return try readAll(file, path, bytesMax: bytesMax)
    }

    package static func add(_ key: AccessKey, to path: String) throws(KeyFileError) {
        let lock = try Lock(path)
        var keys = try load(path)
        guard keys.count < keysMax else { throw .tooManyKeys(path: path, limit: keysMax) }
        guard !keys.contains(where: { $0.id == key.id }) else { throw .duplicateKey(path: path, id: key.id) }
        keys.append(key)
        try store(keys, path)
        lock.release()
    }

    /// The key that it was.
    @discardableResult
    package static func remove(_ id: String, from path: String) throws(KeyFileError) -> AccessKey {
        let lock = try Lock(path)
        var keys = try load(path)
        guard let index = keys.firstIndex(where: { $0.id == id }) else { throw .unknownKey(path: path, id: id) }
        let removed = keys.remove(at: index)
        try store(keys, path)
        lock.release()
        return removed
    }

    // MARK: - Files

    /// The right to change the keys, given back by `release` or when dropped.
    private struct Lock: ~Copyable {
        private let descriptor: Int32

        /// Waits for another process, but not for long: a change takes milliseconds.
        init(_ path: String) throws(KeyFileError) {
            let path = path + ".lock"
            let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else { throw .io(path: path, operation: "open", errno: errno) }
            var status: Int32 = -1
            for _ in 0..<(100 * lockSecondsMax) {
                status = flock(descriptor, LOCK_EX | LOCK_NB)
                guard status != 0, errno == EWOULDBLOCK || errno == EINTR else { break }
                usleep(10_000)
            }
            guard status == 0 else {
                let code = errno
                close(descriptor)
                throw code == EWOULDBLOCK || code == EINTR
                    ? .locked(path: path, seconds: lockSecondsMax) : .io(path: path, operation: "flock", errno: code)
            }
            do throws(KeyFileError) {
                try giveToOwner(ofFolder: folder(of: path), descriptor, path)
            } catch {
                close(descriptor)
                throw error
            }
            self.descriptor = descriptor
        }

        consuming func release() {}

        deinit { close(descriptor) }
    }

    /// The lock is held.
    private static func store(_ keys: [AccessKey], _ path: String) throws(KeyFileError) {
        let temporary = path + ".new"
        // Left by a process that died while it held the lock.
        if unsafe unlink(temporary) != 0, errno != ENOENT {
            throw .io(path: temporary, operation: "unlink", errno: errno)
        }
        let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw .io(path: temporary, operation: "open", errno: errno) }
        do throws(KeyFileError) {
            defer { close(file) }
            try giveToOwner(ofFolder: folder(of: path), file, temporary)
            try writeAll(encode(keys), to: file, temporary)
            guard fsync(file) == 0 else { throw .io(path: temporary, operation: "fsync", errno: errno) }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
        guard unsafe rename(temporary, path) == 0 else {
            let code = errno
            unsafe unlink(temporary)
            throw .io(path: path, operation: "rename", errno: code)
        }
        let directory = folder(of: path)
        let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .io(path: directory, operation: "open", errno: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .io(path: directory, operation: "fsync", errno: errno) }
    }

    /// What root makes in the folder of a host that runs as another user has to be that user's, or the host could not
    /// read it.
    private static func giveToOwner(
        ofFolder directory: String, _ descriptor: Int32, _ path: String
    ) throws(KeyFileError) {
        guard geteuid() == 0 else { return }
        let owner = try owner(ofFolder: directory)
        guard fchown(descriptor, owner.user, owner.group) == 0 else {
            throw .io(path: path, operation: "chown", errno: errno)
        }
    }

    private static func owner(ofFolder directory: String) throws(KeyFileError) -> (user: uid_t, group: gid_t) {
        var status = stat()
        guard unsafe stat(directory, &status) == 0 else { throw .io(path: directory, operation: "stat", errno: errno) }
        return (status.st_uid, status.st_gid)
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func readAll(_ file: Int32, _ path: String, bytesMax: Int) throws(KeyFileError) -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe read(file, &piece, piece.count)
            if count == 0 { return bytes }
            if count > 0 {
                bytes += piece[..<count]
                guard bytes.count <= bytesMax else { throw .tooLarge(path: path, bytesMax: bytesMax) }
            } else if errno != EINTR {
                throw .io(path: path, operation: "read", errno: errno)
            }
        }
    }

    private static func writeAll(_ bytes: [UInt8], to file: Int32, _ path: String) throws(KeyFileError) {
        var start = 0
        while start < bytes.count {
            let count = unsafe bytes[start...].withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
            if count >= 0 {
                start += count
            } else if errno != EINTR {
                throw .io(path: path, operation: "write", errno: errno)
            }
        }
    }

    // MARK: - JSON

    private static func encode(_ keys: [AccessKey]) -> [UInt8] {
        let values = keys.map { key in
            var object: JSONObject = [
                "id": .string(key.id), "secret": .string(key.secret), "description": .string(key.description),
                "createdAt": .string(key.createdAt.text),
                "functions": .array(key.functions.map { .string($0.text) }),
                "actions": .array(AccessKey.Action.allCases.filter(key.actions.contains).map { .string($0.rawValue) }),
            ]
            if let session = key.session {
                object["sessionToken"] = .string(session.token)
                object["expiresAt"] = .string(session.expiresAt.text)
            }
            return JSONValue.object(object)
        }
        return JSONValue.object(["keys": .array(values)]).encoded() + [0x0A]
    }

    private static func decode(_ bytes: [UInt8], path: String) throws(KeyFileError) -> [AccessKey] {
        let document: JSONValue
        do throws(JSONParseError) {
            document = try JSONValue.parse(bytes)
        } catch {
            throw .damaged(path: path, reason: "\(error)")
        }
        do throws(JSONReadError) {
            let reader = try JSONObjectReader(document)
            let members = try reader.required("keys", as: [JSONObject].self)
            try reader.refuseUnknown()
            guard members.count <= keysMax else {
                throw reader.notAllowed("keys", "must be at most \(keysMax), not \(members.count)")
            }
            var keys: [AccessKey] = []
            var ids: Set<String> = []
            for member in try reader.objects("keys") {
                let key = try readKey(member)
                guard ids.insert(key.id).inserted else { throw member.notAllowed("id", "is that of another key, too") }
                keys.append(key)
            }
            return keys
        } catch {
            throw .damaged(path: path, reason: "\(error)")
        }
    }

    private static func readKey(_ reader: JSONObjectReader) throws(JSONReadError) -> AccessKey {
        let id: String = try reader.required("id")
        guard isKeyID(id) else { throw reader.notAllowed("id", "must be 16 to 128 upper-case letters and digits") }
        let secret: String = try reader.required("secret")
        guard (16...256).contains(secret.utf8.count), isVisible(secret) else {
            throw reader.notAllowed("secret", "must be 16 to 256 visible ASCII characters")
        }
        let description: String = try reader.optional("description") ?? ""
        guard description.utf8.count <= AccessKey.descriptionBytesMax else {
            throw reader.notAllowed("description", "must have at most \(AccessKey.descriptionBytesMax) bytes")
        }
        let createdAt = try readTime("createdAt", reader)
        var patterns: [FunctionPattern] = []
        for text in try reader.required("functions", as: [String].self) {
            guard let pattern = FunctionPattern(text) else {
                throw reader.notAllowed("functions", "has '\(text)', which is no pattern of function names")
            }
            patterns.append(pattern)
        }
        guard (1...AccessKey.functionsMax).contains(patterns.count) else {
            throw reader.notAllowed("functions", "must be 1 to \(AccessKey.functionsMax) patterns")
        }
        var actions: Set<AccessKey.Action> = []
        for text in try reader.required("actions", as: [String].self) {
            guard let action = AccessKey.Action(rawValue: text) else {
                throw reader.notAllowed("actions", "has '\(text)'; allowed are 'invoke', 'manage' and 'train'")
            }
            actions.insert(action)
        }
        guard !actions.isEmpty else { throw reader.notAllowed("actions", "must not be empty") }
        let session = try readSession(reader)
        try reader.refuseUnknown()
        return AccessKey(
            id: id, secret: secret, description: description, createdAt: createdAt, session: session,
            functions: patterns, actions: actions)
    }

    private static func readSession(_ reader: JSONObjectReader) throws(JSONReadError) -> AccessKey.Session? {
        let token: String? = try reader.optional("sessionToken")
        guard let token else {
            guard !reader.has("expiresAt") else { throw reader.notAllowed("expiresAt", "needs a sessionToken") }
            return nil
        }
        guard (16...4096).contains(token.utf8.count), isVisible(token) else {
            throw reader.notAllowed("sessionToken", "must be 16 to 4096 visible ASCII characters")
        }
        return AccessKey.Session(token: token, expiresAt: try readTime("expiresAt", reader))
    }

    private static func readTime(_ key: String, _ reader: JSONObjectReader) throws(JSONReadError) -> Timestamp {
        guard let time = Timestamp(text: try reader.required(key, as: String.self)) else {
            throw reader.notAllowed(key, "must be a time such as 2026-11-23T12:00:00.000Z")
        }
        return time
    }

    private static func isKeyID(_ text: String) -> Bool {
        (16...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }
    }

    private static func isVisible(_ text: String) -> Bool { text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } }
}
