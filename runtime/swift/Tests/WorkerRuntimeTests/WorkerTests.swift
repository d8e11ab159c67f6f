import Glibc
import Testing

@testable import WorkerRuntime

private struct Echo: Function {
    var invocations = 0
    init(_ context: InitContext) {}
    mutating func infer(_ event: Event, _ context: InvocationContext) throws -> Response {
        invocations += 1
        switch String(decoding: event.bytes.prefix(9), as: UTF8.self) {
        case "\"refuse\"": throw FunctionError(type: "BadInput", message: "say \"please\"")
        case "\"break\"": throw TrainingStopped()
        case "\"context\"":
            return Response(json: [
                "id": .string(context.requestID), "arn": .string(context.invokedFunctionARN),
                "trace": .string(context.traceID), "client": .string(context.clientContext ?? ""),
                "deadline": .integer(context.deadlineEpochMilliseconds), "count": .integer(Int64(invocations)),
                "hasTime": .bool(context.remaining > .seconds(1)),
            ])
        case "\"plain\"": return Response(bytes: Array("hello".utf8), contentType: "text/plain")
        default: return Response(bytes: event.bytes)
        }
    }
}

@Suite("A worker's slot")
struct WorkerTests {
    private let nextPath = "/2018-06-01/runtime/invocation/next"

    @Test("answers with the event's nonce and content type, and asks for the next event in the same write")
    func echo() throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        let next = try #require(host.request())
        #expect(next.method == "GET" && next.path == nextPath && next.headers["host"] == "runtime")
        host.send(FakeHost.event(Array("\"plain\"".utf8), id: "a-1"))
        let response = try #require(host.request())
        #expect(host.bufferedBytes > 0, "response and next are one write")
        #expect(response.method == "POST" && response.path == "/2018-06-01/runtime/invocation/a-1/response")
        #expect(response.headers["lambda-runtime-invocation-id"] == "nonce-a-1")
        #expect(response.headers["content-type"] == "text/plain")
        #expect(response.text == "hello")
        #expect(host.request()?.path == nextPath)
        host.send(FakeHost.accepted + FakeHost.event(Array("[1]".utf8), id: "a-2"))
        let second = try #require(host.request())
        #expect(second.path.contains("/a-2/response") && second.text == "[1]")
        #expect(second.headers["content-type"] == "application/json")
        host.close()
        worker.join()
    }

    @Test("gives the function what the host said about the invocation, and keeps its state between invocations")
    func context() throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        for count in 1...2 {
            _ = try #require(host.request())
            host.send((count > 1 ? FakeHost.accepted : []) + FakeHost.event(Array("\"context\"".utf8), id: "c"))
            let answer = try JSONValue(parsing: try #require(host.request()).body)
            #expect(answer["id"]?.string == "c")
            #expect(answer["arn"]?.string == "arn:aws:lambda:us-east-1:000000000000:function:f:live")
            #expect(answer["trace"]?.string == "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700")
            #expect(answer["client"]?.string == #"{"a":1}"#)
            #expect(answer["deadline"]?.integer == 4_102_444_800_000)
            #expect(answer["hasTime"]?.bool == true)
            #expect(answer["count"]?.integer == count)
        }
        host.close()
        worker.join()
    }

    @Test("reads an answer that arrives in pieces", arguments: [1, 7, 100])
    func splitHead(size: Int) throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        for round in 0..<2 {
            _ = try #require(host.request())
            let bytes = (round > 0 ? FakeHost.accepted : []) + FakeHost.event(Array("[1,2,3]".utf8))
            for start in stride(from: 0, to: bytes.count, by: size) {
                host.send(Array(bytes[start..<min(start + size, bytes.count)]))
                usleep(50)
            }
            #expect(host.request()?.text == "[1,2,3]")
        }
        host.close()
        worker.join()
    }

    @Test("passes bodies of 6 MiB, and empty ones")
    func largeBody() throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        var isFirst = true
        for size in [6 << 20, 0, 70_000, 4096, 6 << 20] {
            let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            _ = try #require(host.request())
            host.send((isFirst ? [] : FakeHost.accepted) + FakeHost.event(body))
            isFirst = false
            #expect(try #require(host.request()).body == body)
        }
        host.close()
        worker.join()
    }

    @Test("accepts a head of hundreds of kilobytes")
    func longHead() throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        _ = try #require(host.request())
        var event = FakeHost.event(Array("1".utf8))
        event.insert(contentsOf: Array("X-Long: \(String(repeating: "y", count: 300_000))\r\n".utf8), at: 17)
        host.send(event)
        #expect(host.request()?.text == "1")
        host.close()
        worker.join()
    }

    @Test("reports what infer throws and serves on")
    func errors() throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        _ = try #require(host.request())
        host.send(FakeHost.event(Array("\"refuse\"".utf8), id: "e"))
        let refused = try #require(host.request())
        #expect(refused.path == "/2018-06-01/runtime/invocation/e/error")
        #expect(refused.headers["lambda-runtime-invocation-id"] == "nonce-e")
        #expect(refused.text == #"{"errorMessage":"say \"please\"","errorType":"BadInput","stackTrace":[]}"#)
        _ = try #require(host.request())
        host.send(FakeHost.accepted + FakeHost.event(Array("\"break\"".utf8)))
        #expect(try JSONValue(parsing: try #require(host.request()).body)["errorType"]?.string == "TrainingStopped")
        _ = try #require(host.request())
        host.send(FakeHost.accepted + FakeHost.event(Array("2".utf8)))
        #expect(host.request()?.text == "2")
        host.close()
        worker.join()
    }

    @Test("serves on when the host refuses an answer that came too late")
    func refusedAnswer() throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        _ = try #require(host.request())
        host.send(FakeHost.event(Array("1".utf8)))
        _ = try #require(host.request())
        _ = try #require(host.request())
        host.send("HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n{}")
        host.send(FakeHost.event(Array("2".utf8)))
        #expect(host.request()?.text == "2")
        host.close()
        worker.join()
    }

    @Test("reports a failed init with its type in the header")
    func initError() throws {
        let host = FakeHost()
        let connection = HostConnection(socket: host.workerSocket)
        host.send(FakeHost.accepted)
        try connection.failInit(FunctionError(type: "Model.Corrupt", message: "cut short"))
        let report = try #require(host.request())
        #expect(report.path == "/2018-06-01/runtime/init/error")
        #expect(report.headers["lambda-runtime-function-error-type"] == "Model.Corrupt")
        #expect(try JSONValue(parsing: report.body)["errorMessage"]?.string == "cut short")
    }

    @Test(
        "ends when the host closes the connection, between invocations and within an answer",
        arguments: ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"])
    func closed(prefix: String) throws {
        let host = FakeHost()
        let worker = WorkerThread.infer(Echo.self, host)
        _ = try #require(host.request())
        host.send(prefix)
        host.close()
        worker.join()
    }
}

