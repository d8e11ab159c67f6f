import Domain
import JSON
import Manifests
import Testing

@Suite struct FunctionManifestTests {
    private func manifest(_ text: String) throws -> FunctionManifest { try FunctionManifest(text: Array(text.utf8)) }

    @Test("a manifest of two keys has the documented defaults")
    func defaults() throws {
        let read = try manifest(#"{"name":"m","runtime":"swift"}"#)
        #expect(read.function.name.text == "m")
        #expect(read.function.configuration.handler == "infer")
        #expect(read.function.configuration.memoryMegabytes == 256)
        #expect(read.function.configuration.timeoutSeconds == 10)
        #expect(read.function.configuration.environment.isEmpty)
        #expect(read.function.configuration.settings == FunctionSettings())
        #expect(read.function.reservedConcurrency == 8)
        #expect(read.training == nil)
        #expect(read.model == nil)
    }

    @Test(
        "the handler has a default for each runtime",
        arguments: [
            ("swift", "infer"), ("python3", "m.handler"), ("python3.11", "m.handler"), ("provided", "bootstrap"),
        ])
    func handlers(_ runtime: String, handler: String) throws {
        #expect(try manifest(#"{"name":"m","runtime":"\#(runtime)"}"#).function.configuration.handler == handler)
    }

    @Test("every key takes effect, settings through their variables")
    func all() throws {
        let read = try manifest(
            #"""
            {"name":"sentiment","runtime":"swift","handler":"infer","description":"d","memory":512,"timeout":20,
             "initTimeout":40,"environment":{"KEY":"value"},"workerConcurrency":2,"reservedConcurrency":4,
             "provisionedConcurrency":0,"keepAlive":1.5,"snapStart":false,"network":true,
             "batch":{"maxSize":1,"maxDelayMilliseconds":5},"model":"model/",
             "training":{"handler":"train","memory":2048,"timeout":100,"initTimeout":30}}
            """#)
        let function = read.function.configuration
        #expect(
            function.environment == [
                "KEY": "value", "ROOST_INIT_TIMEOUT": "40", "ROOST_WORKER_CONCURRENCY": "2", "ROOST_NETWORK": "true",
                "ROOST_KEEP_ALIVE": "1.5",
            ])
        #expect(function.settings.keepAlive == .seconds(1.5))
        #expect(function.settings.initTimeoutSeconds == 40)
        #expect(function.settings.workerConcurrency == 2)
        #expect(function.settings.isNetworkAllowed)
        #expect(read.function.reservedConcurrency == 4)
        #expect(read.model == "model")
        let training = try #require(read.training)
        #expect(training.name.text == "sentiment-train")
        #expect(training.configuration.settings.trains?.text == "sentiment")
        #expect(training.configuration.settings.initTimeoutSeconds == 30)
        #expect(training.configuration.memoryMegabytes == 2048)
        #expect(training.configuration.timeoutSeconds == 100)
        #expect(training.configuration.environment["KEY"] == "value")
        #expect(training.configuration.environment["ROOST_KEEP_ALIVE"] == nil)
        #expect(training.reservedConcurrency == nil)
    }

    @Test("a training function has defaults of its own")
    func training() throws {
        let training = try #require(try manifest(#"{"name":"m","runtime":"swift","training":{}}"#).training)
        #expect(training.configuration.handler == "train")
        #expect(training.configuration.timeoutSeconds == 86_400)
        #expect(training.configuration.settings.initTimeoutSeconds == 60)
    }

    @Test("a script of the folder trains, and only its path inside of it can name one")
    func script() throws {
        func handler(_ text: String) throws -> FunctionConfiguration? {
            try manifest(#"{"name":"m","runtime":"python3","training":{"handler":"\#(text)"}}"#).training?.configuration
        }
        #expect(try handler("src/train.py")?.isScript == true)
        #expect(try handler("train.handler")?.isScript == false)
        for path in ["/train.py", "../train.py", "a//train.py", "./train.py", "-train.py"] {
            let error = #expect(throws: FunctionManifest.Invalid.self) { try handler(path) }
            #expect(error?.description.contains("must name a script inside of the function's folder") == true)
        }
    }

    private func metrics(_ text: String) throws -> FunctionConfiguration? {
        try manifest(
            #"{"name":"m","runtime":"python3","training":{"handler":"train.py","metrics":\#(text)}}"#
        ).training?.configuration
    }

    @Test("metrics of a script are carried in the training function's environment")
    func metricDefinitions() throws {
        let read = try metrics(
            #"""
            [{"name":"train:loss","regex":"loss=([0-9\\.]+)"},
             {"name":"accuracy","regex":"(?<=acc=)(?P<value>\\d+)=?"}]
            """#)
        let expected = [
            try MetricDefinition(name: "train:loss", pattern: #"loss=([0-9\.]+)"#),
            try MetricDefinition(name: "accuracy", pattern: #"(?<=acc=)(?P<value>\d+)=?"#),
        ]
        #expect(read?.settings.metrics == expected)
        #expect(
            read?.environment["ROOST_METRICS"] == #"train:loss=loss=([0-9\.]+)"# + "\n"
                + #"accuracy=(?<=acc=)(?P<value>\d+)=?"#)
        #expect(try metrics("[]")?.environment["ROOST_METRICS"] == nil)
    }

    @Test(
        "metrics that cannot be looked for are refused by place",
        arguments: [
            (
                #"[{"name":"a","regex":"(a)"},{"name":"b","regex":"(b"}]"#,
                "training.metrics[1].regex '(b' is no regular"
            ),
            (#"[{"name":"a","regex":"a[(]\\("}]"#, "has no group in parentheses"),
            (#"[{"name":"a","regex":"(?:a)(?=b)(?i)"}]"#, "has no group in parentheses"),
            (#"[{"name":"a","regex":"*(a)"}]"#, "training.metrics[0].regex '*(a)' is no regular expression"),
            (#"[{"name":"a","regex":"\#(String(repeating: "x", count: 499))()"}]"#, "regex must be 1 to 500"),
            (#"[{"name":"\#(String(repeating: "x", count: 256))","regex":"()"}]"#, "name must be 1 to 255"),
            (#"[{"name":"a=b","regex":"(a)"}]"#, "training.metrics[0].name must be"),
            (#"[{"name":"a","regex":"(a)\n"}]"#, "without control characters"),
            (
                #"[{"name":"a","regex":"(a)","unit":"s"}]"#,
                "training.metrics[0].unit is not a known key; allowed are name"
            ),
            (#"[{"name":"a"}]"#, "training.metrics[0].regex is missing"),
            (#"[{"name":"a","regex":"(a)"},{"name":"a","regex":"(b)"}]"#, "training.metrics has the metric 'a' twice"),
            (#"{"a":"(a)"}"#, "training.metrics must be an array"),
        ])
    func refusedMetrics(_ text: String, message: String) {
        let error = #expect(throws: FunctionManifest.Invalid.self) { try metrics(text) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    @Test("there are at most 40 metrics, and only a script has them")
    func metricsOfWhom() throws {
        let many = (0..<40).map { #"{"name":"m\#($0)","regex":"(a)"}"# }
        #expect(try metrics("[\(many.joined(separator: ","))]")?.settings.metrics.count == 40)
        let tooMany = #expect(throws: FunctionManifest.Invalid.self) {
            try metrics("[\((many + [#"{"name":"x","regex":"(a)"}"#]).joined(separator: ","))]")
        }
        #expect(tooMany?.description.contains("has 41 metrics; allowed are 40") == true)
        let none = #expect(throws: FunctionManifest.Invalid.self) {
            try manifest(
                #"{"name":"m","runtime":"python3","training":{"metrics":[{"name":"a","regex":"(a)"}]}}"#)
        }
        #expect(none?.description.contains("training.metrics are found in the output of a script") == true)
    }

    @Test(
        "metrics that a client sets by hand are checked as well",
        arguments: [
            ("loss", "ROOST_METRICS has 'loss'; each line is NAME=REGEX"),
            ("loss=(a", "ROOST_METRICS: the regex of 'loss' '(a' is no regular expression"),
            ("a=(a)\na=(b)", "ROOST_METRICS has the metric 'a' twice"),
        ])
    func variable(_ value: String, message: String) throws {
        let error = #expect(throws: FunctionSettings.Invalid.self) {
            try FunctionSettings(environment: ["ROOST_METRICS": value])
        }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
        #expect(try FunctionSettings(environment: ["ROOST_METRICS": "a=b=(c)\n"]).metrics[0].pattern == "b=(c)")
    }

    @Test(
        "what cannot be taken is refused by name",
        arguments: [
            (#""memroy":1"#, "memroy is not a known key; allowed are name, runtime"),
            (#""training":{"epochs":1}"#, "training.epochs is not a known key; allowed are handler"),
            (#""batch":{"size":1}"#, "batch.size is not a known key"), (#""batch":{"maxSize":16}"#, "batch.maxSize"),
            (#""snapStart":true"#, "snapStart"), (#""provisionedConcurrency":1"#, "provisionedConcurrency"),
            (#""memory":64"#, "memory must be from 128"), (#""memory":"1""#, "memory must be an integer"),
            (#""timeout":0"#, "timeout"), (#""keepAlive":"forever""#, "keepAlive"), (#""keepAlive":-1"#, "keepAlive"),
            (#""environment":{"ROOST_TRAINS":"x"}"#, "ROOST_TRAINS"),
            (#""environment":{"AWS_LAMBDA_RUNTIME_API":"x"}"#, "AWS_LAMBDA_RUNTIME_API"),
            (#""environment":{"_HANDLER":"x"}"#, "_HANDLER"), (#""environment":{"1A":"x"}"#, "'1A'"),
            (#""environment":{"A1":1}"#, "environment.A1 must be a string"), (#""model":"../m""#, "model"),
            (#""model":"/m""#, "model"), (#""handler":"a b""#, "handler"),
            (#""workerConcurrency":65"#, "workerConcurrency"),
            (#""training":{"handler":"train.py"}"#, "training.handler is a script, which needs the runtime python3"),
        ])
    func refused(_ member: String, message: String) {
        let error = #expect(throws: FunctionManifest.Invalid.self) {
            try manifest(#"{"name":"m","runtime":"swift",\#(member)}"#)
        }
        #expect(error?.description.hasPrefix("function.json: ") == true)
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    @Test(
        "name and runtime are needed",
        arguments: [
            (#"{"runtime":"swift"}"#, "name is missing"), (#"{"name":"m"}"#, "runtime is missing"),
            (#"{"name":"m","runtime":"node"}"#, "runtime must be one of swift, python3"),
            (#"{"name":"a b","runtime":"swift"}"#, "name must be"), ("[]", "the manifest must be an object"),
            ("{", "no JSON"),
            (#"{"name":"\#(String(repeating: "a", count: 60))","runtime":"swift","training":{}}"#, "leave room"),
        ])
    func needed(_ text: String, message: String) {
        let error = #expect(throws: FunctionManifest.Invalid.self) { try manifest(text) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }
}
