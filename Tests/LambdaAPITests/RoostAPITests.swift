import Artifacts
import Dispatching
import Domain
import JSON
import LambdaAPI
import Management
import RoostAPI
import Scheduling
import Testing
import Workers

extension TestHost {
    func roost() -> RoostAPI {
        RoostAPI(
            lambda: lambda,
            garbage: GarbageCollector(management: management, grace: .zero, inUse: { [] }, report: { _ in }),
            executions: executions, logs: FunctionLogs(directory: directory + "/logs", loop: loop),
            loop: loop, scheduling: { SchedulingReport(of: Scheduler(), pools: [], nextEviction: nil) },
            events: { _ in [] }, history: { [] }
        ) {
            HostReport(
                version: "0", sandboxMode: "none", sandboxProblem: nil, dataDirectory: "d", limits: [:], checks: [])
        }
    }

    func ask(
        _ method: String, _ target: String, _ body: JSONValue? = nil
    ) async -> (status: Int, json: JSONValue, response: WireResponse) {
        let request = Self.request(method, target, body?.encoded() ?? [])
        let response: WireResponse
        do throws(WireError) {
            response = await roost().perform(
                try RoostOperation.route(method: method, segments: request.segments), request)
        } catch {
            response = error.response
        }
        return (response.status, (try? JSONValue.parse(response.body)) ?? .null, response)
    }

    /// Stores a package of one file, as the command line does.
    func upload(_ path: String, _ content: String) async throws -> Digest {
        let bytes = Array(content.utf8)
        let digest = SHA256Hasher.digest(of: bytes)
        let api = roost()
        if case .upload(let upload) = try await api.beginUpload(digest, sizeBytes: bytes.count) {
            try await api.write(bytes, to: upload)
            #expect(await api.finishUpload(upload, digest).status == 201)
        }
        let manifest = try Manifest(files: [
            .init(path: Array(path.utf8), isExecutable: true, sizeBytes: bytes.count, digest: digest)
        ])
        let answer = await api.perform(
            .putManifest(manifest.digest), Self.request("PUT", "/roost/v1/manifests/x", manifest.text))
        #expect(answer.status == 201 || answer.status == 200)
        return manifest.digest
    }
}