private struct Trained: TrainableFunction {
    init(_ context: InitContext) { preconditionFailure("training needs no init") }
    func infer(_ event: Event, _ context: InvocationContext) -> Response { Response(bytes: []) }

    static func train(_ job: TrainingJob) throws -> TrainingResult {
        switch job.hyperparameters["do"]?.string {
        case "fail": throw FunctionError(type: "BadData", message: "no lines")
        case "stop":
            kill(getpid(), SIGTERM)
            while !job.isStopRequested { usleep(100) }
            throw TrainingStopped()
        case "report":
            for step in 1...500 {
                job.progress(
                    fraction: Double(step) / 500, step: step, metrics: ["loss": 0.5, "bad": .nan], message: "é")
            }
            return TrainingResult(metrics: ["accuracy": 0.8, "bad": .infinity])
        default:
            let files = try job.files(inChannel: "train-part")?.map { $0.split(separator: "/").last! } ?? []
            return TrainingResult(metrics: ["files": Double(files.count), "attempt": Double(job.attempt)])
        }
    }
}

@Suite("A training worker", .serialized)
struct TrainingWorkerTests {
    init() {
        setenv("ROOST_OUTPUT_DIR", "/tmp", 1)
        setenv("ROOST_ATTEMPT", "3", 1)
        unsetenv("ROOST_CHANNEL_TRAIN_PART")
    }

    @Test("reports its progress without numbers that JSON lacks, and then its metrics")
    func progress() throws {
        let host = FakeHost()
        let worker = WorkerThread.train(Trained.self, host)
        _ = try #require(host.request())
        host.send(FakeHost.event(Array(#"{"do":"report","roost":{}}"#.utf8), id: "t"))
        for step in 1...500 {
            let report = try #require(host.request())
            #expect(report.path == "/roost/v1/runtime/invocation/t/progress")
            #expect(report.headers["lambda-runtime-invocation-id"] == "nonce-t")
            if step == 1 {
                #expect(report.text == #"{"fraction":0.002,"step":1,"metrics":{"loss":0.5},"message":"é"}"#)
            }
            host.send(FakeHost.accepted)
        }
        let result = try #require(host.request())
        #expect(result.path == "/2018-06-01/runtime/invocation/t/response")
        #expect(result.text == #"{"metrics":{"accuracy":0.8}}"#)
        host.close()
        worker.join()
    }

    @Test("reports what train throws")
    func failure() throws {
        let host = FakeHost()
        let worker = WorkerThread.train(Trained.self, host)
        _ = try #require(host.request())
        host.send(FakeHost.event(Array(#"{"do":"fail"}"#.utf8), id: "t"))
        let failure = try #require(host.request())
        #expect(failure.path == "/2018-06-01/runtime/invocation/t/error")
        #expect(try JSONValue(parsing: failure.body)["errorType"]?.string == "BadData")
        host.close()
        worker.join()
    }

    @Test("posts nothing when it was told to stop")
    func stop() throws {
        let host = FakeHost()
        let worker = WorkerThread.train(Trained.self, host)
        _ = try #require(host.request())
        host.send(FakeHost.event(Array(#"{"do":"stop"}"#.utf8)))
        #expect(host.request() == nil)
        worker.join()
    }

    @Test("finds a channel's regular files by the variable of the channel's name")
    func channels() throws {
        let folder = "/tmp/worker-runtime-\(getpid())"
        mkdir(folder, 0o755)
        mkdir("\(folder)/folder", 0o755)
        for name in ["b", "a"] {
            try Array("x".utf8).withUnsafeBytes {
                try TrainingJob.replaceFile(atPath: "\(folder)/\(name)", with: $0, $0)
            }
        }
        defer {
            for name in ["a", "b"] { unlink("\(folder)/\(name)") }
            rmdir("\(folder)/folder")
            rmdir(folder)
        }
        setenv("ROOST_CHANNEL_TRAIN_PART", folder, 1)
        let host = FakeHost()
        let worker = WorkerThread.train(Trained.self, host)
        _ = try #require(host.request())
        host.send(FakeHost.event(Array("{}".utf8)))
        #expect(host.request()?.text == #"{"metrics":{"attempt":3.0,"files":2.0}}"#)
        host.close()
        worker.join()

        let job = TrainingJob(channels: ["train": folder], outputDirectory: "/tmp")
        #expect(try job.files(inChannel: "train") == ["\(folder)/a", "\(folder)/b"])
        #expect(try job.files(inChannel: "validation") == nil)
        #expect(try MappedFile(path: "\(folder)/a").withBytes { Array($0) } == Array("xx".utf8))
    }
}
