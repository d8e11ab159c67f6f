import Artifacts
import Dispatching
import Domain
import Foundation
import JSON
import LambdaAPI
import Loop
import Management
@testable import Registry
import TestSupport

/// Executions that are accepted, and never run.
final class StillExecutions: ExecutionService {
    var accepted: [Execution] = []
    var history: [ExecutionEvent] = []
    var stopped: [Execution.Failure?] = []
    var switches: [Executions.Switch] = []

    func accept(_ request: ExecutionRequest) async throws(ManagementError) -> (execution: ExecutionHead, isNew: Bool) {
        let id = Execution.ID(UniqueID.random())
        let execution = Execution(
            id: id, name: request.name ?? ExecutionName(id.text)!, function: request.route.function.id,
            functionName: request.route.function.name, qualifier: request.qualifier,
            version: request.route.version.number, input: .inline(request.payload),
            acceptedAt: Timestamp(millisecondsSince1970: 1_795_435_740_500))
        accepted.append(execution)
        return (ExecutionHead(execution), true)
    }

    func stop(
        _ id: Execution.ID, _ failure: Execution.Failure?, by caller: Caller
    ) async throws(ManagementError) -> Timestamp {
        stopped.append(failure)
        return Timestamp(millisecondsSince1970: 1_795_435_741_000)
    }

    func pause(_ id: Execution.ID, _ asked: Executions.Switch, by caller: Caller) async throws(ManagementError) {
        switches.append(asked)
    }

    func resume(_ id: Execution.ID, _ asked: Executions.Switch, by caller: Caller) async throws(ManagementError) {
        switches.append(asked)
    }

    func delete(_ id: Execution.ID, by caller: Caller) async throws(ManagementError) -> Timestamp {
        throw .conflict("The execution is live.")
    }

    func redrive(
        _ id: Execution.ID, by caller: Caller
    ) async throws(ManagementError) -> (execution: ExecutionHead, isNew: Bool) {
        throw .conflict("Only an execution that has failed can be redriven; its status is QUEUED.")
    }

    func completion(of id: Execution.ID) async throws(ManagementError) -> Execution { try await execution(id) }

    func execution(_ id: Execution.ID) async throws(ManagementError) -> Execution {
        guard let found = accepted.first(where: { $0.id == id }) else { throw .executionNotFound(id.text) }
        return found
    }

    func bytes(of payload: Payload, from offset: Int, count: Int) async throws(ManagementError) -> [UInt8] {
        Array((payload.bytes ?? []).dropFirst(offset).prefix(count))
    }

    func list(_ query: ExecutionQuery) async throws(ManagementError) -> ExecutionPage {
        ExecutionPage(
            executions: accepted.filter { query.statuses?.contains($0.status) ?? true }.map { ExecutionHead($0) },
            next: nil)
    }

    func events(
        of id: Execution.ID, newestFirst: Bool, after: Int?, limit: Int
    ) async throws(ManagementError) -> [ExecutionEvent] {
        let rest =
            newestFirst
            ? history.reversed().filter { $0.sequence < after ?? .max } : history.filter { $0.sequence > after ?? 0 }
        return Array(rest.prefix(limit))
    }
}

/// The APIs over a real registry and a real artifact store in a directory of their own.
final class TestHost {
    let loop: EventLoop
    let management: Management
    let executions = StillExecutions()
    let lambda: LambdaAPI
    let directory: String

    /// Runs `body` on a loop, and removes everything when it returns.
    static func run(_ body: @escaping @Sendable (TestHost) async throws -> Void) async throws {
        let failure = FailureBox()
        try await withLoop { loop in
            loop.spawn {
                do {
                    let host = try await TestHost(loop: loop)
                    defer { host.close() }
                    try await body(host)
                } catch {
                    failure.error = error
                }
                loop.stop()
            }
        }
        if let error = failure.error { throw error }
    }

    // @unchecked: written on the loop's thread, read after that has ended.
    private final class FailureBox: @unchecked Sendable { var error: (any Error)? }

    private let registry: Registry

    init(loop: EventLoop) async throws {
        self.loop = loop
        directory = NSTemporaryDirectory() + "roost-lambda-" + UniqueID.random()
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        registry = try Registry(directory: directory)
        let artifacts = try ArtifactStore(directory: directory + "/artifacts")
        management = Management(
            catalog: Catalog(try await registry.load()), registry: registry, artifacts: artifacts, loop: loop)
        lambda = LambdaAPI(management: management, executions: executions, loop: loop, pythonMinor: 11)
    }

    func close() {
        registry.close()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// One request to the Lambda API; its path is split and decoded as the HTTP server does.
    func send(
        _ method: String, _ target: String, _ body: JSONValue? = nil
    ) async -> (status: Int, json: JSONValue, response: WireResponse) {
        let request = Self.request(method, target, body?.encoded() ?? [])
        let response: WireResponse
        do throws(WireError) {
            let operation = try lambda.route(method: method, segments: request.segments)
            response = await lambda.perform(operation, request)
        } catch {
            response = error.response
        }
        return (response.status, (try? JSONValue.parse(response.body)) ?? .null, response)
    }

    static let caller = Caller(name: "test", requestID: "00000000-0000-4000-8000-000000000000")

    static func request(_ method: String, _ target: String, _ body: [UInt8]) -> WireRequest {
        let parts = target.split(separator: "?", maxSplits: 1)
        let segments = parts[0].dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        var query: [(name: String, value: String)] = []
        for pair in parts.dropFirst().flatMap({ $0.split(separator: "&") }) {
            let sides = pair.split(separator: "=", maxSplits: 1)
            query.append((String(sides[0]), sides.count > 1 ? String(sides[1]).removingPercentEncoding! : ""))
        }
        return WireRequest(
            method: method, segments: segments.map { String($0).removingPercentEncoding! }, query: query, body: body,
            caller: caller)
    }

    /// A zip with one stored file, in base 64.
    static func zip(_ name: String, _ content: String) -> String {
        var bytes: [UInt8] = []
        func put(_ value: Int, _ count: Int) {
            for index in 0..<count { bytes.append(UInt8(value >> (8 * index) & 255)) }
        }
        let data = Array(content.utf8)
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in data {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        func entry() {
            put(20, 2); put(0, 2); put(0, 2); put(0, 2); put(0x21, 2); put(Int(~crc), 4); put(data.count, 4)
            put(data.count, 4); put(name.utf8.count, 2); put(0, 2)
        }
        put(0x0403_4B50, 4)
        entry()
        bytes += Array(name.utf8) + data
        let directory = bytes.count
        put(0x0201_4B50, 4)
        put(0x0314, 2)
        entry()
        put(0, 2); put(0, 2); put(0, 2)
        put(0o100755 << 16, 4); put(0, 4)
        bytes += Array(name.utf8)
        let size = bytes.count - directory
        put(0x0605_4B50, 4); put(0, 4); put(1, 2); put(1, 2); put(size, 4); put(directory, 4); put(0, 2)
        return Base64.encode(bytes)
    }
}
