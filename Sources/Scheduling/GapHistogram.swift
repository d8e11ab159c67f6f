/// How long workers lay idle before they were needed again: a histogram over log-spaced gaps that forgets.
///
/// 8 bins for each doubling from 1 s to 36 h, evenly spaced within it, and one below and one above. 556 bytes.
package struct GapHistogram: Sendable {
    /// Gaps of less than a second are all alike: no worker is stopped and started within one.
    private static let bottom = 1.0
    private static let doublings = 17
    private static let steps = 8
    package static let binCount = 2 + doublings * steps

    package private(set) var weights = [Float](repeating: 0, count: binCount)
    package private(set) var total: Float = 0

    package init() {}

    package mutating func add(_ seconds: Double, weight: Float = 1) {
        weights[Self.bin(seconds)] += weight
        total += weight
    }

    package mutating func scale(by factor: Float) {
        for bin in weights.indices { weights[bin] *= factor }
        total *= factor
    }

    /// The weights of one to which nothing was added.
    static let none = [Float](repeating: 0, count: binCount)

    package static func bin(_ seconds: Double) -> Int {
        guard seconds >= bottom else { return 0 }
        guard seconds.exponent < doublings else { return binCount - 1 }
        let doubling = Int(seconds.exponent)
        return 1 + doubling * steps + Int((seconds.significand - 1) * Double(steps))
    }

    /// Of each bin, in seconds: from `edges[bin]` to `edges[bin + 1]`. The last has no end, and stands for twice its
    /// beginning.
    package static let edges: [Double] = {
        var edges = [0.0]
        var start = bottom
        for _ in 0..<doublings {
            for step in 0..<steps { edges.append(start * (1 + Double(step) / Double(steps))) }
            start *= 2
        }
        return edges + [start, start * 2]
    }()
}
