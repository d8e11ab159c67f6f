import Domain
import Foundation
import Testing
import Transfers

@Suite("Requests over TLS")
struct TLSTests {
    private let directory = FileManager.default.temporaryDirectory.path + "/roost-tls-\(UniqueID.random())"

    /// With a server whose certificate signs itself, and the path of that.
    private func withServer(
        names: String = "IP:127.0.0.1", _ body: (TestServer, _ certificate: String) async throws -> Void
    ) async throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let (key, certificate, both) = (directory + "/key", directory + "/certificate", directory + "/both")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            + ["-subj", "/CN=test", "-addext", "subjectAltName=\(names)", "-keyout", key, "-out", certificate]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        let pair = try Data(contentsOf: URL(fileURLWithPath: key)) + Data(contentsOf: URL(fileURLWithPath: certificate))
        try pair.write(to: URL(fileURLWithPath: both))
        try await body(TestServer(certificate: both), certificate)
    }

    /// The text of a refusal; nil when there was an answer, or another error.
    private func refusal(_ request: TransferRequest) async -> String? {
        let transfers = TransferLoop()
        defer { transfers.close() }
        do throws(TransferError) {
            _ = try await transfers.send(request)
            return nil
        } catch {
            if case .tlsRefused(let reason) = error { return reason }
            Issue.record(error)
            return nil
        }
    }

    @Test("who signs for oneself is refused, unless the CA file says otherwise")
    func unknownCA() async throws {
        try await withServer { server, certificate in
            #expect(await refusal(TransferRequest(url: server.url("/echo")))?.contains("certificate") == true)
            let transfers = TransferLoop()
            defer { transfers.close() }
            for _ in 1...3 {
                let answer = try await transfers.send(
                    TransferRequest(url: server.url("/length"), body: [1, 2, 3], caFile: certificate))
                #expect(answer.status == 200 && answer.text == "3")
            }
            // A connection that was made with other certificates in mind is not taken for one without.
            #expect(
                await #expect(throws: TransferError.self) {
                    try await transfers.send(TransferRequest(url: server.url("/echo")))
                }?.description.hasPrefix("TLS: ") == true)
            #expect(try await connections(server, certificate) == 1)
        }
    }

    private func connections(_ server: TestServer, _ certificate: String) async throws -> Int? {
        let transfers = TransferLoop()
        defer { transfers.close() }
        return try await transfers.send(TransferRequest(url: server.url("/counts"), caFile: certificate))
            .json(as: [String: Int].self)["connections"]
    }

    @Test("a certificate for another host is refused")
    func wrongName() async throws {
        try await withServer(names: "DNS:elsewhere.test,DNS:localhost") { server, certificate in
            let reason = await refusal(TransferRequest(url: server.url("/echo"), caFile: certificate))
            #expect(reason?.contains("127.0.0.1") == true)
            let transfers = TransferLoop()
            defer { transfers.close() }
            let request = TransferRequest(url: server.url("/length", host: "localhost"), caFile: certificate)
            let answer = try await transfers.send(request)
            #expect(answer.status == 200)
        }
    }

    @Test("a CA file that is missing or no certificate is named")
    func badFile() async throws {
        try await withServer { server, certificate in
            let missing = certificate + ".missing"
            #expect(
                await refusal(TransferRequest(url: server.url("/echo"), caFile: missing))?.contains(missing) == true)
            let empty = directory + "/empty"
            try Data().write(to: URL(fileURLWithPath: empty))
            #expect(await refusal(TransferRequest(url: server.url("/echo"), caFile: empty))?.contains(empty) == true)
        }
    }

    @Test("a server without TLS is refused")
    func plain() async throws {
        let server = try TestServer()
        #expect(await refusal(TransferRequest(url: "https://127.0.0.1:\(server.port)/echo")) != nil)
    }
}
