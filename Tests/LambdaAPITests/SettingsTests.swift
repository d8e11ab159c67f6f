import Dispatching
import Domain
import JSON
import LambdaAPI
import Management
import Registry
import Testing

@Suite struct SettingsTests {
    @Test("the account has the host's limits, and what is stored and reserved now")
    func account() async throws {
        try await TestHost.run { host in
            host.management.capacity.workersMax = 40
            let made = await host.create("a", ["Publish": true])
            _ = await host.create("b")
            _ = await host.send(
                "PUT", "/2017-10-31/functions/b/concurrency", ["ReservedConcurrentExecutions": 15])
            let answer = await host.send("GET", "/2016-08-19/account-settings").json
            #expect(answer["AccountLimit"]?["ConcurrentExecutions"] == 40)
            #expect(answer["AccountLimit"]?["UnreservedConcurrentExecutions"] == 25)
            let size = try #require(made.json["CodeSize"]?.integerValue)
            // $LATEST and version 1 of the one, $LATEST of the other.
            #expect(answer["AccountUsage"] == ["TotalCodeSize": .integer(3 * size), "FunctionCount": 2])
        }
    }

    @Test("settings with one value here are answered, and another value is refused")
    func constants() async throws {
        try await TestHost.run { host in
            _ = await host.create("m", ["Publish": true])
            let recursion = "/2024-08-31/functions/m/recursion-config"
            #expect(await host.send("GET", recursion).json == ["RecursiveLoop": "Terminate"])
            #expect(await host.send("PUT", recursion, ["RecursiveLoop": "Terminate"]).status == 200)
            #expect(await host.send("PUT", recursion, ["RecursiveLoop": "Allow"]).status == 400)
            #expect(await host.send("PUT", recursion, ["RecursiveLoop": "No"]).status == 400)
            let runtime = "/2021-07-20/functions/m/runtime-management-config"
            let answer = await host.send("GET", runtime + "?Qualifier=1").json
            #expect(answer["UpdateRuntimeOn"] == "Auto")
            #expect(answer["FunctionArn"]?.stringValue?.hasSuffix(":m:1") == true)
            #expect(await host.send("PUT", runtime, ["UpdateRuntimeOn": "Auto"]).status == 200)
            #expect(await host.send("PUT", runtime, ["UpdateRuntimeOn": "FunctionUpdate"]).status == 400)
            #expect(
                await host.send("PUT", runtime, ["UpdateRuntimeOn": "Auto", "RuntimeVersionArn": "a"]).status == 400)
            #expect(await host.send("GET", runtime + "?Qualifier=2").status == 404)
            let signing = await host.send("GET", "/2020-06-30/functions/m/code-signing-config")
            #expect(signing.json == ["CodeSigningConfigArn": "", "FunctionName": "m"])
            for path in ["recursion-config", "runtime-management-config", "code-signing-config"] {
                let date = ["r": "2024-08-31", "u": "2021-07-20", "c": "2020-06-30"]
                let key = path.hasPrefix("rec") ? "r" : path.hasPrefix("run") ? "u" : "c"
                #expect(await host.send("GET", "/\(date[key]!)/functions/none/\(path)").status == 404)
            }
        }
    }

    @Test("who stops an execution may say why, and what is said of a pause is passed on")
    func executions() async throws {
        try await TestHost.run { host in
            _ = await host.create("m")
            let function = try host.management.catalog.route(FunctionName("m")!, nil)
            let execution = try await host.executions.accept(
                .init(route: function, qualifier: nil, name: nil, payload: [], caller: TestHost.caller)
            ).execution
            let arn = ARN.execution(execution.functionName, execution.version, execution.name, execution.id)
            let path = "/2025-12-01/durable-executions/" + arn.split(separator: "/").joined(separator: "%2F")
            #expect(await host.send("POST", path + "/stop").status == 200)
            #expect(await host.send("POST", path + "/stop", ["ErrorType": "", "StackTrace": []]).status == 200)
            #expect(await host.send("POST", path + "/stop", ["ErrorMessage": "m", "StackTrace": ["a"]]).status == 200)
            #expect(await host.send("POST", path + "/stop", ["Error": ["ErrorMessage": "m"]]).status == 400)
            let failure = Execution.Failure(type: "Execution.Stopped", message: "m", stackTrace: ["a"])
            #expect(host.executions.stopped == [nil, nil, failure])
            let paused = await host.send("POST", path + "/pause", ["ClientToken": "t", "Reason": "why"])
            #expect(paused.status == 202)
            #expect(await host.send("POST", path + "/resume").status == 202)
            #expect(host.executions.switches == [.init(token: "t", reason: "why"), .init()])
            let live = await host.send("DELETE", path)
            #expect(live.status == 409)
            #expect(live.response.header("x-amzn-ErrorType") == "ResourceConflictException")
        }
    }
}
