import Domain

/// Which idle worker makes room for others: greedy-dual.
///
/// A worker's priority is
///
///     clock + frequency x cold cost / memory
///
/// with the clock as it was when the worker became idle, and the lowest goes first; the clock then moves up to its
/// priority, so what is not used grows old however precious it once was (Cao and Irani, *Cost-aware WWW proxy caching
/// algorithms*, USITS 1997; for function hosts Fuerst and Sharma, *FaasCache*, ASPLOS 2021). Frequency counts how often
/// the worker's level of its pool was needed again in about the last day (`UseHistory`): the tenth worker of a busy
/// function, which is needed once an hour, has no claim from the calls that the first one serves.
///
/// `evictionHeap` orders pools by the priority of that idle worker which will be needed last. A key there may be lower than
/// the truth, never higher: priorities rise with use, and where they can fall the pool's key is computed again.
extension Scheduler {
    /// Whom this pool's start may evict: trainings find room only among themselves, and make room for everyone.
    mutating func victim(for pool: Int) -> Int? {
        guard let worker = nextVictim() else { return nil }
        return pools[pool].settings.isTraining && !pools[workers[worker].pool].settings.isTraining ? nil : worker
    }

    /// Who is evicted first when any will do.
    mutating func nextVictim() -> Int? {
        while let (pool, key) = evictionHeap.first {
            guard !pools[pool].idle.isEmpty else {
                evictionHeap.remove(pool)
                continue
            }
            let priority = evictionPriority(pool)
            guard priority > key else { return pools[pool].idle.last }
            evictionHeap.set(pool, to: priority)
        }
        return nil
    }

    /// - Precondition: the pool has an idle worker.
    func evictionPriority(_ pool: Int) -> EvictionPriority {
        let worker = pools[pool].idle.last
        let since = workers[worker].since
        if pools[pool].settings.isTraining { return EvictionPriority(worth: -.infinity, since: since) }
        switch limits.eviction {
        case .leastRecentlyUsed: return EvictionPriority(worth: 0, since: since)
        case .greedyDual:
            let gigabytes = Double(max(1, workers[worker].memoryMegabytes)) / 1024
            let claim = evictionFrequency(pool) * coldCost(pool) / gigabytes
            return EvictionPriority(worth: workers[worker].clock + claim, since: since)
        }
    }

    func evictionFrequency(_ pool: Int) -> Double { histories[pool].uses(level: idleLevel(pool)) }

    /// Must be called when the priority of a pool's idle workers may have fallen.
    mutating func updateEviction(_ pool: Int) {
        if pools[pool].idle.isEmpty {
            evictionHeap.remove(pool)
        } else {
            evictionHeap.set(pool, to: evictionPriority(pool))
        }
    }

    /// Stops an idle worker for room.
    mutating func evict(_ worker: Int, _ reason: StopReason, at now: Instant, into out: inout ActionBuffer) {
        let pool = workers[worker].pool
        if limits.eviction == .greedyDual, !pools[pool].settings.isTraining {
            evictionClock = max(evictionClock, evictionPriority(pool).worth)
        }
        stop(worker, reason, at: now, into: &out)
    }

    /// What could be evicted for a start of this pool.
    func evictable(for pool: Int) -> Resources {
        pools[pool].settings.isTraining ? idleTraining : idleTraining + idleInference
    }
}

/// The lowest is evicted first; of equal worth, the longest idle.
struct EvictionPriority: Comparable, Sendable {
    let worth: Double
    let since: Instant

    static func < (left: EvictionPriority, right: EvictionPriority) -> Bool {
        left.worth != right.worth ? left.worth < right.worth : left.since < right.since
    }
}
