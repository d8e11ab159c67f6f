import Dispatching
import Domain
import JSON
import LambdaAPI
import Management
import Testing

private let role = "arn:aws:iam::000000000000:role/x"

extension TestHost {
    func create(_ name: String, _ more: JSONObject = [:]) async -> (
        status: Int, json: JSONValue, response: WireResponse
    ) {
        var body: JSONObject = [
            "FunctionName": .string(name), "Role": .string(role), "Runtime": "python3", "Handler": "m.handler",
            "Code": ["ZipFile": .string(TestHost.zip("m.py", "def handler(e, c): return e\n"))],
        ]
        for entry in more.entries { body[entry.key] = entry.value.isNull ? nil : entry.value }
        return await send("POST", "/2015-03-31/functions", .object(body))
    }
}

@Suite struct RoutingTests {
    @Test("a path that is not known is 404, and so is a verb that it does not take")
    func routing() async throws {
        try await TestHost.run { host in
            let unknown = await host.send("GET", "/2018-10-31/layers")
            #expect(unknown.status == 404)
            #expect(unknown.response.header("x-amzn-ErrorType") == "UnknownOperationException")
            let verb = await host.send("PATCH", "/2015-03-31/functions/m")
            #expect(verb.status == 404)
            #expect(verb.response.header("x-amzn-ErrorType") == "UnknownOperationException")
            let operation = try host.lambda.route(
                method: "GET", segments: ["2015-03-31", "functions", "m", "aliases", "live"])
            #expect(operation == Operation(.getAlias, resource: "m", alias: "live"))
        }
    }
}

@Suite struct FunctionOperationTests {
    @Test("a function is made with AWS's defaults, read, and deleted")
    func life() async throws {
        try await TestHost.run { host in
            let made = await host.create("m", ["Environment": ["Variables": ["KEY": "v"]]])
            #expect(made.status == 201, "\(made.json.text())")
            #expect(made.json["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:m")
            #expect(made.json["Timeout"] == 3)
            #expect(made.json["MemorySize"] == 128)
            #expect(made.json["Version"] == "$LATEST")
            #expect(made.json["State"] == "Active")
            #expect(made.json["LastUpdateStatus"] == "Successful")
            #expect(made.json["Environment"] == ["Variables": ["KEY": "v"]])
            #expect(made.json["CodeSha256"]?.stringValue?.utf8.count == 44)
            #expect(made.json["LastModified"]?.stringValue?.hasSuffix("+0000") == true)

            let again = await host.create("m")
            #expect(again.status == 409)
            #expect(again.json["message"] == "Function already exist: m")

            let read = await host.send("GET", "/2015-03-31/functions/m?Qualifier=$LATEST")
            #expect(read.json["Configuration"]?["FunctionArn"]?.stringValue?.hasSuffix(":m:$LATEST") == true)
            let byARN = await host.send(
                "GET",
                "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Am/configuration")
            #expect(byARN.json == made.json)

            #expect(await host.send("DELETE", "/2015-03-31/functions/m").status == 204)
            let gone = await host.send("GET", "/2015-03-31/functions/m")
            #expect(gone.status == 404)
            #expect(
                gone.json["Message"] == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:m")
        }
    }

