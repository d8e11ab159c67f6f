import Domain
import Foundation
import Loop
import Synchronization
import TestSupport
import Testing

@Suite("Loop")
struct LoopTests {
    @Test("a timer fires once, not before its time")
    func timer() async throws {
        let waited = Mutex<Interval?>(nil)
        try await withLoop { loop in
            let start = loop.now
            var timer: LoopTimer?
            timer = LoopTimer(loop: loop) {
                waited.withLock { $0 = loop.now - start }
                timer?.close()
                loop.stop()
            }
            timer?.start(after: .milliseconds(20))
        }
        let interval = try #require(waited.withLock { $0 })
        #expect(interval >= .milliseconds(20))
    }

    @Test("a spawned task runs on the loop, also after awaiting the thread pool")
    func spawn() async throws {
        let answer = Mutex(0)
        try await withLoop { loop in
            loop.spawn {
                loop.checkIsolated()
                let sum = try? await loop.offload { (1...10).reduce(0, +) }
                loop.checkIsolated()
                answer.withLock { $0 = sum ?? -1 }
                loop.stop()
            }
        }
        #expect(answer.withLock { $0 } == 55)
    }

    @Test("what is written to one end of a socketpair is read at the other, however large")
    func socketPair() async throws {
        let received = Mutex(0)
        let size = 5_000_000
        try await withLoop { loop in
            let (left, right) = try Descriptor.socketPair()
            let writer = try Stream(loop: loop, pipeDescriptor: left)
            let reader = try Stream(loop: loop, pipeDescriptor: right)
            reader.onRead = { bytes in received.withLock { $0 += bytes.count } }
            reader.onEnd = { error in
                #expect(error == nil)
                reader.close()
                loop.stop()
            }
            try reader.startReading()
            let bytes = [UInt8](repeating: 7, count: size)
            try bytes.withUnsafeBytes { bytes in
                let taken = try writer.tryWrite(bytes)
                writer.write(UnsafeRawBufferPointer(rebasing: bytes[taken...])) { error in
                    #expect(error == nil)
                    writer.close()
                }
            }
        }
        #expect(received.withLock { $0 } == size)
    }

    @Test("a child process gets its descriptors, and its exit is reported", arguments: [0, 3])
    func child(code: Int) async throws {
        let output = Mutex("")
        let exit = Mutex<ChildProcess.Exit?>(nil)
        try await withLoop { loop in
            let (ours, childs) = try Descriptor.pipe()
            let reader = try Stream(loop: loop, pipeDescriptor: ours)
            reader.onRead = { bytes in output.withLock { $0 += String(decoding: bytes, as: UTF8.self) } }
            var child: ChildProcess?
            reader.onEnd = { _ in
                reader.close()
                if child == nil { loop.stop() }
            }
            try reader.startReading()
            child = try ChildProcess(
                loop: loop,
                start: .init(
                    executable: "/bin/sh", arguments: ["-c", "echo $GREETING; exit \(code)"],
                    environment: ["GREETING=hello"], descriptors: [nil, childs, nil])
            ) { status in
                exit.withLock { $0 = status }
                child?.close()
                child = nil
                if reader.isClosed { loop.stop() }
            }
            Descriptor.close(childs)
        }
        #expect(output.withLock { $0 } == "hello\n")
        #expect(exit.withLock { $0 } == .code(code))
    }

    @Test("an executable that does not exist is an error with its name")
    func childMissing() async throws {
        try await withLoop { loop in
            let start = ChildProcess.Start(
                executable: "/nowhere/nothing", arguments: [], environment: [], descriptors: [nil, nil, nil])
            #expect(throws: UVError.self) { try ChildProcess(loop: loop, start: start) { _ in } }
            loop.stop()
        }
    }

