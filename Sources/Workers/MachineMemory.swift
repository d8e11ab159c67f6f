#if canImport(Glibc)
    internal import Glibc
#endif

/// How much memory there is for this process, and where the kernel tells that it is short. Blocking; read at start.
package struct MachineMemory: Sendable {
    /// The machine's, or what a cgroup leaves of it: the lowest limit of this process's own and of all above.
    package let megabytes: Int
    /// Those that are there of the machine's file and of the own cgroup's.
    package let pressureFiles: [String]

    /// - Parameters:
    ///   - root: what stands before `/proc` and all that mounts name, for tests.
    ///   - machineMegabytes: without limits.
    package init(root: String = "", machineMegabytes: Int = Self.physicalMegabytes) {
        var limit = machineMegabytes
        var pressure = ["\(root)/proc/pressure/memory"]
        for group in Self.groups(root: root) {
            var path = group.path
            if group.isUnified { pressure.append("\(root)\(group.mount)\(path)/memory.pressure") }
            while true {
                let file = "\(root)\(group.mount)\(path)/" + (group.isUnified ? "memory.max" : "memory.limit_in_bytes")
                // `max` is no number; the older form of it is larger than any machine.
                if let text = Self.text(file), let bytes = Int(text.prefix { $0 != "\n" }) {
                    limit = min(limit, bytes >> 20)
                }
                guard let slash = path.lastIndex(of: "/") else { break }
                path = String(path[..<slash])
            }
        }
        megabytes = limit
        pressureFiles = pressure.filter { access($0, R_OK) == 0 }
    }

    package static var physicalMegabytes: Int {
        sysconf(Int32(_SC_PHYS_PAGES)) * (sysconf(Int32(_SC_PAGESIZE)) / 1024) / 1024
    }

    /// A hierarchy of cgroups that may limit memory, and this process's place in it.
    private struct Group {
        var isUnified: Bool
        /// Where it is mounted.
        var mount: String
        /// Below that; empty for the top, else with a slash before each part.
        var path: String
    }

    private static func groups(root: String) -> [Group] {
        var places: (unified: String?, memory: String?)
        for line in (text("\(root)/proc/self/cgroup") ?? "").split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            if fields[0] == "0", fields[1].isEmpty { places.unified = String(fields[2]) }
            if fields[1].split(separator: ",").contains("memory") { places.memory = String(fields[2]) }
        }
        var groups: [Group] = []
        for line in (text("\(root)/proc/self/mountinfo") ?? "").split(separator: "\n") {
            // Number, parent, device, root in the hierarchy, mount point, options, ..., -, type, source, options.
            let fields = line.split(separator: " ")
            guard fields.count > 5, let dash = fields.firstIndex(of: "-"), fields.count > dash + 3 else { continue }
            let isUnified = fields[dash + 1] == "cgroup2"
            let isMemory = fields[dash + 1] == "cgroup" && fields[dash + 3].split(separator: ",").contains("memory")
            guard isUnified || isMemory, let place = isUnified ? places.unified : places.memory else { continue }
            let mounted = fields[3] == "/" ? "" : String(fields[3])
            // In a container the mount may show a part only, whose top is then what is known of the place.
            let isBelow = place.hasPrefix(mounted + "/")
            let path = isBelow ? String(place.dropFirst(mounted.count)) : ""
            groups.append(Group(isUnified: isUnified, mount: String(fields[4]), path: path == "/" ? "" : path))
        }
        return groups
    }

    /// Up to 64 KiB of a file; `nil` when it cannot be read.
    package static func text(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 65536 {
            let count = read(file, &piece, piece.count)
            guard count > 0 else { return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes += piece[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
