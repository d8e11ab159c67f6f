/// What an idle worker is worth: the arithmetic of the learned keep-alive.
///
/// The gap until a worker is needed again is taken to come from its own histogram, blended with that of all functions as
/// if a few gaps had been drawn from it. Keeping a worker up to the age T costs, for one gap,
///
///     P(gap >= T) x cold cost + rent x E[min(gap, T)]
///
/// and a worker that is absent may be started for a window [a, b) of ages in which a call is likely:
///
///     rent x (E[time in the window until the call] + cold start x P(gap >= a)) - P(a <= gap < b) x cold cost
///
/// All ages are in seconds since the gap began, all probabilities given that it has lasted until now. The rule for T is
/// ski rental with a known distribution (Karlin et al., *Competitive randomized algorithms for nonuniform problems*,
/// Algorithmica 11, 1994); the histogram and the windows are those of Shahrad et al., *Serverless in the Wild* (ATC 2020).
package struct IdlePlan {
    /// What one cold start costs, in seconds of waiting.
    let coldCost: Double
    /// What a second of being idle costs, in the same.
    let rent: Double
    /// How many gaps of its own weigh as much as what is known of others.
    static let priorGaps: Float = 4

    package init(coldCost: Double, rent: Double) {
        self.coldCost = coldCost
        self.rent = rent
    }

    /// The age up to which the worker should be kept; `age` when it should stop now.
    package func limit(_ own: GapHistogram?, _ fleet: GapHistogram, from age: Double) -> Double {
        let edges = GapHistogram.edges
        let own = own?.weights ?? GapHistogram.none
        let fleetScale = fleet.total > 0 ? Self.priorGaps / fleet.total : 0
        let fleet = fleet.weights
        let first = GapHistogram.bin(age)
        var tail = 0.0
        for bin in first..<GapHistogram.binCount { tail += Double(own[bin] + fleetScale * fleet[bin]) }
        // Stopping now is the first candidate, then the end of each bin.
        var best = age
        var bestCost = tail * coldCost
        var idle = 0.0  // over the gaps that end before the candidate, the sum of what is left of them
        for bin in first..<GapHistogram.binCount - 1 {
            let weight = Double(own[bin] + fleetScale * fleet[bin])
            let end = edges[bin + 1]
            idle += weight * ((max(edges[bin], age) + end) / 2 - age)
            tail -= weight
            let cost = tail * coldCost + rent * (idle + tail * (end - age))
            if cost < bestCost {
                bestCost = cost
                best = end
            }
        }
        return best
    }

    /// The window of ages, all later than `age`, for which it pays most to have a worker; `nil` when none does.
    ///
    /// Looks at the function's own gaps alone: those of others tell for how long a worker may be needed again, not when.
    /// - Parameter coldStart: how long before the window the worker has to be started, in seconds.
    package func window(_ own: GapHistogram, from age: Double, coldStart: Double) -> Range<Double>? {
        let edges = GapHistogram.edges
        let own = own.weights
        let first = GapHistogram.bin(age + coldStart) + 1
        let last = GapHistogram.binCount - 1
        guard first < last else { return nil }
        var tail = Self.missedGaps
        for bin in first...last { tail += Double(own[bin]) }
        var best: Range<Double>?
        var bestCost = 0.0
        for start in first..<last where own[start] > 0 {
            var (hits, idle, left) = (0.0, 0.0, tail)
            for bin in start..<min(start + Self.windowBins, last) {
                let weight = Double(own[bin])
                hits += weight
                left -= weight
                idle += weight * ((edges[bin] + edges[bin + 1]) / 2 - edges[start])
                let cost = rent * (idle + left * (edges[bin + 1] - edges[start]) + tail * coldStart) - hits * coldCost
                if cost < bestCost {
                    bestCost = cost
                    best = edges[start]..<edges[bin + 1]
                }
            }
            tail -= Double(own[start])
        }
        return best
    }

    /// Gaps that are taken to have ended after any window, beside those that did: a few of its own prove no habit.
    private static let missedGaps = 6.0
    /// The longest window: two doublings.
    private static let windowBins = 16
}
