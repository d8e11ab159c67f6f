#if canImport(Glibc)
    internal import Glibc
#endif

/// Where the parts of Roost are that are not in this program.
struct Installation {
    /// `roost-launch`, beside this program.
    let launcher: String
    /// The folder with `python/`.
    let runtimes: String
    let bubblewrap: String?

    struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    init() throws(Missing) {
        var buffer = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        let program = String(decoding: buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let directory = program.split(separator: "/").dropLast().map { "/\($0)" }.joined()
        launcher = directory + "/roost-launch"
        guard access(launcher, X_OK) == 0 else {
            throw Missing(description: "there is no \(launcher), which starts workers; `make build` makes both")
        }
        // Installed below a prefix, or built in the project's own folder.
        let candidates = ["/../share/roost/runtime", "/../../../runtime", "/../../runtime"].map { directory + $0 }
        guard let found = candidates.first(where: { access($0 + "/python/bootstrap.py", R_OK) == 0 }) else {
            throw Missing(description: "there is no runtime/python near \(directory)")
        }
        runtimes = found
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        bubblewrap = path.split(separator: ":").map { "\($0)/bwrap" }.first { access($0, X_OK) == 0 }
    }

    /// Copies our runtimes to `directory`, readable by every worker, and returns its path.
    func copyRuntimes(to directory: String) throws(Missing) -> String {
        let target = directory + "/python"
        for path in [directory, target] where mkdir(path, 0o755) != 0 && errno != EEXIST {
            throw Missing(description: "mkdir \(path): \(String(cString: strerror(errno)))")
        }
        guard let folder = opendir(runtimes + "/python") else {
            throw Missing(description: "\(runtimes)/python: \(String(cString: strerror(errno)))")
        }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".py") { try copy("\(runtimes)/python/\(name)", to: "\(target)/\(name)") }
        }
        return directory
    }

    private func copy(_ source: String, to target: String) throws(Missing) {
        let input = open(source, O_RDONLY | O_CLOEXEC)
        unlink(target)
        let output = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        defer {
            close(input)
            close(output)
        }
        var status = stat()
        guard input >= 0, output >= 0, fstat(input, &status) == 0,
            sendfile(output, input, nil, Int(status.st_size)) == Int(status.st_size)
        else { throw Missing(description: "copy of \(source): \(String(cString: strerror(errno)))") }
    }
}
