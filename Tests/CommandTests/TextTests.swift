import JSON
import Testing

@testable import RoostCommand

@Suite("What people see")
struct TextTests {
    @Test("columns are as wide as their widest cell, and no line ends in blanks")
    func table() {
        var table = Table("NAME", "STATE", "WHY")
        table.add("a", "idle", "")
        table.add("longer", "busy", "because")
        #expect(table.text == "NAME    STATE  WHY\na       idle\nlonger  busy   because")
    }

    @Test(
        "sizes are told in the unit that suits them",
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (6_488_064, "6.5 MB"), (999_949_999, "999.9 MB"),
            (999_960_000, "1.0 GB"), (3_200_000_000_000, "3.2 TB"),
        ])
    func size(bytes: Int, text: String) {
        #expect(sizeText(bytes) == text)
    }

    @Test(
        "spans are told in the units that suit them",
        arguments: [
            (-1, "0.00 s"), (0.416, "0.42 s"), (12.34, "12.3 s"), (59.96, "1 m 00 s"), (247, "4 m 07 s"),
            (11_100, "3 h 05 m"), (187_200, "2 d 04 h"),
        ] as [(Double, String)])
    func span(seconds: Double, text: String) {
        #expect(spanText(seconds: seconds) == text)
    }

    @Test(
        "numbers are rounded to places",
        arguments: [
            (0.005, 2, "0.01"), (-0.04, 1, "0.0"), (-1.25, 1, "-1.3"), (12, 0, "12"), (0.5, 3, "0.500"),
            (.infinity, 2, "inf"), (1e300, 1, "1e+300"),
        ] as [(Double, Int, String)])
    func fixedPlaces(value: Double, digits: Int, text: String) {
        #expect(fixed(value, digits) == text)
    }

    @Test(
        "metrics keep the places that matter",
        arguments: [(10, "10"), (0.79315, "0.7932"), (54_321.4, "54321"), (12.345, "12.35"), (1e-7, "1e-07")]
            as [(Double, String)])
    func metrics(value: Double, text: String) {
        #expect(metricText(value) == text)
    }

    @Test("a function's words cannot move the cursor")
    func controls() {
        #expect(printable("a\u{1B}[2Jb\n\u{9B}c\u{7F}é") == "a [2Jb  c é")
    }

    @Test("an alias with weights shows the share of each version")
    func aliasTarget() {
        #expect(Alias.target(["FunctionVersion": "3"]) == "3")
        #expect(Alias.target(["FunctionVersion": "3", "RoutingConfig": ["AdditionalVersionWeights": [:]]]) == "3")
        #expect(
            Alias.target(["FunctionVersion": "3", "RoutingConfig": ["AdditionalVersionWeights": ["4": 0.1]]])
                == "3 (90 %), 4 (10 %)")
        #expect(Alias.target(nil) == "-")
    }

    @Test("a log line has five parts, and its text may have tabs of its own")
    func logLine() {
        let line = LogLine("2026-11-23T12:00:00.000Z\t3\tw1\t7f\tone\ttwo")
        #expect(line.request == "7f")
        #expect(line.message == "one\ttwo")
        #expect(line.json["request"] == "7f")
        #expect(LogLine("T\t3\tw1\t-\ttext").json["request"] == .null)
        #expect(LogLine("anything else").text == "anything else")
    }

    @Test("a version says which training it comes from")
    func origin() {
        #expect(Versions.origin(["Description": "by hand", "Lineage": nil]) == "by hand")
        #expect(
            Versions.origin(["Lineage": ["base": "2", "metrics": ["loss": 0.5, "accuracy": 0.8]]])
                == "training of 2 accuracy 0.8000")
    }
}

@Suite("Lineage and differences of versions")
struct LineageTests {
    private static let lineage: JSONObject = [
        "execution": "e1", "attempts": 2, "base": "1",
        "channels": ["train": "sha256:0123456789abcdef", "more": "sha256:ff"],
        "datasets": ["train": ["name": "reviews", "version": 3]], "hyperparameters": ["rate": 0.5, "layers": [1, 2]],
        "metrics": ["accuracy": 0.5], "queuedSeconds": 1.5, "trainingSeconds": 75, "memoryPeakMegabytes": 64,
        "costGigabyteSeconds": 4.6875,
    ]

