import Domain
import Foundation
import Testing
import Transfers

/// What concerns a process as a whole, each in one of its own.
@Suite("Requests to elsewhere and their process")
struct TransferProcessTests {
    @Test("neither a proxy of the environment nor a .netrc is used")
    func environment() async throws {
        await #expect(processExitsWith: .success) {
            let home = FileManager.default.temporaryDirectory.path + "/roost-home-\(UniqueID.random())"
            try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: home) }
            try Data("default login user password secret\n".utf8).write(to: URL(fileURLWithPath: home + "/.netrc"))
            setenv("HOME", home, 1)
            let server = try TestServer()
            for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
                setenv(name, "http://127.0.0.1:1", 1)
            }
            let transfers = TransferLoop()
            defer { transfers.close() }
            let answer = try await transfers.send(TransferRequest(url: server.url("/echo")))
            #expect(answer.status == 200 && !answer.text.contains("authorization"))
        }
    }

    @Test(
        "the thread is made for the first request, sleeps when there is none, and ends with close, leaving nothing open"
    )
    func thread() async throws {
        await #expect(processExitsWith: .success) {
            let server = try TestServer()
            func names(_ directory: String) throws -> Set<String> {
                try Set(FileManager.default.contentsOfDirectory(atPath: directory))
            }
            func transferThreads() throws -> [String] {
                try names("/proc/self/task").filter {
                    (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)) == "transfers\n"
                }
            }
            func switches(_ thread: String) throws -> Substring {
                let status = try String(contentsOfFile: "/proc/self/task/\(thread)/status", encoding: .utf8)
                return status.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches") }!
            }
            /// Sends to all that the server has.
            func use(_ transfers: TransferLoop) async {
                await withTaskGroup { group in
                    for path in ["/short", "/early", "/half", "/huge", "/redirect", "/heads"] {
                        group.addTask { _ = try? await transfers.send(TransferRequest(url: server.url(path))) }
                    }
                    group.addTask {
                        _ = try? await transfers.send(
                            TransferRequest(url: server.url("/hold"), timeout: .milliseconds(50)))
                    }
                }
            }
            // What libcurl, Foundation and the task pool make once for all is there after this.
            let first = TransferLoop()
            await use(first)
            first.close()

            let files = try names("/proc/self/fd").count
            let transfers = TransferLoop()
            #expect(try transferThreads() == [], "there is a thread before the first request")
            await use(transfers)
            let made = try transferThreads()
            #expect(made.count == 1)
            usleep(200_000)  // it was just busy
            let before = try made.map(switches)
            usleep(1_500_000)  // the measurement itself
            #expect(try made.map(switches) == before, "the thread was woken while nothing was under way")
            transfers.close()
            #expect(try transferThreads() == [])
            for _ in 1...20 {
                let more = TransferLoop(connectionsMax: 3)
                await use(more)
                more.close()
            }
            #expect(try names("/proc/self/fd").count <= files, "descriptors are left open")
            #expect(try transferThreads() == [])
        }
    }
}
