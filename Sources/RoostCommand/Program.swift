@preconcurrency import Glibc

/// Programs that a verb runs and waits for: the Swift toolchain, `strip`, `bwrap`.
enum Program {
    struct Outcome {
        /// The exit status; 128 + N when signal N ended it.
        var status: Int32
        var output: [UInt8]
        var errors: [UInt8]
    }

    /// The first executable file of that name in `$PATH`.
    static func find(_ name: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Runs a program to its end with no standard input. Nothing that it prints is shown.
    static func run(_ executable: String, _ arguments: [String]) throws(CommandError) -> Outcome {
        // Files, not pipes: a chatty program cannot block, and nothing has to read while it runs.
        let directory = try TemporaryDirectory()
        let outputPath = directory.path + "/output"
        let errorsPath = directory.path + "/errors"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errorsPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var arguments: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        let spawned = posix_spawn(&process, executable, &actions, nil, &arguments, environ)
        guard spawned == 0 else { throw .io(path: executable, operation: "start", errno: spawned) }
        var wait: Int32 = 0
        while waitpid(process, &wait, 0) < 0 {
            guard errno == EINTR else { throw .io(path: executable, operation: "wait for", errno: errno) }
        }
        let signal = wait & 0x7F
        return Outcome(
            status: signal == 0 ? (wait >> 8) & 0xFF : 128 + signal, output: try readFile(outputPath),
            errors: try readFile(errorsPath))
    }
}

/// A directory that goes away with its owner.
final class TemporaryDirectory {
    let path: String

    init() throws(CommandError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array((parent + "/roost-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw .io(path: parent, operation: "make a directory in", errno: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// It holds plain files only.
    deinit {
        for name in (try? directoryEntries(path)) ?? [] { unlink(path + "/" + name) }
        rmdir(path)
    }
}

/// The names in a directory, less `.` and `..`, sorted by their bytes.
func directoryEntries(_ path: String) throws(CommandError) -> [String] {
    guard let directory = opendir(path) else { throw .io(path: path, operation: "open", errno: errno) }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
        errno = 0
        guard let entry = readdir(directory) else {
            if errno != 0 { throw .io(path: path, operation: "read", errno: errno) }
            return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
            String(validating: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard let name else { throw .folder(path: path, reason: "there is a file whose name is not UTF-8") }
        if name != ".", name != ".." { names.append(name) }
    }
}