    @Test("versions are published when something changed, and their ARNs carry the number")
    func versions() async throws {
        try await TestHost.run { host in
            let made = await host.create("m", ["Publish": true])
            #expect(made.json["Version"] == "1")
            #expect(made.json["FunctionArn"]?.stringValue?.hasSuffix(":function:m") == true)
            let same = await host.send("POST", "/2015-03-31/functions/m/versions", [:])
            #expect(same.status == 201)
            #expect(same.json["Version"] == "1")
            let updated = await host.send(
                "PUT", "/2015-03-31/functions/m/configuration", ["Timeout": 31_622_400, "Description": "d"])
            #expect(updated.json["Timeout"] == 31_622_400)
            #expect(updated.json["Handler"] == "m.handler")
            let second = await host.send("POST", "/2015-03-31/functions/m/versions")
            #expect(second.json["FunctionArn"]?.stringValue?.hasSuffix(":m:2") == true)
            let code = await host.send(
                "PUT", "/2015-03-31/functions/m/code",
                ["ZipFile": .string(TestHost.zip("m.py", "x = 1\n")), "Publish": true])
            #expect(code.json["FunctionArn"]?.stringValue?.hasSuffix(":m:3") == true)
            #expect(code.json["CodeSha256"] != made.json["CodeSha256"])
            let wrong = await host.send(
                "POST", "/2015-03-31/functions/m/versions", ["CodeSha256": made.json["CodeSha256"]!])
            #expect(wrong.status == 400)
            #expect(wrong.json["message"]?.stringValue?.hasPrefix("CodeSHA256 (") == true)
            let stale = await host.send(
                "PUT", "/2015-03-31/functions/m/configuration", ["RevisionId": made.json["RevisionId"]!])
            #expect(stale.status == 412)

            let first = await host.send("GET", "/2015-03-31/functions/m/versions?MaxItems=3")
            #expect(first.json["Versions"]?.arrayValue?.map { $0["Version"] } == ["$LATEST", "1", "2"])
            #expect(first.json["Versions"]?[0]?["State"] == nil)
            let marker = try #require(first.json["NextMarker"]?.stringValue)
            let rest = await host.send("GET", "/2015-03-31/functions/m/versions?Marker=\(marker)")
            #expect(rest.json["Versions"]?.arrayValue?.map { $0["Version"] } == ["3"])
            #expect(rest.json["NextMarker"] == nil)
            #expect(await host.send("GET", "/2015-03-31/functions?Marker=\(marker)").status == 400)

            #expect(await host.send("DELETE", "/2015-03-31/functions/m?Qualifier=2").status == 204)
            #expect(await host.send("DELETE", "/2015-03-31/functions/m?Qualifier=2").status == 204)
            #expect(await host.send("GET", "/2015-03-31/functions/m:2").status == 404)
            let latest = await host.send("DELETE", "/2015-03-31/functions/m?Qualifier=$LATEST")
            #expect(latest.json["message"] == "$LATEST version cannot be deleted without deleting the function.")
        }
    }

    @Test("functions are listed in pages, with or without their versions")
    func list() async throws {
        try await TestHost.run { host in
            for name in ["b", "a", "c"] { _ = await host.create(name, ["Publish": true]) }
            let first = await host.send("GET", "/2015-03-31/functions/?MaxItems=2")
            #expect(first.json["Functions"]?.arrayValue?.map { $0["FunctionName"] } == ["a", "b"])
            let marker = try #require(first.json["NextMarker"]?.stringValue)
            _ = await host.send("DELETE", "/2015-03-31/functions/b")
            let rest = await host.send("GET", "/2015-03-31/functions?Marker=\(marker)")
            #expect(rest.json["Functions"]?.arrayValue?.map { $0["FunctionName"] } == ["c"])
            let all = await host.send("GET", "/2015-03-31/functions?FunctionVersion=ALL")
            #expect(all.json["Functions"]?.arrayValue?.map { $0["Version"] } == ["$LATEST", "1", "$LATEST", "1"])
            #expect(await host.send("GET", "/2015-03-31/functions?MaxItems=0").status == 400)
        }
    }

