import JSON
import Testing

@testable import RoostCommand

@Suite("What is read from the command line")
struct ArgumentTests {
    @Test(
        "an endpoint is a scheme, a host, a port and a path",
        arguments: [
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070", "127.0.0.1", true),
            ("http://localhost:7070/", "http://localhost:7070", "localhost", true),
            ("https://models.example/base/", "https://models.example/base", "models.example", false),
            ("HTTP://[::1]:80", "HTTP://[::1]:80", "::1", true),
        ])
    func endpoint(text: String, url: String, hostName: String, isLoopback: Bool) throws {
        let endpoint = try Endpoint(text)
        #expect(endpoint.url == url)
        #expect(endpoint.hostName == hostName)
        #expect(endpoint.isLoopback == isLoopback)
    }

    @Test(
        "what is no endpoint is wrong usage",
        arguments: [
            "", "127.0.0.1:7070", "ftp://host", "http://", "http:///path", "http://host:0", "http://host:65536",
            "http://host:port", "http://user@host", "http://host?q", "http://ho st",
        ])
    func notAnEndpoint(text: String) {
        let error = #expect(throws: CommandError.self) { try Endpoint(text) }
        #expect(error?.exitStatus == 2)
    }

    @Test(
        "a function is named alone, with a qualifier, or by an ARN",
        arguments: [
            ("echo", "echo", nil), ("echo:live", "echo", "live"), ("echo:$LATEST", "echo", "$LATEST"),
            (
                "arn:aws:lambda:us-east-1:000000000000:function:echo:3",
                "arn:aws:lambda:us-east-1:000000000000:function:echo:3", nil
            ),
        ] as [(String, String, String?)])
    func reference(text: String, name: String, qualifier: String?) throws {
        let reference = try FunctionReference(text)
        #expect(reference.name == name)
        #expect(reference.qualifier == qualifier)
    }

    @Test("an empty name or qualifier is wrong usage", arguments: ["", ":live", "echo:"])
    func badReference(text: String) {
        #expect(throws: CommandError.self) { try FunctionReference(text) }
    }