@Suite struct RoostAPITests {
    @Test("files are uploaded once, and not under another's digest")
    func artifacts() async throws {
        try await TestHost.run { host in
            let api = host.roost()
            let bytes = Array("hello".utf8)
            let digest = SHA256Hasher.digest(of: bytes)
            let missing: JSONValue = ["Digests": [.string(digest.description)]]
            #expect(
                await host.ask("POST", "/roost/v1/artifacts/missing", missing).json["Missing"]?.arrayValue?.count == 1)
            guard case .upload(let wrong) = try await api.beginUpload(digest, sizeBytes: nil) else {
                Issue.record("it is not there yet")
                return
            }
            try await api.write(Array("other".utf8), to: wrong)
            let refused = await api.finishUpload(wrong, digest)
            #expect(refused.status == 400)
            #expect(refused.header("x-amzn-ErrorType") == "DigestMismatch")
            _ = try await host.upload("a", "hello")
            #expect(await host.ask("POST", "/roost/v1/artifacts/missing", missing).json["Missing"] == [])
            guard case .present(let answer) = try await api.beginUpload(digest, sizeBytes: 5) else {
                Issue.record("it is there")
                return
            }
            #expect(answer.status == 200)
            #expect(try JSONValue.parse(answer.body)["SizeBytes"] == 5)
            let unnamed = await host.ask("PUT", "/roost/v1/artifacts/abc")
            #expect(unnamed.status == 400)
            let lonely = try Manifest(files: [
                .init(
                    path: [0x61], isExecutable: false, sizeBytes: 1,
                    digest: Digest(bytes: [UInt8](repeating: 7, count: 32)))
            ])
            let incomplete = await api.perform(
                .putManifest(lonely.digest), TestHost.request("PUT", "/roost/v1/manifests/x", lonely.text))
            #expect(incomplete.header("x-amzn-ErrorType") == "MissingFiles")
        }
    }

    @Test("a folder is deployed with its training function, updated, and rolled back")
    func deploy() async throws {
        try await TestHost.run { host in
            let package = try await host.upload("bootstrap", "#!/bin/sh\n")
            let model = try await host.upload("weights", "1")
            func deploy(_ manifest: JSONValue, model: Digest? = nil) async -> (
                status: Int, json: JSONValue, response: WireResponse
            ) {
                var body: JSONObject = [
                    "Manifest": manifest, "Package": .string(package.description), "Publish": true,
                ]
                if let model { body["Model"] = .string(model.description) }
                return await host.ask("POST", "/roost/v1/deployments", .object(body))
            }
            let first = await deploy(["name": "m", "runtime": "swift", "training": [:]], model: model)
            #expect(first.status == 200, "\(first.json.text())")
            #expect(first.json["Function"]?["Version"] == "1")
            #expect(first.json["Training"] == "m-train")
            let training = await host.send("GET", "/2015-03-31/functions/m-train/configuration")
            #expect(training.json["Environment"]?["Variables"]?["ROOST_TRAINS"] == "m")
            #expect(training.json["Timeout"] == 86_400)
            // What is as it was is not published again.
            let same = await deploy(["name": "m", "runtime": "swift", "training": [:]], model: model)
            #expect(same.json["Function"]?["Version"] == "1")
            let second = await deploy(["name": "m", "runtime": "swift", "memory": 512])
            #expect(second.json["Function"]?["Version"] == "2")
            #expect(second.json["Training"] == .null)
            let unknown = await deploy(["name": "m", "runtime": "swift", "cpu": 1])
            #expect(unknown.status == 400)
            #expect(unknown.json["message"]?.stringValue?.contains("cpu is not a known key") == true)
            let python = await deploy(["name": "p", "runtime": "python3.12"])
            #expect(python.status == 400)

            let aliases = "/2015-03-31/functions/m/aliases"
            _ = await host.send("POST", aliases, ["Name": "live", "FunctionVersion": "1"])
            _ = await host.send("PUT", aliases + "/live", ["FunctionVersion": "2"])
            let path = "/roost/v1/functions/m/aliases/live/"
            let back = await host.ask("POST", path + "rollback", ["Why": "worse"])
            #expect(back.status == 200, "\(back.json.text())")
            #expect(back.json["FunctionVersion"] == "1")
            #expect(back.json["From"] == ["FunctionVersion": "2"])
            let again = await host.ask("POST", path + "rollback")
            #expect(again.status == 409)
            #expect(again.response.header("x-amzn-ErrorType") == "NothingToRollBack")
            let history = await host.ask("GET", path + "history")
            #expect(
                history.json["History"]?.arrayValue?.map { $0["Cause"] } == ["rolledBack", "updated", "created"])
            #expect(history.json["History"]?[0]?["Why"] == "worse")
            #expect(history.json["History"]?[0]?["Undoes"] == back.json["Undoes"])
            #expect(history.json["History"]?[2]?["From"] == .null)
            let versions = await host.ask("GET", "/roost/v1/functions/m/versions")
            #expect(versions.json["Versions"]?.arrayValue?.map { $0["Version"] } == ["$LATEST", "2", "1"])
            #expect(versions.json["Versions"]?[2]?["Aliases"] == ["live"])
            #expect(versions.json["Versions"]?[1]?["Model"] == .string(model.description))
        }
    }

    @Test("paths that are not known are 404, verbs 405, and lists answer")
    func rest() async throws {
        try await TestHost.run { host in
            #expect(await host.ask("GET", "/roost/v1/nothing").status == 404)
            let verb = await host.ask("GET", "/roost/v1/deployments")
            #expect(verb.status == 405)
            #expect(verb.response.header("Allow") == "POST")
            let workers = await host.ask("GET", "/roost/v1/workers").json
            #expect(workers["Pools"] == [] && workers["NextEviction"] == .null && workers["Host"]?["Workers"] == 0)
            #expect(await host.ask("GET", "/roost/v1/workers/events").json == ["Events": []])
            #expect(await host.ask("GET", "/roost/v1/workers/events?limit=0").status == 400)
            #expect(await host.ask("GET", "/roost/v1/host").json["Sandbox"]?["Mode"] == "none")
            #expect(await host.ask("GET", "/roost/v1/executions").json == ["Executions": []])
            #expect(await host.ask("GET", "/roost/v1/executions?status=SLEEPING").status == 400)
            #expect(await host.ask("GET", "/roost/v1/executions/x/events").status == 404)
            #expect(await host.ask("GET", "/roost/v1/functions/n/logs").status == 404)
            _ = await host.create("m")
            let logs = await host.ask("GET", "/roost/v1/functions/m/logs?lines=3")
            #expect(logs.status == 200)
            #expect(logs.response.header("Content-Type") == "text/plain; charset=utf-8")
        }
    }
}
