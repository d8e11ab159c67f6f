#if canImport(Glibc)
    internal import Glibc
#endif

/// How workers are kept apart from the machine and from each other.
package enum SandboxMode: Equatable, Sendable {
    /// Every worker runs under bubblewrap; `executable` is its path.
    case bubblewrap(executable: String)
    /// Workers are plain processes of an unprivileged user. They can see each other.
    case none
}

/// The directories a worker gets, as paths of this machine.
struct WorkerDirectories: Sendable {
    var package: String
    var model: String?
    var channels: [(name: String, path: String)] = []
    var checkpoint: String?
    var output: String?
    /// Where the script of a training finds the others once more, as the worker sees it; `nil` for all else, and without a
    /// sandbox.
    var ml: String?
}

/// Where things are for a worker, and bubblewrap's arguments that put them there. runtime/PROTOCOL.md, section 10.
struct SandboxLayout {
    var isHostRoot: Bool
    var isNetworkAllowed: Bool
    /// `roost-launch` on this machine.
    var launcher: String
    /// Our runtimes on this machine, the folder with `python/`.
    var runtimes: String
    var directories: WorkerDirectories
    /// Of `/tmp`, `/dev/shm` and a script's `/opt/ml` each.
    var temporaryBytesMax: Int

    static let launcherPath = "/opt/roost/roost-launch"
    static let mlPath = "/opt/ml"

    /// As the worker sees them.
    static func inside(_ outside: WorkerDirectories) -> WorkerDirectories {
        WorkerDirectories(
            package: "/var/task", model: outside.model.map { _ in "/opt/model" },
            channels: outside.channels.map { ($0.name, "/opt/channels/\($0.name)") },
            checkpoint: outside.checkpoint.map { _ in "/opt/checkpoint" },
            output: outside.output.map { _ in "/opt/output" }, ml: outside.ml)
    }

    /// All of bubblewrap's arguments before the `--`, in the order that PROTOCOL.md gives.
    var bubblewrapArguments: [String] {
        var arguments = ["--die-with-parent", "--new-session"]
        arguments += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "roost"]
        if isHostRoot {
            // Real root binds sources below closed directories; the launcher changes the user and drops all of these.
            arguments += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
            arguments += ["--cap-add", "CAP_SYS_ADMIN"]
        } else {
            arguments += ["--unshare-user", "--disable-userns"]
        }
        if !isNetworkAllowed { arguments.append("--unshare-net") }
        for directory in Self.parents { arguments += ["--dir", directory] }
        arguments += ["--ro-bind", "/usr", "/usr"]
        for directory in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
            if let target = Self.linkTarget(directory) {
                arguments += ["--symlink", target, directory]
            } else {
                arguments += ["--ro-bind-try", directory, directory]
            }
        }
        for name in Self.systemSettings + (isNetworkAllowed ? ["hosts", "resolv.conf"] : []) {
            arguments += ["--ro-bind-try", "/etc/\(name)", "/etc/\(name)"]
        }
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        for directory in ["/dev/shm", "/tmp"] { arguments += temporary(directory) }
        arguments += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
        arguments += ["--ro-bind", launcher, Self.launcherPath]
        arguments += ["--ro-bind", runtimes + "/python", "/opt/roost/python"]
        let inside = Self.inside(directories)
        arguments += ["--ro-bind", directories.package, inside.package]
        if let model = directories.model { arguments += ["--ro-bind", model, inside.model!] }
        for (channel, place) in zip(directories.channels, inside.channels) {
            arguments += ["--ro-bind", channel.path, place.path]
        }
        if let checkpoint = directories.checkpoint { arguments += ["--bind", checkpoint, inside.checkpoint!] }
        if let output = directories.output { arguments += ["--bind", output, inside.output!] }
        if let ml = directories.ml { arguments += scriptArguments(ml) }
        return arguments + ["--remount-ro", "/", "--chdir", "/"]
    }

    /// The folders of a training where SageMaker's containers have them. The base's model is the channel `model`, unless
    /// one has that name.
    private func scriptArguments(_ ml: String) -> [String] {
        var arguments = temporary(ml)
        for directory in ["input", "input/data"] { arguments += ["--dir", "\(ml)/\(directory)"] }
        for directory in ["input/config", "output", "output/data"] {
            arguments += ["--perms", "1777", "--dir", "\(ml)/\(directory)"]
        }
        for channel in directories.channels {
            arguments += ["--ro-bind", channel.path, "\(ml)/input/data/\(channel.name)"]
        }
        if let model = directories.model, !directories.channels.contains(where: { $0.name.uppercased() == "MODEL" }) {
            arguments += ["--ro-bind", model, "\(ml)/input/data/model"]
        }
        if let checkpoint = directories.checkpoint { arguments += ["--bind", checkpoint, "\(ml)/checkpoints"] }
        if let output = directories.output { arguments += ["--bind", output, "\(ml)/model"] }
        return arguments
    }

    private func temporary(_ directory: String) -> [String] {
        ["--perms", "1777", "--size", String(temporaryBytesMax), "--tmpfs", directory]
    }

    /// Parents that bubblewrap would make itself are closed to all but root.
    private static let parents = [
        "/etc", "/opt", "/opt/roost", "/opt/channels", "/var", "/sys", "/sys/devices", "/sys/devices/system",
    ]

    /// What libraries read below `/etc`, and no secret.
    private static let systemSettings = [
        "alternatives", "ca-certificates", "fonts", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
        "magic", "mime.types", "nsswitch.conf", "passwd", "protocols", "python3", "python3.11", "python3.12",
        "python3.13", "services", "ssl", "OpenCL", "vulkan",
    ]

    private static func linkTarget(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let length = readlink(path, &buffer, buffer.count)
        return length > 0 ? String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }
}
