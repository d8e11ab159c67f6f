import JSON

/// The course of each metric that an execution reports, in bounded memory: of a long one every second point is kept, then
/// every fourth, and so on.
struct MetricHistory {
    struct Point: Equatable {
        /// Seconds since 1970.
        let at: Double
        let step: Int64?
        let value: Double
    }

    struct Series {
        static let pointsMax = 512

        /// Every `stride`-th of those that came.
        private(set) var kept: [Point] = []
        private(set) var newest: Point?
        private var stride = 1
        private var count = 0

        mutating func append(_ point: Point) {
            newest = point
            if count.isMultiple(of: stride) { kept.append(point) }
            count += 1
            guard kept.count > Self.pointsMax else { return }
            stride *= 2
            kept = kept.enumerated().compactMap { $0.offset.isMultiple(of: 2) ? $0.element : nil }
        }

        /// In the order of their times; the last one is the newest that came.
        var points: [Point] {
            guard let newest, kept.last != newest else { return kept }
            return kept + [newest]
        }
    }

    /// Further ones are left out.
    static let metricsMax = 100

    /// In the order in which they were first reported.
    private(set) var names: [String] = []
    private var series: [String: Series] = [:]

    /// Takes a progress report; what is no finite number in it is left out.
    mutating func take(at: Double, report: JSONValue) {
        let step = report["step"]?.integerValue
        for entry in report["metrics"]?.objectValue?.entries.map({ ($0.key, $0.value) }) ?? [] {
            guard let value = entry.1.realValue, value.isFinite else { continue }
            if series[entry.0] == nil {
                guard names.count < Self.metricsMax else { continue }
                names.append(entry.0)
            }
            series[entry.0, default: Series()].append(Point(at: at, step: step, value: value))
        }
    }

    func points(of name: String) -> [Point] { series[name]?.points ?? [] }

    /// What is drawn when nobody says: `loss`, else the first whose name ends in it.
    var loss: String? {
        names.contains("loss") ? "loss" : names.first { $0.lowercased().hasSuffix("loss") }
    }

    /// `{"loss": [{"At": 1766000000.5, "Step": 3, "Value": 0.41}, ...]}`; `Step` only where it was reported.
    var json: JSONValue {
        var document = JSONObject()
        for name in names {
            document[name] = .array(
                points(of: name).map { point in
                    var object: JSONObject = ["At": .real(point.at)]
                    if let step = point.step { object["Step"] = .integer(step) }
                    object["Value"] = .real(point.value)
                    return .object(object)
                })
        }
        return .object(document)
    }
}