    @Test(
        "what cannot be honoured is refused by its name",
        arguments: [
            (["Layers": ["arn"]], "Layers"), (["VpcConfig": ["SubnetIds": ["s"]]], "VpcConfig"),
            (["PackageType": "Image"], "PackageType"), (["SnapStart": ["ApplyOn": "PublishedVersions"]], "SnapStart"),
            (["TracingConfig": ["Mode": "Active"]], "TracingConfig"), (["Tags": ["aws:a": "b"]], "aws:a"),
            (["EphemeralStorage": ["Size": 1024]], "EphemeralStorage"), (["DurableConfig": ["A": 1]], "DurableConfig"),
            (["Code": ["S3Bucket": "b", "S3Key": "k"]], "Code.S3Bucket"),
            (["Code": ["ImageUri": "u"]], "Code.ImageUri"),
            (["Timout": 3], "Timout"), (["Runtime": "nodejs22.x"], "swift, python3, python3.N, provided"),
            (["Runtime": "python3.12"], "the machine's Python is 3.11"), (["Runtime": nil], "Runtime and Handler"),
            (["Handler": nil], "Runtime and Handler"),
            (["Environment": ["Variables": ["AWS_REGION": "x"]]], "AWS_REGION"),
            (["Environment": ["Variables": ["ROOST_X": "1"]]], "ROOST_X is no setting"),
            (["Environment": ["Variables": ["BIG": .string(String(repeating: "x", count: 70_000))]]], "65536 bytes"),
            (["Runtime": "swift"], "bootstrap"), (["Code": ["ZipFile": "bm8gemlw"]], "Could not unzip"),
        ] as [(JSONObject, String)])
    func refused(_ fields: JSONObject, named: String) async throws {
        try await TestHost.run { host in
            let answer = await host.create("m", fields)
            #expect(answer.status == 400)
            #expect(answer.response.header("x-amzn-ErrorType") == "InvalidParameterValueException")
            #expect(answer.json["message"]?.stringValue?.contains(named) == true, "\(answer.json.text())")
        }
    }

    @Test(
        "values of the wrong form are validation errors",
        arguments: [
            (["Timeout": 0], "timeout"), (["MemorySize": 64], "memorySize"), (["Role": "me"], "role"),
            (["Role": nil], "role"), (["Handler": "a b"], "handler"), (["Code": nil], "code"),
            (["FunctionName": "a/b"], "functionName"), (["Environment": ["Variables": ["1A": "x"]]], "environment"),
        ] as [(JSONObject, String)])
    func invalid(_ fields: JSONObject, field: String) async throws {
        try await TestHost.run { host in
            let answer = await host.create("m", fields)
            #expect(answer.status == 400)
            #expect(answer.response.header("x-amzn-ErrorType") == "ValidationException")
            #expect(answer.json["message"]?.stringValue?.contains("'\(field)") == true, "\(answer.json.text())")
        }
    }

    @Test("fields that ask for nothing are taken: tools send them")
    func vacuous() async throws {
        try await TestHost.run { host in
            let answer = await host.create(
                "m",
                [
                    "Layers": [], "VpcConfig": ["SubnetIds": [], "SecurityGroupIds": []], "Tags": [:],
                    "PackageType": "Zip", "TracingConfig": ["Mode": "PassThrough"], "EphemeralStorage": ["Size": 512],
                    "SnapStart": ["ApplyOn": "None"], "KMSKeyArn": "", "DeadLetterConfig": ["TargetArn": ""],
                ])
            #expect(answer.status == 201, "\(answer.json.text())")
        }
    }

    @Test("a body that is no JSON, or no object, is refused")
    func bodies() async throws {
        try await TestHost.run { host in
            let operation = Operation(.createFunction)
            for (body, type) in [("{", "InvalidRequestContentException"), ("[]", "SerializationException")] {
                let answer = await host.lambda.perform(
                    operation, TestHost.request("POST", "/2015-03-31/functions", Array(body.utf8)))
                #expect(answer.status == 400)
                #expect(answer.header("x-amzn-ErrorType") == type)
            }
            // Long enough to be parsed off the loop.
            let long = Array("{\"a\":\"\(String(repeating: "x", count: 100_000))\"".utf8)
            let answer = await host.lambda.perform(operation, TestHost.request("POST", "/2015-03-31/functions", long))
            #expect(answer.header("x-amzn-ErrorType") == "InvalidRequestContentException")
        }
    }