    @Test("a lineage is told in lines, the parts that it has")
    func lines() {
        #expect(
            Lineage.lines(Self.lineage) == [
                "base             1", "execution        e1", "data             train=dataset:reviews@3  more=ff",
                "hyperparameters  rate=0.5  layers=[1,2]", "metrics          accuracy 0.5000",
                "took             queued for 1.50 s, trained for 1 m 15 s, 2 attempts, 64 MB at most, 4.6875 GB s",
            ])
        #expect(Lineage.lines(["base": "$LATEST"]) == ["base  $LATEST"])
        #expect(Lineage.lines(["base": "a\u{1B}[2J"]) == ["base  a [2J"])
    }

    @Test("a difference has what changed, what came and what went, and of metrics by how much")
    func difference() {
        var other = Self.lineage
        other["metrics"] = ["accuracy": 0.75, "loss": 1]
        other["datasets"] = ["train": ["name": "reviews", "version": 4]]
        other["hyperparameters"] = ["layers": [1, 2]]
        func version(_ number: String, _ memory: JSONValue, _ model: String, _ lineage: JSONObject) -> (
            JSONValue, JSONValue
        ) {
            (
                ["Version": .string(number), "RevisionId": .string(number), "MemorySize": memory],
                ["Version": .string(number), "Package": "p", "Model": .string(model), "Lineage": .object(lineage)]
            )
        }
        let one = version("1", 128, "m1", Self.lineage)
        let two = version("2", 256, "m2", other)
        #expect(
            VersionDiff(from: one, to: two).json == [
                "Configuration": [["Field": "MemorySize", "From": 128, "To": 256]],
                "Artifacts": [["Field": "Model", "From": "m1", "To": "m2"]],
                "Lineage": [
                    ["Field": "channel train", "From": "dataset:reviews@3", "To": "dataset:reviews@4"]
                ],
                "Hyperparameters": [["Field": "rate", "From": 0.5, "To": nil]],
                "Metrics": [
                    ["Field": "accuracy", "From": 0.5, "To": 0.75, "Change": 0.25],
                    ["Field": "loss", "From": nil, "To": 1],
                ],
            ])
        #expect(VersionDiff(from: one, to: one).text(from: "1", to: "1").isEmpty)
        #expect(VersionDiff(from: one, to: two).text(from: "1", to: "2").contains("+0.2500"))
    }

    @Test("a version that was not trained differs in all that the other one has")
    func untrained() {
        let plain: (JSONValue, JSONValue) = (["MemorySize": 128], ["Package": "p", "Model": nil, "Lineage": nil])
        let diff = VersionDiff(
            from: plain, to: (["MemorySize": 128], ["Package": "p", "Model": "m", "Lineage": .object(Self.lineage)]))
        #expect(diff.groups.map(\.name) == ["Artifacts", "Lineage", "Hyperparameters", "Metrics"])
        #expect(diff.groups[0].differences == [.init(field: "Model", from: nil, to: "m")])
    }
}

@Suite("What is shown of a running training")
struct TrainingViewTests {
    @Test("a report with a message leaves a line; others only move the bar")
    func lines() {
        var view = TrainingView()
        #expect(view.take(kind: "accepted", at: 100, detail: [:]) == [])
        #expect(view.take(kind: "attemptStarted", at: 101, detail: ["attempt": 1]) == [])
        #expect(view.take(kind: "progress", at: 102, detail: ["fraction": 0.25, "metrics": ["loss": 0.5]]) == [])
        #expect(
            view.statusText(now: 103, columns: 80) == "[#####---------------]  25 %  2.00 s  ETA 2.00 s  loss 0.5000")
        #expect(
            view.take(
                kind: "progress", at: 104,
                detail: ["fraction": 0.5, "step": 1, "message": "epoch 1 of 2", "metrics": ["loss": 0.25]])
                == ["epoch 1 of 2  loss 0.2500"])
        #expect(view.take(kind: "progress", at: 104, detail: ["step": 2]) == [])
        #expect(view.message == "step 2")
        #expect(view.metrics == ["loss": 0.25])
    }

    @Test("an interruption and a second attempt are told")
    func attempts() {
        var view = TrainingView()
        #expect(view.take(kind: "interrupted", at: 1, detail: [:]).count == 1)
        #expect(view.take(kind: "attemptStarted", at: 2, detail: ["attempt": 2]) == ["attempt 2 starts"])
    }

    @Test(
        "the bar stays within its width",
        arguments: [(-1, "[----]   0 %"), (0.5, "[##--]  50 %"), (0.999, "[###-]  99 %"), (7, "[####] 100 %")]
            as [(Double, String)])
    func bar(fraction: Double, text: String) {
        #expect(TrainingView.bar(fraction, width: 4) == text)
    }

    @Test("the status fits the terminal")
    func narrow() {
        var view = TrainingView()
        _ = view.take(
            kind: "progress", at: 0, detail: ["fraction": 1, "message": .string(String(repeating: "x", count: 200))])
        #expect(view.statusText(now: 1, columns: 40).count == 40)
    }

    @Test("the outcome has the version as the Lambda API writes it, and the function's own final metrics")
    func outcome() {
        let outcome = TrainingOutcome(
            [
                "ExecutionArn": "arn", "Status": "SUCCEEDED", "PublishedVersion": 2, "AcceptedAt": 10, "EndedAt": 12.5,
                "Result": #"{"metrics":{"accuracy":0.8}}"#,
            ], arn: "", lastMetrics: ["accuracy": 0.1])
        #expect(
            outcome.json == [
                "executionArn": "arn", "status": "SUCCEEDED", "version": "2", "metrics": ["accuracy": 0.8],
            ])
        #expect(outcome.seconds == 2.5)
        #expect(outcome.promotionText == nil)
    }

    @Test("the outcome says whether the alias moved, and why")
    func promotion() {
        func outcome(_ promotion: JSONValue) -> TrainingOutcome {
            TrainingOutcome(["Status": "SUCCEEDED", "Promotion": promotion], arn: "arn", lastMetrics: nil)
        }
        #expect(outcome(["alias": "live", "moved": true]).promotionText == "alias live points to it")
        let stays = outcome(["alias": "live", "moved": false, "reason": "loss 2 is more than 1"])
        #expect(stays.promotionText == "alias live stays: loss 2 is more than 1")
        #expect(stays.json["promotion"]?["moved"] == false)
    }

    @Test("a failure has a reason, the last metrics that were reported, and no version")
    func failure() {
        let outcome = TrainingOutcome(
            ["Status": "FAILED", "Error": ["ErrorType": "BadData", "ErrorMessage": "no lines"]], arn: "arn",
            lastMetrics: ["loss": 2])
        #expect(outcome.reason == "BadData: no lines")
        #expect(outcome.json["version"] == .null)
        #expect(outcome.json["metrics"] == ["loss": 2])
        #expect(ExecutionFollower.isEnded(["Status": "FAILED"]))
        #expect(!ExecutionFollower.isEnded(["Status": "QUEUED"]))
    }
}
