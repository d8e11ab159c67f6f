package import Domain
package import Scheduling

/// Replays a trace on the production scheduler and a virtual clock.
///
/// The scheduler decides all; this carries its actions out as `Dispatcher` does with real workers, and tells it what
/// they led to:
///
/// - `start`: ready after the cold start of the function's newest invocation, or its init fails then;
/// - `dispatch`: finishes after the invocation's duration, or the worker crashes at a moment before that;
/// - `stop`, and a crash: the worker has gone after `Settings.exitTime`, and counts until then;
/// - `refuse`: the invocation is over, nobody tries it again.
///
/// The clock begins at the first arrival, in an empty host that knows no function; a function's pool is made when its
/// first invocation arrives. It ends when the last worker has stopped, so what a policy keeps idle after the last
/// invocation is paid for too. What happens at one instant happens in this order: what workers do, in the order in which
/// it was caused; the scheduler's timer; Knative's autoscaler; arrivals, in the order of the trace.
///
/// Invariants, checked by `precondition`, because no trace can break them:
/// 1. A dispatch goes to a free slot of a ready worker of the invocation's function.
/// 2. Each invocation of the trace ends once: finished, failed or refused.
package struct Simulation {
    package struct Settings: Sendable {
        /// Of every function. With `.seconds(.infinity)` idle workers stop only for others, and at the end, which is that
        /// of the last invocation.
        package var keepAlive = FunctionSettings.KeepAlive.learned
        /// With `.knative` the keep-alive is its own, and `keepAlive` has no meaning.
        package var scaleUp = ScaleUp.aware
        /// Invocations that one worker takes at once, 1 to 64. They do not slow each other.
        package var concurrency = 1
        /// The host's own defaults; its memory is unlimited unless this says otherwise. `workersMax` times `concurrency`
        /// is at most `slotsMax`.
        package var limits = HostLimits()
        /// The probability with which each init fails, and each invocation crashes its worker. Above 0, what draws do is
        /// the same for the same seed.
        package var faultRate = 0.0
        package var seed: UInt64 = 1
        /// From the signal, or the crash, until the worker and its memory have gone.
        package var exitTime = Interval.milliseconds(10)

        package init() {}

        package enum ScaleUp: String, CaseIterable, Sendable {
            /// The scheduler's own rule.
            case aware
            /// A worker for each concurrent invocation, as AWS Lambda's documentation tells of its execution
            /// environments. There the invocation waits for the one that was started for it; here it takes whichever is
            /// free first.
            case lambda
            /// See `KnativeAutoscaler`.
            case knative = "kpa"

            var rule: HostLimits.ScaleUp {
                switch self {
                case .aware: .aware
                case .lambda: .eachInvocation
                case .knative: .provisionedOnly
                }
            }
        }

        /// What the scheduler can sum the ages of in 64 bits over `Trace.Limit.spanDays`, in microseconds.
        package static let slotsMax = 250_000
    }

    /// Of one function of the trace.
    struct PoolState {
        var isKnown = false
        var coldStart = Interval.zero
        /// Workers that are ready.
        var ready = 0
        var autoscaler: KnativeAutoscaler
    }

    struct SimulatedWorker {
        enum State { case starting, idle, busy, ending }
        let id: WorkerID
        let function: Int
        let cause: StartCause
        var state = State.starting
        /// When it entered its state.
        var since: Instant
        var readyAt = Instant.distantFuture
        var running = 0
    }

    enum Event: Sendable {
        /// The first number is a place in `workers`, which may be another worker's by then.
        case ready(Int32, WorkerID)
        case initFailed(Int32, WorkerID)
        case finished(Int32, Slot)
        case crashed(Int32, WorkerID)
        case exited(Int32, WorkerID)
    }

    let trace: Trace
    let settings: Settings
    private let origin: Int64
    private var random: RandomSource

    private var scheduler: Scheduler
    private var actions = ActionBuffer()
    private var wakeAt = Instant.distantFuture
    /// Of the autoscalers' next tick, while one of them wants workers.
    private var autoscaleAt = Instant.distantFuture
    /// Functions whose autoscaler wants workers.
    private var scaled: [Int] = []
    private var queue = EventQueue<Event>()
    private var now = Instant.zero
    /// Index of the next invocation of the trace to arrive.
    private var next = 0

    private var pools: [PoolState]
    private var places: [WorkerID: Int32] = [:]
    private var workers: [SimulatedWorker] = []
    private var freePlaces: [Int32] = []
    /// By place times `concurrency` plus slot: the index of the invocation that runs there, or -1.
    private var running: [Int32] = []
    private var memoryMegabytes = 0

    private var report: SimulationReport
    /// Of dispatched invocations, in nanoseconds, those that were not dispatched at once.
    private var waits: [Int64] = []

    /// - Parameter trace: not empty.
    package static func run(_ trace: Trace, _ settings: Settings) -> SimulationReport {
        var simulation = Simulation(trace, settings)
        simulation.run()
        return simulation.report
    }

    private init(_ trace: Trace, _ settings: Settings) {
        precondition((1...64).contains(settings.concurrency) && (0...1).contains(settings.faultRate))
        precondition(settings.limits.workersMax <= Settings.slotsMax / settings.concurrency)
        precondition(!trace.invocations.isEmpty)
        self.trace = trace
        self.settings = settings
        origin = trace.invocations[0].arrivalNanoseconds
        random = RandomSource(seed: settings.seed)
        var limits = settings.limits
        limits.scaleUp = settings.scaleUp.rule
        scheduler = Scheduler(limits: limits)
        pools = Array(
            repeating: PoolState(autoscaler: KnativeAutoscaler(slots: settings.concurrency)),
            count: trace.functions.count)
        report = SimulationReport(invocations: trace.invocations.count, functions: trace.functions.count)
    }

    // MARK: - The clock

    private mutating func run() {
        while true {
            let event = queue.earliest ?? .distantFuture
            let arrival = next < trace.invocations.count ? arrival(next) : .distantFuture
            let earliest = min(event, wakeAt, autoscaleAt, arrival)
            if earliest == .distantFuture, !workers.isEmpty, workers.count > freePlaces.count {
                scheduler.shutdown(at: now, into: &actions)
                perform()
                continue
            }
            guard earliest < .distantFuture else { break }
            now = max(now, earliest)  // a wake may be asked for too late
            report.events += 1
            if event == earliest {
                handle(queue.popFirst()!.event)
            } else if wakeAt == earliest {
                wakeAt = .distantFuture
                scheduler.tick(at: now, into: &actions)
            } else if autoscaleAt == earliest {
                autoscale()
            } else {
                arrive(next)
                next += 1
            }
            perform()
        }
        precondition(workers.count == freePlaces.count, "a worker never ends")
        precondition(
            report.finished + report.failed + report.refused.total == report.invocations, "an invocation is lost")
        report.waits = WaitTimes(waits: &waits, count: report.finished + report.failed)
    }

    private func arrival(_ index: Int) -> Instant {
        Instant(nanoseconds: trace.invocations[index].arrivalNanoseconds - origin)
    }

    /// Invocations are numbered from 1.
    private func index(of invocation: InvocationID) -> Int { Int(invocation.value) - 1 }

    private mutating func arrive(_ index: Int) {
        let invocation = trace.invocations[index]
        let function = Int(invocation.function)
        let pool = PoolID(invocation.function)
        pools[function].coldStart = Interval(nanoseconds: Int64(invocation.coldStartMicroseconds) * 1000)
        if !pools[function].isKnown {
            pools[function].isKnown = true
            scheduler.addPool(
                pool,
                settings: PoolSettings(
                    function: Function.ID(Int64(function) + 1), workerConcurrency: settings.concurrency,
                    keepAlive: settings.scaleUp == .knative ? .seconds(0) : settings.keepAlive,
                    memoryMegabytes: trace.functions[function].memoryMegabytes),
                at: now, into: &actions)
        }
        scheduler.invocationArrived(
            InvocationID(UInt64(index) + 1), pool: pool, waitMax: settings.limits.queueWaitMax, at: now,
            into: &actions)
        guard settings.scaleUp == .knative else { return }
        pools[function].autoscaler.change(by: 1, at: now)
        guard pools[function].autoscaler.desired == 0 else { return }
        // Knative's activator has its autoscaler look at once.
        if scale(function) { scaled.append(function) }
        let interval = KnativeAutoscaler.tickInterval.nanoseconds
        autoscaleAt = min(autoscaleAt, Instant(nanoseconds: (now.nanoseconds / interval + 1) * interval))
    }

    private mutating func autoscale() {
        var stillScaled: [Int] = []
        for function in scaled where scale(function) { stillScaled.append(function) }
        scaled = stillScaled
        autoscaleAt = scaled.isEmpty ? .distantFuture : now + KnativeAutoscaler.tickInterval
    }

    /// Returns whether any worker is wanted.
    private mutating func scale(_ function: Int) -> Bool {
        let before = pools[function].autoscaler.desired
        let desired = pools[function].autoscaler.tick(at: now, ready: pools[function].ready)
        if desired != before {
            scheduler.setProvisioned(desired, of: PoolID(UInt32(function)), at: now, into: &actions)
        }
        return desired > 0
    }

    /// The invocation is over.
    private mutating func ended(_ function: Int) {
        report.spanSeconds = now.seconds
        if settings.scaleUp == .knative { pools[function].autoscaler.change(by: -1, at: now) }
    }

    // MARK: - What workers do

    private mutating func handle(_ event: Event) {
        switch event {
        case .ready(let place, let id):
            // A starting worker may have been told to stop.
            guard workers[Int(place)].id == id, workers[Int(place)].state == .starting else { return }
            enter(.idle, Int(place))
            workers[Int(place)].readyAt = now
            scheduler.workerReady(id, at: now, into: &actions)
        case .initFailed(let place, let id):
            guard workers[Int(place)].id == id, workers[Int(place)].state == .starting else { return }
            report.initFailures += 1
            enter(.ending, Int(place))
            forget(Int(place))
            scheduler.workerExited(id, reason: .initFailed, at: now, into: &actions)
        case .finished(let place, let slot):
            let worker = Int(place)
            // After a crash nothing finishes any more.
            guard workers[worker].id == slot.worker, workers[worker].state == .busy else { return }
            running[worker * settings.concurrency + Int(slot.index)] = -1
            workers[worker].running -= 1
            if workers[worker].running == 0 { enter(.idle, worker) }
            report.finished += 1
            ended(workers[worker].function)
            scheduler.invocationFinished(slot, at: now, into: &actions)
        case .crashed(let place, let id):
            guard workers[Int(place)].id == id, workers[Int(place)].state == .busy else { return }
            report.crashes += 1
            enter(.ending, Int(place))
            queue.add(.exited(place, id), at: now + settings.exitTime)
            scheduler.workerStopping(id, at: now, into: &actions)
        case .exited(let place, let id):
            let slots = Int(place) * settings.concurrency..<(Int(place) + 1) * settings.concurrency
            for slot in slots where running[slot] >= 0 {
                running[slot] = -1
                report.failed += 1
                ended(workers[Int(place)].function)
            }
            forget(Int(place))
            scheduler.workerExited(id, reason: .stopped, at: now, into: &actions)
        }
    }

    private mutating func enter(_ state: SimulatedWorker.State, _ worker: Int) {
        let old = workers[worker]
        let seconds = (now - old.since).seconds
        let gigabytes = Double(trace.functions[old.function].memoryMegabytes) / 1024
        switch old.state {
        case .starting: report.starting.add(seconds, gigabytes: gigabytes)
        case .idle: report.idle.add(seconds, gigabytes: gigabytes)
        case .busy: report.busy.add(seconds, gigabytes: gigabytes)
        case .ending: break
        }
        if old.state == .starting, state == .idle { pools[old.function].ready += 1 }
        if old.state != .starting, state == .ending { pools[old.function].ready -= 1 }
        workers[worker].state = state
        workers[worker].since = now
    }

    private mutating func forget(_ worker: Int) {
        memoryMegabytes -= trace.functions[workers[worker].function].memoryMegabytes
        places[workers[worker].id] = nil
        freePlaces.append(Int32(worker))
    }

    // MARK: - What the scheduler asks for

    /// No action leads to another event at once, so the list does not grow meanwhile.
    private mutating func perform() {
        for index in actions.actions.indices {
            switch actions.actions[index] {
            case .start(let worker, let pool, let cause): start(worker, Int(pool.value), cause)
            case .dispatch(let batch, let slot):
                for invocation in actions[batch] { dispatch(self.index(of: invocation), slot) }
            case .stop(let worker, let reason): stop(worker, reason)
            case .refuse(let invocation, let refusal):
                report.refused.count(refusal)
                ended(Int(trace.invocations[self.index(of: invocation)].function))
            case .wake(let instant): wakeAt = instant
            case .allStopped: break
            case .poolDrained: preconditionFailure("nothing is drained")
            }
        }
        actions.removeAll()
    }

    private mutating func start(_ id: WorkerID, _ function: Int, _ cause: StartCause) {
        let worker = SimulatedWorker(id: id, function: function, cause: cause, since: now)
        let place: Int32
        if let free = freePlaces.popLast() {
            place = free
            workers[Int(place)] = worker
        } else {
            place = Int32(workers.count)
            workers.append(worker)
            running.append(contentsOf: repeatElement(-1, count: settings.concurrency))
        }
        places[id] = place
        report.starts[cause] += 1
        memoryMegabytes += trace.functions[function].memoryMegabytes
        report.memoryMegabytesPeak = max(report.memoryMegabytesPeak, memoryMegabytes)
        report.workersPeak = max(report.workersPeak, places.count)
        let fails = settings.faultRate > 0 && random.uniform() < settings.faultRate
        queue.add(fails ? .initFailed(place, id) : .ready(place, id), at: now + pools[function].coldStart)
    }

    private mutating func dispatch(_ index: Int, _ slot: Slot) {
        let invocation = trace.invocations[index]
        guard let place = places[slot.worker] else { preconditionFailure("a dispatch to a worker that is gone") }
        let worker = Int(place)
        let running = worker * settings.concurrency + Int(slot.index)
        precondition(
            workers[worker].function == Int(invocation.function) && self.running[running] < 0
                && (workers[worker].state == .idle || workers[worker].state == .busy), "a dispatch to no free slot")
        self.running[running] = Int32(index)
        workers[worker].running += 1
        if workers[worker].state == .idle { enter(.busy, worker) }
        let arrival = arrival(index)
        if arrival < workers[worker].readyAt { report.coldStarts[workers[worker].cause] += 1 }
        if now > arrival { waits.append((now - arrival).nanoseconds) }
        let duration = Interval(nanoseconds: invocation.durationNanoseconds)
        if settings.faultRate > 0, random.uniform() < settings.faultRate {
            let part = Double(duration.nanoseconds) * random.uniform()
            queue.add(.crashed(place, slot.worker), at: now + Interval(nanoseconds: Int64(part)))
        } else {
            queue.add(.finished(place, slot), at: now + duration)
        }
    }

    private mutating func stop(_ id: WorkerID, _ reason: StopReason) {
        guard let place = places[id] else { preconditionFailure("a stop of a worker that is gone") }
        switch reason {
        case .keepAlivePassed: break
        case .evicted, .overBudget: report.evictions += 1
        case .yielded: report.yields += 1
        case .shutdown: break
        case .reservedConcurrencyLowered, .poolDrained:
            preconditionFailure("a stop for a change that no trace has")
        }
        enter(.ending, Int(place))
        queue.add(.exited(place, id), at: now + settings.exitTime)
    }
}