    @Test("reserved concurrency is set, read and removed")
    func concurrency() async throws {
        try await TestHost.run { host in
            _ = await host.create("m")
            let put = "/2017-10-31/functions/m/concurrency"
            let get = "/2019-09-30/functions/m/concurrency"
            #expect(await host.send("GET", get).json == [:])
            #expect(await host.send("PUT", put, ["ReservedConcurrentExecutions": 0]).status == 200)
            #expect(await host.send("GET", get).json == ["ReservedConcurrentExecutions": 0])
            let read = await host.send("GET", "/2015-03-31/functions/m")
            #expect(read.json["Concurrency"] == ["ReservedConcurrentExecutions": 0])
            #expect(await host.send("DELETE", put).status == 204)
            #expect(await host.send("GET", get).json == [:])
            #expect(await host.send("PUT", put, ["ReservedConcurrentExecutions": -1]).status == 400)
            #expect(await host.send("PUT", put, [:]).status == 400)
            #expect(await host.send("PUT", "/2017-10-31/functions/m:1/concurrency", [:]).status == 400)
            let missing = await host.send("GET", "/2019-09-30/functions/n/concurrency")
            #expect(missing.json["Message"]?.stringValue?.hasSuffix(":n:$LATEST") == true)
        }
    }
}

@Suite struct AliasOperationTests {
    @Test("an alias is made, weighted, moved and deleted")
    func life() async throws {
        try await TestHost.run { host in
            _ = await host.create("m", ["Publish": true])
            _ = await host.send("PUT", "/2015-03-31/functions/m/configuration", ["Description": "2"])
            _ = await host.send("POST", "/2015-03-31/functions/m/versions")
            let aliases = "/2015-03-31/functions/m/aliases"
            let made = await host.send(
                "POST", aliases,
                [
                    "Name": "live", "FunctionVersion": "1",
                    "RoutingConfig": ["AdditionalVersionWeights": ["2": 0.25]],
                ])
            #expect(made.status == 201, "\(made.json.text())")
            #expect(made.json["AliasArn"] == "arn:aws:lambda:us-east-1:000000000000:function:m:live")
            #expect(made.json["RoutingConfig"] == ["AdditionalVersionWeights": ["2": 0.25]])
            #expect(await host.send("GET", aliases + "/live").json == made.json)
            let twice = await host.send("POST", aliases, ["Name": "live", "FunctionVersion": "1"])
            #expect(twice.status == 409)
            let described = await host.send("PUT", aliases + "/live", ["Description": "d"])
            #expect(described.json["RoutingConfig"] == ["AdditionalVersionWeights": ["2": 0.25]])
            #expect(described.json["RevisionId"] != made.json["RevisionId"])
            let moved = await host.send("PUT", aliases + "/live", ["FunctionVersion": "2", "RoutingConfig": [:]])
            #expect(moved.json["FunctionVersion"] == "2")
            #expect(moved.json["RoutingConfig"] == nil)
            #expect(moved.json["Description"] == "d")
            let read = await host.send("GET", "/2015-03-31/functions/m?Qualifier=live")
            #expect(read.json["Configuration"]?["Version"] == "2")
            #expect(read.json["Configuration"]?["FunctionArn"]?.stringValue?.hasSuffix(":m:live") == true)
            let listed = await host.send("GET", aliases + "?FunctionVersion=2")
            #expect(listed.json["Aliases"]?.arrayValue?.count == 1)
            #expect(await host.send("GET", aliases + "?FunctionVersion=1").json["Aliases"] == [])
            let inUse = await host.send("DELETE", "/2015-03-31/functions/m?Qualifier=2")
            #expect(inUse.status == 409)
            #expect(await host.send("DELETE", "/2015-03-31/functions/m?Qualifier=live").status == 400)
            #expect(await host.send("DELETE", aliases + "/live").status == 204)
            #expect(await host.send("DELETE", aliases + "/live").status == 204)
            let gone = await host.send("GET", aliases + "/live")
            #expect(gone.json["Message"]?.stringValue?.hasPrefix("Cannot find alias arn: ") == true)
        }
    }