    @Test("a listener on port 0 says its port, and a port in use is an error")
    func listener() async throws {
        try await withLoop { loop in
            let first = try Listener(loop: loop, host: "127.0.0.1", port: 0)
            #expect(first.port > 0)
            let error = #expect(throws: UVError.self) {
                try Listener(loop: loop, host: "127.0.0.1", port: first.port)
            }
            #expect(error?.isAddressInUse == true)
            first.close()
            loop.stop()
        }
    }

    @Test("a Unix listener accepts, and its file goes away with it")
    func unixListener() async throws {
        let received = Mutex("")
        let path = "/tmp/roost-loop-\(UniqueID.random())"
        try await withLoop { loop in
            let listener = try Listener(loop: loop, path: path)
            listener.start { stream in
                stream.onRead = { bytes in received.withLock { $0 += String(decoding: bytes, as: UTF8.self) } }
                stream.onEnd = { _ in
                    stream.close()
                    listener.close()
                    loop.stop()
                }
                try? stream.startReading()
            }
            loop.spawn {
                try? await loop.offload {
                    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
                    var address = sockaddr_un()
                    address.sun_family = sa_family_t(AF_UNIX)
                    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
                    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
                    let connected = withUnsafePointer(to: &address) {
                        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
                    }
                    if connected == 0 { _ = write(descriptor, "hello", 5) }
                    close(descriptor)
                }
            }
        }
        #expect(received.withLock { $0 } == "hello")
        #expect(access(path, F_OK) != 0)
    }

    @Test("a socket that is polled tells what it is ready for, and nothing more once it is closed")
    func socketPoll() async throws {
        let seen = Mutex<[SocketPoll.Events]>([])
        try await withLoop { loop in
            let (ours, theirs) = try Descriptor.socketPair()
            var poll: SocketPoll?
            poll = try SocketPoll(loop: loop, socket: ours) { events in
                seen.withLock { $0.append(events) }
                if events == .writable {
                    #expect(write(theirs, "x", 1) == 1)
                    try? poll?.start(.readable)
                } else {
                    // It is still readable, but nobody is told.
                    poll?.close {
                        Descriptor.close(ours)
                        Descriptor.close(theirs)
                        loop.stop()
                    }
                    poll = nil
                }
            }
            #expect(poll?.awaited == [])
            try poll?.start(.writable)
            #expect(poll?.awaited == .writable)
            #expect(throws: UVError.self) { try SocketPoll(loop: loop, socket: ours) { _ in } }
        }
        #expect(seen.withLock { $0 } == [.writable, .readable])
    }

    @Test("a socket that fails is reported once, and again when polling is started again")
    func socketPollFailure() async throws {
        let seen = Mutex<[SocketPoll.Events]>([])
        try await withLoop { loop in
            // A pipe that nobody reads from.
            let (reading, writing) = try Descriptor.pipe()
            Descriptor.close(reading)
            var poll: SocketPoll?
            poll = try SocketPoll(loop: loop, socket: writing) { events in
                seen.withLock { $0.append(events) }
                if seen.withLock({ $0.count }) == 1 {
                    #expect(poll?.awaited == .readable)
                    try? poll?.start(.readable)
                    return
                }
                poll?.close {
                    Descriptor.close(writing)
                    loop.stop()
                }
                poll = nil
            }
            try poll?.start(.readable)
        }
        #expect(seen.withLock { $0 } == [.failed, .failed])
    }

    @Test("another thread wakes the loop, and requests that nobody has seen yet are one")
    func wakeup() async throws {
        let calls = Mutex(0)
        try await withLoop { loop in
            let wakeup = try LoopWakeup(loop: loop)
            wakeup.onWake = {
                loop.checkIsolated()
                calls.withLock { $0 += 1 }
                wakeup.close()
                loop.stop()
            }
            let sent = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                for _ in 1...3 { wakeup.send() }
                sent.signal()
            }
            sent.wait()
        }
        #expect(calls.withLock { $0 } == 1)
    }

    @Test("the watchdog names a callback that held the loop")
    func watchdog() async throws {
        let blocked = Mutex<String?>(nil)
        try await withLoop { loop in
            loop.watch(limit: .milliseconds(1)) { name, _ in blocked.withLock { $0 = "\(name)" } }
            var timer: LoopTimer?
            timer = LoopTimer(loop: loop) {
                let start = loop.now
                while loop.now - start < .milliseconds(2) {}
                timer?.close()
                loop.stop()
            }
            timer?.start(after: .zero)
        }
        #expect(blocked.withLock { $0 } == "timer")
    }

    @Test("a wrapper dropped open stops the process")
    func droppedOpen() async throws {
        await #expect(processExitsWith: .failure) {
            let loop = try EventLoop()
            _ = LoopTimer(loop: loop) {}
        }
    }
}
