import Domain
import Foundation
import GRDB
import Testing

@testable import Registry

@Suite struct DurabilityTests {
    let directory = TemporaryDirectory()

    @Test("the open writer flushes every transaction and enforces references")
    func settings() throws {
        let registry = try Registry(directory: directory.path)
        #expect(try registry.writerSetting("synchronous") == 2)
        #expect(try registry.writerSetting("foreign_keys") == 1)
        #expect(try registry.writerSetting("wal_autocheckpoint") == 0)
        registry.close()
    }

    @Test("commits that arrive together share transactions")
    func groups() async throws {
        let registry = try Registry(directory: directory.path)
        let count = 2000
        await withTaskGroup { group in
            for index in 0..<count {
                group.addTask {
                    await #expect(throws: Never.self) {
                        try await registry.commit([.addExecution(execution("e\(index)"))])
                    }
                }
            }
        }
        let statistics = registry.statistics
        #expect(statistics.commits == count)
        #expect(statistics.transactions < count / 2)
        #expect(try await registry.liveExecutions().count == count)
        registry.close()
    }

    @Test("a commit that fails in a group harms no other")
    func failureInGroup() async throws {
        let registry = try Registry(directory: directory.path)
        try await registry.commit([.addExecution(execution("taken"))])
        let before = registry.statistics.transactions
        let failures = await withTaskGroup { group in
            for index in 0..<600 {
                group.addTask {
                    var changes: [Change] = [.addExecution(execution("e\(index)"))]
                    if index % 3 == 0 { changes.append(.addExecution(execution("x\(index)", name: "taken"))) }
                    do throws(RegistryError) {
                        try await registry.commit(changes)
                        return 0
                    } catch {
                        #expect(error == .conflict(.executionName(Function.ID(1), ExecutionName("taken")!)))
                        return 1
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(failures == 200)
        #expect(registry.statistics.transactions - before < 300)
        let live = Set(try await registry.liveExecutions().map(\.id.text))
        #expect(live == Set((0..<600).filter { $0 % 3 != 0 }.map { "e\($0)" } + ["taken"]))
        registry.close()
    }

    @Test("what was acknowledged is in the files at that moment, without an orderly end")
    func abruptEnd() async throws {
        let registry = try Registry(directory: directory.path)
        try await registry.commit([.putFunction(function(1, "echo")), .addExecution(execution("e1"))])
        // The file and its log as a killed process would leave them; the shared memory is rebuilt.
        let copy = TemporaryDirectory()
        for name in ["registry.sqlite", "registry.sqlite-wal"] {
            try FileManager.default.copyItem(atPath: "\(directory.path)/\(name)", toPath: "\(copy.path)/\(name)")
        }
        let recovered = try Registry(directory: copy.path)
        #expect(try await recovered.load().functions.map(\.function) == [function(1, "echo")])
        #expect(try await recovered.liveExecutions().map(\.id.text) == ["e1"])
        recovered.close()
        registry.close()
    }

    @Test("the log is checkpointed, and does not grow for ever under steady writing")
    func checkpoints() async throws {
        let registry = try Registry(directory: directory.path)
        let large = [UInt8](repeating: 0x61, count: 256 << 10)
        for index in 0..<300 {
            try await registry.commit([.addExecution(execution("e\(index)", input: large))])
        }
        #expect(registry.statistics.checkpoints > 0)
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + "/registry.sqlite-wal")
        #expect(try #require(attributes[.size] as? Int) < 160 << 20)
        registry.close()
    }

    @Test("after close everything is refused, and what was committed before is stored")
    func close() async throws {
        let registry = try Registry(directory: directory.path)
        let results = await withTaskGroup { group in
            for index in 0..<200 {
                group.addTask { (try? await registry.commit([.addExecution(execution("e\(index)"))])) != nil }
            }
            group.addTask {
                registry.close()
                return false
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        await #expect(throws: RegistryError.closed) { try await registry.commit([]) }
        await #expect(throws: RegistryError.closed) { try await registry.load() }
        registry.close()
        let reopened = try Registry(directory: directory.path)
        #expect(try await reopened.liveExecutions().count == results)
        reopened.close()
        let log = try? FileManager.default.attributesOfItem(atPath: directory.path + "/registry.sqlite-wal")[.size]
        #expect((log as? Int ?? 0) == 0)
    }

    @Test("a database that a newer Roost wrote is refused and left as it is")
    func newer() throws {
        try Registry(directory: directory.path).close()
        let path = directory.path + "/registry.sqlite"
        let queue = try DatabaseQueue(path: path)
        try queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99')") }
        try queue.close()
        #expect(throws: RegistryError.newerDatabase(path: path, unknown: ["99"])) {
            try Registry(directory: directory.path)
        }
    }

    @Test("a file that is no database is refused as corrupt")
    func notADatabase() throws {
        let garbage = Data(repeating: 0x41, count: 8192)
        try garbage.write(to: URL(fileURLWithPath: directory.path + "/registry.sqlite"))
        do throws(RegistryError) {
            _ = try Registry(directory: directory.path)
            Issue.record("opened")
        } catch {
            guard case .corrupt = error else {
                Issue.record("\(error)")
                return
            }
        }
    }

    @Test("the database is not readable for others")
    func mode() throws {
        try Registry(directory: directory.path).close()
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + "/registry.sqlite")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test("a database without room fails every commit of the group, and works again when there is room")
    func diskFull() async throws {
        let registry = try Registry(directory: directory.path)
        try await registry.commit([.addExecution(execution("e1"))])
        let pages = try #require(try registry.writerSetting("page_count"))
        _ = try registry.writerSetting("max_page_count = \(pages + 2)")
        let large = execution("large", input: [UInt8](repeating: 0x61, count: 1 << 20))
        do throws(RegistryError) {
            try await registry.commit([.addExecution(large)])
            Issue.record("stored")
        } catch {
            guard case .diskFull = error else {
                Issue.record("\(error)")
                return
            }
        }
        _ = try registry.writerSetting("max_page_count = 1000000")
        try await registry.commit([.addExecution(large)])
        #expect(try await registry.liveExecutions().count == 2)
        registry.close()
    }
}

@Suite struct DataDirectoryLockTests {
    let directory = TemporaryDirectory()

    @Test("a lock that is held refuses the second holder and names the first")
    func secondHolder() throws {
        var lock: DataDirectoryLock? = try DataDirectoryLock(directory: directory.path + "/data")
        #expect(throws: RegistryError.dataDirectoryInUse(path: directory.path + "/data", pid: getpid())) {
            try DataDirectoryLock(directory: directory.path + "/data")
        }
        withExtendedLifetime(lock) {}
        lock = nil
        _ = try DataDirectoryLock(directory: directory.path + "/data")
    }

    @Test("another process's lock refuses us while it lives, and is free as soon as it is killed")
    func otherProcess() throws {
        let other = Process()
        other.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        other.arguments = [
            "-c",
            """
            import fcntl, os, signal, sys
            lock = open(sys.argv[1] + "/lock", "w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{os.getpid()}\\n"); lock.flush()
            print("held", flush=True)
            signal.pause()
            """, directory.path,
        ]
        let output = Pipe()
        other.standardOutput = output
        try other.run()
        _ = output.fileHandleForReading.availableData
        #expect(throws: RegistryError.dataDirectoryInUse(path: directory.path, pid: other.processIdentifier)) {
            try DataDirectoryLock(directory: directory.path)
        }
        kill(other.processIdentifier, SIGKILL)
        other.waitUntilExit()
        _ = try DataDirectoryLock(directory: directory.path)
    }

    @Test("a child process does not inherit the lock")
    func notInherited() throws {
        let lock = try DataDirectoryLock(directory: directory.path)
        // Not by Foundation, which closes descriptors itself.
        var child: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("60"), nil]
        #expect(posix_spawn(&child, "/bin/sleep", nil, nil, &arguments, nil) == 0)
        arguments.forEach { free($0) }
        // posix_spawn returns after the child's exec.
        let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(child)/fd")
        let files = descriptors.map {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(child)/fd/\($0)")
        }
        #expect(!files.contains(directory.path + "/lock"))
        withExtendedLifetime(lock) {}
        kill(child, SIGKILL)
        waitpid(child, nil, 0)
    }
}