    @Test(
        "routing that cannot be is refused",
        arguments: [
            (["1": 0.1, "2": 0.1], "InvalidParameterValueException"), (["2": 1.5], "ValidationException"),
            (["$LATEST": 0.5], "ValidationException"), (["1": 0.5], "InvalidParameterValueException"),
            (["9": 0.5], "ResourceNotFoundException"),
        ] as [(JSONValue, String)])
    func routing(_ weights: JSONValue, type: String) async throws {
        try await TestHost.run { host in
            _ = await host.create("m", ["Publish": true])
            let answer = await host.send(
                "POST", "/2015-03-31/functions/m/aliases",
                ["Name": "live", "FunctionVersion": "1", "RoutingConfig": ["AdditionalVersionWeights": weights]])
            #expect(answer.response.header("x-amzn-ErrorType") == type, "\(answer.json.text())")
        }
    }

    @Test("an alias needs a name that is no number")
    func names() async throws {
        try await TestHost.run { host in
            _ = await host.create("m", ["Publish": true])
            for name in ["1", "a.b", ""] {
                let answer = await host.send(
                    "POST", "/2015-03-31/functions/m/aliases", ["Name": .string(name), "FunctionVersion": "1"])
                #expect(answer.response.header("x-amzn-ErrorType") == "ValidationException")
            }
        }
    }
}

@Suite struct InvokeTests {
    private static func plan(
        _ host: TestHost, _ function: String, _ headers: [String: String] = [:], qualifier: String? = nil
    ) -> Result<InvokePlan, WireError> {
        Result { () throws(WireError) in
            try host.lambda.planInvoke(function: function, qualifier: qualifier) { headers[$0] }
        }
    }

    private static func refusal(_ plan: Result<InvokePlan, WireError>) -> WireError? {
        if case .failure(let error) = plan { error } else { nil }
    }

