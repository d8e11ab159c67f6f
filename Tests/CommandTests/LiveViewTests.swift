import JSON
import Testing

@testable import RoostCommand

@Suite("The live view of a training")
struct LiveViewTests {
    private func progressed(_ view: inout TrainingView, _ at: Double, _ detail: JSONValue) {
        _ = view.take(kind: "progress", at: at, detail: detail)
    }

    // MARK: - The curve

    @Test("a falling line goes from the upper left to the lower right, eight rows high")
    func falling() {
        let lines = MetricPlot.lines(name: "loss", values: [2, 1, 0], columns: 30)
        #expect(
            lines
                == [
                    "  loss",
                    "  2 +⠑⠢⣀",
                    "    |   ⠑⠢⣀",
                    "    |      ⠑⠢⣀",
                    "    |         ⠑⠢⣀",
                    "    |            ⠑⠢⢄",
                    "    |               ⠉⠒⢄⡀",
                    "    |                  ⠈⠑⠤⣀",
                    "  0 +                      ⠑⠢⢄",
                ])
    }

    @Test("a curve that is flat, and one of a single value, stands in the middle")
    func flat() {
        let flat = MetricPlot.lines(name: "a", values: [5, 5], columns: 30)
        #expect(flat.count == 9 && flat[1] == "  5 +" && flat[5].hasPrefix("    |\u{2809}\u{2809}"))
        let single = MetricPlot.lines(name: "a", values: [5], columns: 30)
        #expect(single[5] == "    |\u{2801}")
    }

    @Test("whatever the values, no line is wider than the terminal", arguments: [30, 41, 80, 200])
    func width(columns: Int) {
        let long = String(repeating: "n", count: 300)
        for values in [
            [1e300, -1e300, 0], [.greatestFiniteMagnitude, -.greatestFiniteMagnitude], [-1234567.891, 1e-9],
            (0..<5000).map { Double($0 * 7919 % 1000) },
        ] as [[Double]] {
            let lines = MetricPlot.lines(name: long, values: values, columns: columns)
            #expect(lines.count == 9)
            #expect(lines.allSatisfy { $0.count <= columns }, "\(lines)")
        }
    }

    @Test("without values or without room nothing is drawn")
    func nothing() {
        #expect(MetricPlot.lines(name: "a", values: [], columns: 80) == [])
        #expect(MetricPlot.lines(name: "a", values: [1], columns: 29) == [])
    }

    @Test("colours are around the curve alone, and only when they are wanted")
    func colors() {
        let plain = MetricPlot.lines(name: "a", values: [1, 0], columns: 30)
        let colored = MetricPlot.lines(name: "a", values: [1, 0], columns: 30, style: .colored)
        #expect(colored[1].hasPrefix("  1 +\u{1B}[36m") && colored[1].hasSuffix("\u{1B}[0m"))
        #expect(
            colored.map { $0.replacing("\u{1B}[36m", with: "").replacing("\u{1B}[0m", with: "") } == plain)
        #expect(TextStyle.ofTerminal { ["NO_COLOR": "1", "TERM": "xterm"][$0] } == .plain)
        #expect(TextStyle.ofTerminal { ["TERM": "dumb"][$0] } == .plain)
        #expect(TextStyle.ofTerminal { ["TERM": "xterm"][$0] } == .colored)
    }

    // MARK: - Which metric

    @Test(
        "the curve is that of the loss, unless somebody says otherwise",
        arguments: [
            (["accuracy", "val_loss", "loss"], "loss"), (["a", "train:Loss", "val_loss"], "train:Loss"),
            (["a", "b"], nil),
        ] as [([String], String?)])
    func chosen(names: [String], expected: String?) {
        var history = MetricHistory()
        for name in names { history.take(at: 0, report: ["metrics": .object([name: 1])]) }
        #expect(history.loss == expected)
    }

    @Test("the screen is the curve and the status below it; on a low terminal the status alone")
    func screen() {
        var view = TrainingView()
        #expect(view.screen(now: 1, columns: 60, rows: 24) == ["queued"])
        _ = view.take(kind: "attemptStarted", at: 0, detail: ["attempt": 1])
        progressed(&view, 1, ["metrics": ["accuracy": 0.5]])
        #expect(view.screen(now: 1, columns: 60, rows: 24).count == 1)
        progressed(&view, 2, ["metrics": ["loss": 0.5, "accuracy": 0.6]])
        let screen = view.screen(now: 2, columns: 60, rows: 24)
        #expect(screen.count == 10 && screen[0] == "  loss" && screen[9].hasPrefix("running  2.00 s"))
        #expect(view.screen(now: 2, columns: 60, rows: 11).count == 1)
        var named = TrainingView(plot: "accuracy")
        progressed(&named, 1, ["metrics": ["loss": 1]])
        #expect(named.screen(now: 1, columns: 60, rows: 24).count == 1)
        progressed(&named, 1, ["metrics": ["accuracy": 1]])
        #expect(named.screen(now: 1, columns: 60, rows: 24)[0] == "  accuracy")
    }

    // MARK: - The time that is left

    @Test("the time that is left follows from what this attempt has done")
    func eta() {
        var view = TrainingView()
        _ = view.take(kind: "attemptStarted", at: 100, detail: ["attempt": 1])
        #expect(!view.statusText(now: 101, columns: 80).contains("ETA"))
        progressed(&view, 110, ["fraction": 0.25])
        #expect(view.statusText(now: 110, columns: 80).contains("  10.0 s  ETA 30.0 s"))
        #expect(view.statusText(now: 115, columns: 80).contains("  15.0 s  ETA 25.0 s"))
        #expect(view.statusText(now: 500, columns: 80).contains("ETA 0.00 s"))
        // A second attempt goes on at a quarter. Its speed is what counts, not what lies between.
        _ = view.take(kind: "interrupted", at: 120, detail: [:])
        #expect(!view.statusText(now: 121, columns: 80).contains("ETA"))
        _ = view.take(kind: "attemptStarted", at: 1000, detail: ["attempt": 2])
        progressed(&view, 1010, ["fraction": 0.25])
        #expect(!view.statusText(now: 1010, columns: 80).contains("ETA"))
        progressed(&view, 1020, ["fraction": 0.5])
        #expect(view.statusText(now: 1020, columns: 80).contains("ETA 20.0 s"))
    }

    // MARK: - The course of a metric

    @Test("a short series is whole; a long one keeps its first and its newest point and a bounded number between")
    func bounded() {
        var series = MetricHistory.Series()
        var largest = 0
        for number in 0..<100_000 {
            series.append(.init(at: Double(number), step: nil, value: Double(number)))
            if number < MetricHistory.Series.pointsMax { #expect(series.points.count == number + 1) }
            largest = max(largest, series.points.count)
        }
        #expect(largest <= MetricHistory.Series.pointsMax + 1)
        let points = series.points
        #expect(points.count > MetricHistory.Series.pointsMax / 2)
        #expect(points.first?.at == 0 && points.last?.at == 99_999)
        let gaps = Set(zip(points, points.dropFirst()).dropLast().map { $1.at - $0.at })
        #expect(gaps == [256])
    }

    @Test("metrics are bounded in number, and keep their order, times and steps")
    func json() {
        var history = MetricHistory()
        history.take(at: 1.5, report: ["step": 3, "metrics": ["loss": 0.5, "odd": "text"]])
        history.take(at: 2, report: ["metrics": ["loss": 1, "accuracy": 1]])
        history.take(at: 3, report: ["message": "nothing"])
        #expect(
            history.json == [
                "loss": [["At": 1.5, "Step": 3, "Value": 0.5], ["At": .real(2), "Value": .real(1)]],
                "accuracy": [["At": .real(2), "Value": .real(1)]],
            ])
        for number in 0..<1000 { history.take(at: 4, report: ["metrics": .object(["m\(number)": 1])]) }
        #expect(history.names.count == MetricHistory.metricsMax)
        #expect(history.points(of: "none") == [])
    }
}
