import Domain

/// Start-time fair queueing over functions, for the host's places and memory.
///
/// While anybody stands in line for a start there is **contention**, and each function's virtual time grows with what its
/// workers in use take of the host: a worker's share is the larger of 1 / workers and its memory / memory of all, in
/// millionths, and virtual time is share x seconds. The function that has had least comes first, and a function that
/// enters the line starts from the virtual time of the one that was served last, so nobody has a claim from the time when
/// it wanted nothing (Goyal, Vin and Cheng, *Start-time fair queueing*, SIGCOMM 1996; over several servers with a bound to
/// how far one may be ahead, MQFQ: Hedayati et al., USENIX ATC 2019).
///
/// A place is held for many invocations, and changing hands costs a cold start. So a worker that has finished is given up
/// for another function only when its own is ahead by `Scheduler.patience`, and holds no less than the other would then;
/// or when the other has waited for its first worker for `HostLimits.yieldAfter`, for one that is large beside what many
/// others hold each.
struct FairShare: Sendable {
    /// Of the workers in use, together.
    private(set) var held = 0
    /// In this contention.
    private(set) var virtualTime = 0.0
    private var countedUntil = Instant.zero
    private var contention: UInt64 = 0

    /// What it will have had a second from now: of several that start from the same, the one that holds least.
    func turn(_ current: Contention) -> Double {
        Double(held) + (current.isOn && current.number == contention ? virtualTime : 0)
    }

    mutating func count(_ current: Contention, at now: Instant) {
        guard current.isOn else { return }
        if contention != current.number {
            contention = current.number
            virtualTime = 0
            countedUntil = current.since
        }
        virtualTime += Double(held) * max(0, (now - countedUntil).seconds)
        countedUntil = now
    }

    /// It wants more from now on.
    mutating func enter(_ current: Contention, at now: Instant) {
        count(current, at: now)
        if current.isOn { virtualTime = max(virtualTime, current.virtualTime) }
    }

    mutating func hold(_ share: Int, _ current: Contention, at now: Instant) {
        count(current, at: now)
        held += share
    }
}

/// The time during which pools stand in line.
struct Contention: Sendable {
    private(set) var isOn = false
    private(set) var number: UInt64 = 0
    private(set) var since = Instant.zero
    /// Of the function that was served last; never falls.
    var virtualTime = 0.0

    mutating func set(_ isOn: Bool, at now: Instant) {
        guard isOn != self.isOn else { return }
        self.isOn = isOn
        guard isOn else { return }
        number += 1
        since = now
        virtualTime = 0
    }
}

extension Scheduler {
    /// In millionths of the host, at least 1.
    func share(_ resources: Resources) -> Int {
        let memory =
            limits.memoryMegabytesMax == .max
            ? 0 : resources.memoryMegabytes * 1_000_000 / max(1, limits.memoryMegabytesMax)
        return max(1, 1_000_000 / limits.workersMax, memory)
    }

    mutating func hold(_ share: Int, of function: Int, at now: Instant) {
        functions[function].share.hold(share, contention, at: now)
        guard contention.isOn else { return }
        let turn = functions[function].share.turn(contention)
        startLines[isTraining: false].update(function: function, share: turn)
        startLines[isTraining: true].update(function: function, share: turn)
    }

    /// The function whose turn it is. A turn in the line may be lower than the truth, since time passes, and is put right
    /// when it is the first.
    mutating func firstInLine(isTraining: Bool, at now: Instant) -> Int? {
        while let (function, share) = startLines[isTraining: isTraining].first {
            functions[function].share.count(contention, at: now)
            let truth = functions[function].share.turn(contention)
            guard truth > share else { return function }
            startLines[isTraining: isTraining].update(function: function, share: truth)
        }
        return nil
    }

    /// Whether a function's worker that has finished is due to this pool of another function.
    mutating func isAhead(_ function: Int, of needy: Int, at now: Instant) -> Bool {
        let other = pools[needy].function
        guard other != function else { return false }
        functions[function].share.count(contention, at: now)
        functions[other].share.count(contention, at: now)
        let worker = share(resources(needy))
        let lead = functions[function].share.virtualTime - functions[other].share.virtualTime
        let held = functions[function].share.held
        guard lead > patience(needy) * Double(min(worker, held)) else { return false }
        return functions[other].share.held + worker <= held
            || pools[needy].live == 0 && since(needy) + limits.yieldAfter <= now
    }

    /// How far ahead of this pool's function another may be, in seconds of one worker: a few cold starts, so that most of
    /// the time goes into work and not into changing hands.
    private func patience(_ pool: Int) -> Double {
        min(limits.yieldAfter.seconds, max(1, 4 * (pools[pool].coldStart.mean ?? 1)))
    }
}