    @Test("the head of an invocation decides its kind, its version and its limits")
    func plans() async throws {
        try await TestHost.run { host in
            _ = await host.create("m", ["Publish": true])
            let plain = try Self.plan(host, "m").get()
            #expect(plain.kind == .requestResponse)
            #expect(plain.route.version.number == .latest)
            #expect(plain.bodyBytesMax == 6_291_456)
            #expect(
                plain.tooLarge(6_291_457).message
                    == "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"
            )
            let event = try Self.plan(
                host, "m:1", ["x-amz-invocation-type": "Event", "x-amz-durable-execution-name": "run-1"]
            ).get()
            #expect(event.kind == .event)
            #expect(event.route.version.number == .published(1))
            #expect(event.bodyBytesMax == 1_048_576)
            #expect(event.executionName?.text == "run-1")
            let context = try Self.plan(host, "m", ["x-amz-client-context": "e30=", "x-amz-log-type": "Tail"]).get()
            #expect(context.clientContext == Array("{}".utf8))
            #expect(context.wantsLogTail)
            #expect(context.request(id: "r", payload: []).payload == Array("{}".utf8))
            // After the body: a bad context is no fault of an event, which has none.
            let late = try Self.plan(host, "m", ["x-amz-client-context": "!"]).get()
            #expect(late.lateRefusal?.exception == .invalidRequestContent)
            let dropped = try Self.plan(host, "m", ["x-amz-client-context": "!", "x-amz-invocation-type": "Event"])
                .get()
            #expect(dropped.lateRefusal == nil)
            #expect(dropped.clientContext == nil)

            let missing = Self.refusal(Self.plan(host, "n"))
            #expect(missing?.message == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:n:$LATEST")
            #expect(Self.refusal(Self.plan(host, "m", qualifier: "live"))?.status == 404)
            #expect(
                Self.refusal(Self.plan(host, "m", ["x-amz-invocation-type": "Async"]))?.exception == .validation)
            #expect(try Self.plan(host, "m", ["x-amz-durable-execution-name": "x"]).get().executionName?.text == "x")
            let named = ["x-amz-durable-execution-name": "x", "x-amz-log-type": "Tail"]
            #expect(Self.refusal(Self.plan(host, "m", named))?.exception == .invalidParameterValue)
        }
    }

    @Test("a training is not invoked synchronously")
    func training() async throws {
        try await TestHost.run { host in
            _ = await host.create("m-train", ["Environment": ["Variables": ["ROOST_TRAINS": "m"]]])
            #expect(Self.refusal(Self.plan(host, "m-train"))?.exception == .modeNotSupported)
            let event = try Self.plan(host, "m-train", ["x-amz-invocation-type": "Event"]).get()
            #expect(event.kind == .event)
        }
    }

    @Test("outcomes become answers: success, function error, refusal")
    func outcomes() async throws {
        try await TestHost.run { host in
            _ = await host.create("m")
            let plan = try Self.plan(host, "m", ["x-amz-log-type": "Tail"]).get()
            var timing = InvocationTiming()
            timing.queue = .milliseconds(1)
            timing.initialization = Interval(nanoseconds: 95_040_000)
            timing.run = Interval(nanoseconds: 12_350_000)
            let success = host.lambda.response(
                to: InvocationOutcome(
                    result: .success(Array("1".utf8), contentType: nil), timing: timing, logTail: Array("foo".utf8),
                    traceID: "Root=1"),
                plan)
            #expect(success.status == 200)
            #expect(success.body == Array("1".utf8))
            #expect(success.header("X-Amz-Executed-Version") == "$LATEST")
            #expect(success.header("X-Amz-Log-Result") == "Zm9v")
            #expect(success.header("X-Amzn-Trace-Id") == "Root=1")
            #expect(success.header("X-Amz-Function-Error") == nil)
            #expect(success.header("Roost-Timing") == "queue=1.0;init=95.0;run=12.4")
            let failed = host.lambda.response(
                to: InvocationOutcome(
                    result: .functionError(Array("{}".utf8)), timing: timing, logTail: [], traceID: "t"), plan)
            #expect(failed.status == 200)
            #expect(failed.header("X-Amz-Function-Error") == "Unhandled")
            let refused = host.lambda.response(
                to: InvocationOutcome(
                    result: .refused(.queueFull(limit: 3)), timing: .init(), logTail: [], traceID: "t"), plan)
            #expect(refused.status == 429)
            #expect(refused.header("Roost-Timing") == "queue=0.0;run=0.0")
        }
    }

    @Test("an event becomes an execution, which is read, listed and stopped by its ARN")
    func events() async throws {
        try await TestHost.run { host in
            _ = await host.create("m")
            let plan = try Self.plan(
                host, "m", ["x-amz-invocation-type": "Event", "x-amz-durable-execution-name": "run-1"]
            ).get()
            let accepted = await host.lambda.acceptEvent(plan, payload: Array(#"{"lr":0.1}"#.utf8), by: TestHost.caller)
            #expect(accepted.status == 202)
            #expect(accepted.body.isEmpty)
            let id = host.executions.accepted[0].id
            #expect(accepted.header("x-amzn-RequestId") == id.text)
            let arn = try #require(accepted.header("X-Amz-Durable-Execution-Arn"))
            #expect(
                arn == "arn:aws:lambda:us-east-1:000000000000:function:m:$LATEST/durable-execution/run-1/\(id)")
            let encoded = arn.map { $0 == "/" ? "%2F" : $0 == ":" ? "%3A" : String($0) }.joined()
            let path = "/2025-12-01/durable-executions/" + encoded
            let read = await host.send("GET", path)
            #expect(read.status == 200, "\(read.json.text())")
            #expect(read.json["Status"] == "RUNNING")
            #expect(read.json["StartTimestamp"] == 1_795_435_740.5)
            #expect(read.json["InputPayload"] == #"{"lr":0.1}"#)
            #expect(read.json["DurableExecutionName"] == "run-1")
            #expect(read.json["EndTimestamp"] == nil)
            let list = "/2025-12-01/functions/m/durable-executions"
            #expect(
                await host.send("GET", list + "?Statuses=RUNNING").json["DurableExecutions"]?.arrayValue?.count == 1)
            #expect(await host.send("GET", list + "?Statuses=FAILED&Statuses=PAUSED").json["DurableExecutions"] == [])
            #expect(await host.send("GET", list + "?Statuses=PAUSED").json["DurableExecutions"] == [])
            #expect(await host.send("GET", list + "?Statuses=LATE").status == 400)
            #expect(await host.send("GET", list + "?StartedAfter=2026-01-01T00%3A00%3A00Z").status == 200)
            #expect(await host.send("GET", list + "?StartedAfter=yesterday").status == 400)
            #expect(await host.send("POST", path + "/stop", [:]).json["StopTimestamp"] == 1_795_435_741.0)
            #expect(await host.send("GET", path.replacing("run-1", with: "run-2")).status == 404)
            #expect(await host.send("GET", "/2025-12-01/durable-executions/x").status == 400)
        }
    }

    @Test("an execution's history is told in the events of durable executions, across pages")
    func history() async throws {
        try await TestHost.run { host in
            _ = await host.create("m")
            let plan = try Self.plan(host, "m", ["x-amz-invocation-type": "Event"]).get()
            let accepted = await host.lambda.acceptEvent(plan, payload: [], by: TestHost.caller)
            func at(_ second: Int64) -> Timestamp { Timestamp(millisecondsSince1970: second * 1000) }
            host.executions.accepted[0].status = .succeeded
            host.executions.accepted[0].result = .inline(Array("1".utf8))
            host.executions.history = [
                ExecutionEvent(sequence: 1, kind: .accepted, at: at(1)),
                ExecutionEvent(sequence: 2, kind: .attemptStarted, at: at(2), detail: #"{"attempt":1}"#),
                ExecutionEvent(sequence: 3, kind: .progress, at: at(3), detail: #"{"message":"epoch 1"}"#),
                ExecutionEvent(
                    sequence: 4, kind: .attemptEnded, at: at(4), detail: #"{"errorType":"E","errorMessage":"m"}"#),
                ExecutionEvent(sequence: 5, kind: .ended, at: at(5)),
            ]
            let arn = accepted.header("X-Amz-Durable-Execution-Arn")!.replacing("/", with: "%2F")
            let path = "/2025-12-01/durable-executions/\(arn)/history"
            let all = await host.send("GET", path)
            #expect(
                all.json["Events"]?.arrayValue?.map { $0["EventType"] }
                    == ["ExecutionStarted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"])
            #expect(all.json["Events"]?[0]?["ExecutionStartedDetails"]?["ExecutionTimeout"] == 3)
            #expect(all.json["Events"]?[1]?["Name"] == "epoch 1")
            let completed = all.json["Events"]?[2]?["InvocationCompletedDetails"]
            #expect(completed?["StartTimestamp"] == 2.0)
            #expect(completed?["EndTimestamp"] == 4.0)
            #expect(completed?["Error"]?["Payload"]?["ErrorType"] == "E")
            // The attempt's start is on another page than its end, in either order.
            for order in ["", "&ReverseOrder=true"] {
                var marker = ""
                var seen: [JSONValue] = []
                for _ in 0..<10 {
                    let page = await host.send("GET", path + "?MaxItems=1" + order + marker)
                    seen += page.json["Events"]?.arrayValue ?? []
                    guard let next = page.json["NextMarker"]?.stringValue else { break }
                    marker = "&Marker=" + next
                }
                let whole = all.json["Events"]?.arrayValue ?? []
                #expect(seen == (order.isEmpty ? whole : whole.reversed()))
            }
        }
    }
}

@Suite struct WireTimestampTests {
    @Test(
        "times of query parameters are read",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-11-23T12:00:00.5Z", 1_795_435_200_500),
            ("2026-11-23T13:00:00+01:00", 1_795_435_200_000), ("2024-02-29T23:59:59.999999Z", 1_709_251_199_999),
            ("1795435200", 1_795_435_200_000),
        ])
    func read(_ text: String, milliseconds: Int64) {
        #expect(Timestamp(wire: text)?.millisecondsSince1970 == milliseconds)
    }

    @Test("others are not", arguments: ["", "now", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "nan"])
    func refused(_ text: String) { #expect(Timestamp(wire: text) == nil) }
}
