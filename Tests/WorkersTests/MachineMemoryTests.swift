import Foundation
import Testing
import Workers

struct MachineMemoryTests {
    /// What is found below a root with these files.
    private static func memory(_ files: [String: String]) throws -> (megabytes: Int, pressure: [String]) {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: root) }
        for (path, text) in files {
            let file = root.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        let memory = MachineMemory(root: root.path, machineMegabytes: 8000)
        return (memory.megabytes, memory.pressureFiles.map { String($0.dropFirst(root.path.count)) })
    }

    private static let unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"

    @Test("without cgroups it is the machine's")
    func machine() throws {
        let found = try Self.memory(["proc/pressure/memory": ""])
        #expect(found == (8000, ["/proc/pressure/memory"]))
    }

    @Test(
        "the lowest limit of the own group and of those above counts",
        arguments: [
            ("max", "max", "max", 8000), ("1048576000", "max", "max", 1000), ("max", "1048576000", "max", 1000),
            ("1048576000", "max", "524288000", 500), ("9999999999999", "max", "max", 8000),
        ])
    func unified(own: String, parent: String, top: String, expected: Int) throws {
        let found = try Self.memory([
            "proc/self/cgroup": "0::/a.slice/b.service\n", "proc/self/mountinfo": Self.unified,
            "sys/fs/cgroup/a.slice/b.service/memory.max": own + "\n",
            "sys/fs/cgroup/a.slice/b.service/memory.pressure": "",
            "sys/fs/cgroup/a.slice/memory.max": parent + "\n", "sys/fs/cgroup/memory.max": top + "\n",
        ])
        #expect(found == (expected, ["/sys/fs/cgroup/a.slice/b.service/memory.pressure"]))
    }

    @Test("of the older form the group of the memory controller counts, and a huge limit is none")
    func older() throws {
        let files = [
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n",
            "proc/self/mountinfo": """
            30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
            31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct

            """,
            "sys/fs/cgroup/cpu/x/memory.limit_in_bytes": "1",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2097152000\n",
            "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
        ]
        #expect(try Self.memory(files) == (2000, []))
    }

    @Test("a container that sees a part of the hierarchy finds its group at the top of the mount")
    func container() throws {
        let files = [
            "proc/self/cgroup": "4:memory:/docker/123\n",
            "proc/self/mountinfo": "30 24 0:26 /docker/123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "314572800\n",
        ]
        #expect(try Self.memory(files) == (300, []))
    }

    @Test("the kernel's file is read, and anything else is not taken for it")
    func parsing() {
        let text = """
            some avg10=1.53 avg60=0.87 avg300=0.10 total=1234
            full avg10=0.22 avg60=0.13 avg300=0.00 total=567

            """
        #expect(MemoryPressure(parsing: text) == MemoryPressure(some: 1.53, full: 0.22))
        for other in [
            "", "some avg10=1.53 avg60=0.87", "some\nfull", "some avg10=x\nfull avg10=0.00", "some avg10=nan",
        ] {
            #expect(MemoryPressure(parsing: other) == nil, "\(other)")
        }
    }
}
