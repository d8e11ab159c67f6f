#if canImport(Glibc)
    internal import Glibc
#endif

/// The processes of this machine at one time, and what trees of them take. Blocking: for the thread pool.
///
/// One pass over `/proc` finds the trees, however many are asked for; only the processes of those are looked at closer.
struct ProcessMemoryTable {
    private var children: [Int: [Int]] = [:]
    /// Processes by the leader of their session, without the leaders.
    private var sessions: [Int: [Int]] = [:]
    private var buffer = [UInt8](repeating: 0, count: 4096)

    init() {
        for name in ScratchDirectory.names(in: "/proc") {
            guard let process = Int(name), let (parent, session) = origin(of: process) else { continue }
            children[parent, default: []].append(process)
            if session != process { sessions[session, default: []].append(process) }
        }
    }

    /// What a process takes with all its descendants and all of its session, in MB, rounded up: without bubblewrap, a
    /// process whose parent has ended belongs to its worker by its session only. `nil` when nothing can be read.
    ///
    /// Pages that several processes share count in part for each of them (PSS); where the kernel does not tell that,
    /// in full (RSS).
    mutating func megabytes(of root: Int) -> Int? {
        var kilobytes = 0
        var seen: Set<Int> = []
        var next = [root] + (sessions[root] ?? [])
        while let process = next.popLast() {
            guard seen.insert(process).inserted else { continue }
            kilobytes += proportionalKilobytes(process) ?? residentKilobytes(process) ?? 0
            next += children[process] ?? []
        }
        return kilobytes > 0 ? (kilobytes + 1023) / 1024 : nil
    }

    private mutating func origin(of process: Int) -> (parent: Int, session: Int)? {
        guard let text = contents("/proc/\(process)/stat"), let end = text.lastIndex(of: UInt8(ascii: ")")) else {
            return nil
        }
        // State, parent, process group, session. A name before them may hold anything.
        let fields = text[(end + 1)...].split(separator: UInt8(ascii: " "), maxSplits: 4)
        guard fields.count > 3, let parent = Self.number(fields[1]), let session = Self.number(fields[3]) else {
            return nil
        }
        return (parent, session)
    }

    private mutating func proportionalKilobytes(_ process: Int) -> Int? {
        guard let text = contents("/proc/\(process)/smaps_rollup") else { return nil }
        guard let line = text.split(separator: UInt8(ascii: "\n")).first(where: { $0.starts(with: "Pss:".utf8) })
        else { return nil }
        return Self.number(line.dropFirst(4))
    }

    private mutating func residentKilobytes(_ process: Int) -> Int? {
        guard let text = contents("/proc/\(process)/statm") else { return nil }
        let fields = text.split(separator: UInt8(ascii: " "))
        return fields.count > 1 ? Self.number(fields[1]).map { $0 * (sysconf(Int32(_SC_PAGESIZE)) / 1024) } : nil
    }

    /// Up to 4096 bytes of a file; `nil` when there are none, as of a process that has ended.
    private mutating func contents(_ path: String) -> ArraySlice<UInt8>? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        let count = read(file, &buffer, buffer.count)
        return count > 0 ? buffer[..<count] : nil
    }

    /// The first digits.
    private static func number(_ text: ArraySlice<UInt8>) -> Int? {
        let digits = text.drop { $0 == UInt8(ascii: " ") }.prefix {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        }
        return Int(String(decoding: digits, as: UTF8.self))
    }
}
