import Domain

/// How many workers one function should have by Knative's pod autoscaler (KPA). For comparison: a host has no such thing.
///
/// As `pkg/autoscaler/scaling/autoscaler.go` of Knative Serving does it, with the defaults of its `config-autoscaler`. Every
/// 2 s the concurrency, what waits included, is averaged over a stable window of 60 s and a panic window of 6 s, or since
/// the function left zero when that is less; each average over 70 % of a worker's slots, rounded up, is a number of workers.
/// Both are kept between half of what is ready and 1000 times that. When the panic window's number is twice what is
/// ready, the larger of the two counts, and nothing is taken away until that has not been so for 60 s. A function that
/// had no invocation in the stable window keeps one worker for the grace of 30 s, then none; the first invocation after that
/// is looked at when it comes.
///
/// It differs in two ways: the averages are integrals, where Knative has samples of a second; and the grace always
/// passes in full, where Knative's is a limit.
struct KnativeAutoscaler: Sendable {
    static let tickInterval = Interval.seconds(2)
    private static let stableWindow = Interval.seconds(60)
    private static let panicWindow = Interval.seconds(6)
    private static let targetUtilization = 0.7
    private static let panicThreshold = 2.0
    private static let scaleUpRateMax = 1000.0
    private static let scaleDownRateMax = 2.0
    private static let scaleToZeroGrace = Interval.seconds(30)

    /// Of one worker.
    let slots: Int
    /// By the last tick.
    private(set) var desired = 0

    /// Invocations that wait or run.
    private var concurrency = 0
    private var changedAt = Instant.zero
    /// Of the concurrency, in seconds, from any beginning.
    private var integral = 0.0
    /// One a tick, back to the newest that is a stable window old; empty while nothing is desired.
    private var samples: [(at: Instant, integral: Double)] = []
    /// When the panic threshold was passed last; `nil` when that is over.
    private var panicAt: Instant?
    /// The most that was desired since it began.
    private var panicDesired = 0.0
    /// Since when no worker is needed.
    private var unneededSince: Instant?

    init(slots: Int) { self.slots = slots }

    mutating func change(by invocations: Int, at now: Instant) {
        integrate(to: now)
        concurrency += invocations
    }

    /// Every `tickInterval`, and at the first invocation after zero.
    ///
    /// - Parameter ready: workers that are.
    /// - Returns: `desired`, as it is now.
    mutating func tick(at now: Instant, ready: Int) -> Int {
        integrate(to: now)
        let (stable, panic) = (workers(over: Self.stableWindow, at: now), workers(over: Self.panicWindow, at: now))
        samples.append((now, integral))
        while samples.count > 1, samples[1].at + Self.stableWindow <= now { samples.removeFirst() }

        let ready = Double(max(1, ready))
        let range = (ready / Self.scaleDownRateMax).rounded(.down)...(ready * Self.scaleUpRateMax)
        func limited(_ workers: Double) -> Double { min(max(workers, range.lowerBound), range.upperBound) }
        if panic / ready >= Self.panicThreshold {
            panicAt = now
        } else if let last = panicAt, last + Self.stableWindow < now {
            panicAt = nil
            panicDesired = 0
        }
        var workers = limited(stable)
        if panicAt != nil {
            workers = max(workers, limited(panic), panicDesired)
            panicDesired = workers
        }

        if workers > 0 {
            unneededSince = nil
            desired = Int(workers)
        } else {
            let since = unneededSince ?? now
            unneededSince = since
            desired = since + Self.scaleToZeroGrace <= now && concurrency == 0 ? 0 : 1
            // After zero the windows begin anew.
            if desired == 0 { self = KnativeAutoscaler(slots: slots) }
        }
        return desired
    }

    private mutating func integrate(to now: Instant) {
        integral += Double(concurrency) * (now - changedAt).seconds
        changedAt = now
    }

    /// What the average concurrency of a window needs.
    private func workers(over window: Interval, at now: Instant) -> Double {
        var average = Double(concurrency)
        if let sample = samples.last(where: { $0.at + window <= now }) ?? samples.first, sample.at < now {
            average = (integral - sample.integral) / (now - sample.at).seconds
        }
        return (average / (Self.targetUtilization * Double(slots))).rounded(.up)
    }
}