    @Test("each piece of a path is encoded, so that a slash in a name stays in it")
    func paths() {
        #expect(RequestPath.lambda("a/b", "invocations").description == "/2015-03-31/functions/a%2Fb/invocations")
        #expect(
            RequestPath.roost("x", query: [("after", "1"), ("function", nil), ("q", "ä &=")]).description
                == "/roost/v1/x?after=1&q=%C3%A4%20%26%3D")
        #expect(percentEncoded("sha256:0a-_.~") == "sha256:0a-_.~")
    }

    @Test("a channel is a name, the first '=' and a path", arguments: [("train=a=b/c", "train", "a=b/c")])
    func channel(text: String, name: String, path: String) throws {
        let channel = try Channel(text)
        #expect(channel.name == name)
        #expect(channel.path == path)
    }

    @Test("what is no channel is wrong usage", arguments: ["train", "=path", "train=", ""])
    func badChannel(text: String) {
        #expect(throws: CommandError.self) { try Channel(text) }
    }

    @Test("a channel may be a dataset, if it is one")
    func datasetChannel() throws {
        #expect(try Channel("train=dataset:reviews@2").isDataset)
        #expect(try !Channel("train=./dataset:x y").isDataset)
        for wrong in ["dataset:", "dataset:a b", "dataset:a@", "dataset:a@x", "dataset:a@0", "dataset:a@1@2"] {
            #expect(throws: CommandError.self) { try Channel("train=\(wrong)") }
        }
    }

    @Test(
        "a gate is a metric, a comparison and a number or 'current'",
        arguments: [
            ("accuracy>=0.8", ["metric": "accuracy", "atLeast": 0.8]),
            ("loss <= 1e-3", ["metric": "loss", "atMost": 1e-3]),
            ("validation:f1>current", ["metric": "validation:f1", "betterThan": "current", "direction": "max"]),
            ("loss< current", ["metric": "loss", "betterThan": "current", "direction": "min"]),
        ] as [(String, JSONValue)])
    func gates(text: String, condition: JSONValue) throws {
        #expect(GateOption.promotion("live", try GateOption(text)) == ["alias": "live", "if": condition])
    }

    @Test(
        "what is no gate is wrong usage",
        arguments: ["", "a", ">=1", " >=1", "a>1", "a>=", "a>=x", "a>=nan", "a>=inf", "a==1", "a>=current", "a<>1"])
    func badGates(text: String) {
        #expect(throws: CommandError.self) { try GateOption(text) }
    }

    @Test("a weight is a version and a share of 1")
    func weights() throws {
        #expect(try JSONValue.object(Alias.weights(["2=0.1", "3=1"])) == ["2": 0.1, "3": 1.0])
        for wrong in ["2", "2=", "=0.1", "2=1.5", "2=-1", "2=nan", "2=ten"] {
            #expect(throws: CommandError.self) { try Alias.weights([wrong]) }
        }
    }

    @Test("an execution is named by its id or by its ARN")
    func executions() {
        #expect(executionID("7f") == "7f")
        #expect(
            executionID("arn:aws:lambda:us-east-1:000000000000:function:m:$LATEST/durable-execution/run/7f") == "7f")
    }

    @Test("a training's event holds the hyperparameters, and for the host what the command line adds")
    func trainingEvent() throws {
        let parameters = try Train.hyperparameters(Array(#"{"epochs":3,"roost":{"base":"1","kept":true}}"#.utf8))
        let event = Train.event(
            parameters, base: "live", channels: ["train": "sha256:0"] as JSONObject, promote: "live")
        #expect(
            event == [
                "epochs": 3,
                "roost": [
                    "base": "live", "kept": true, "channels": ["train": "sha256:0"], "promote": ["alias": "live"],
                ],
            ])
        #expect(Train.event(JSONObject(), base: nil, channels: JSONObject(), promote: nil) == [:])
    }

    @Test("hyperparameters that are no JSON object are wrong usage", arguments: ["[1]", "3", "{", "nonsense"])
    func badHyperparameters(text: String) {
        let error = #expect(throws: CommandError.self) { try Train.hyperparameters(Array(text.utf8)) }
        #expect(error?.exitStatus == 2)
    }

    @Test(
        "a package leaves out what belongs to the folder's author",
        arguments: [
            ("function.json", false, true), ("README.md", false, true), ("event.json", false, true),
            ("expected.json", false, true), ("tests", true, true), ("__pycache__", true, true),
            ("library/__pycache__", true, true), ("weights/model", true, true), ("handler.py", false, false),
            ("library/tests", true, false), ("library/README.md", false, false), ("weights", true, false),
            ("tests", false, false), ("data/event.json", false, false),
        ])
    func packaging(path: String, isDirectory: Bool, isLeftOut: Bool) {
        #expect(
            FunctionFolder.isLeftOut(path, isDirectory: isDirectory, model: "weights/model") == isLeftOut)
    }

    @Test("a Swift package needs exactly one executable product")
    func executableProduct() throws {
        let package = SwiftPackage(path: "somewhere")
        func description(_ executables: [String]) -> [UInt8] {
            let products: [JSONValue] =
                executables.map { ["name": .string($0), "type": ["executable": nil]] }
                + [["name": "library", "type": ["library": ["automatic"]]]]
            return Array("a note\n".utf8) + JSONValue.object(["products": .array(products)]).encoded()
        }
        #expect(try package.executableProduct(of: description(["model"])) == "model")
        for executables in [[], ["a", "b"]] {
            #expect(throws: CommandError.self) { try package.executableProduct(of: description(executables)) }
        }
        #expect(throws: CommandError.self) { try package.executableProduct(of: Array("no JSON".utf8)) }
    }
}
