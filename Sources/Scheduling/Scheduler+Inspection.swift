package import Domain

/// A pool as `roost ps` shows it.
package struct PoolStatus: Equatable, Sendable {
    package let id: PoolID
    package let settings: PoolSettings
    package let isDraining: Bool
    package let starting: Int
    /// Ready workers on which nothing runs.
    package let idle: Int
    /// Workers on which something runs, draining ones included.
    package let busy: Int
    /// Workers that were told to stop and have not exited.
    package let stopping: Int
    package let queued: Int
    /// Since when the first in the queue has been waiting.
    package let oldestQueuedAt: Instant?
    package let running: Int
    /// Workers that it should be keeping, and those of them that are starting or ready.
    package let provisioned: Int
    package let kept: Int
    /// Of `kept`, those that are ready.
    package let keptReady: Int
    /// Learned means, `nil` before the first sample.
    package let serviceTimeSeconds: Double?
    package let coldStartSeconds: Double?
    /// No start before this, after failed inits or crashes.
    package let backoffUntil: Instant?
    package let keepAlive: Interval
}

package struct WorkerStatus: Equatable, Sendable {
    package enum State: Equatable, Sendable {
        case starting
        case idle
        case busy(running: Int)
        /// Gives up its place when what runs has finished.
        case draining(running: Int)
        case stopping
    }

    package let id: WorkerID
    package let pool: PoolID
    package let state: State
    /// When it entered this state.
    package let since: Instant
    package let startedAt: Instant
    package let cause: StartCause
    /// What it counts for.
    package let memoryMegabytes: Int
    /// Whether that was measured; else it is what was declared, or what others of its pool took.
    package let isMeasured: Bool
    /// Kept because its pool is provisioned.
    package let isKept: Bool
}

/// What all pools take together.
package struct HostStatus: Equatable, Sendable {
    /// Until their exit, with what they take.
    package let workers: Int
    package let memoryMegabytes: Int
    /// What that may be now.
    package let memoryMegabytesMax: Int
    package let startsInFlight: Int
    package let queued: Int
    package let poolsWaitingForStart: Int
}

/// The idle worker that is evicted next, and the terms of its priority (`Eviction.swift`).
package struct EvictionStatus: Equatable, Sendable {
    package let worker: WorkerID
    package let pool: PoolID
    package let idleSince: Instant
    /// Idle workers of trainings go before all others, whatever the terms.
    package let isTraining: Bool
    package let clock: Double
    /// How often its level of the pool was needed in about a day.
    package let uses: Double
    package let coldCostSeconds: Double
    package let memoryMegabytes: Int
    /// clock + uses x cold cost / GB
    package var priority: Double { clock + uses * coldCostSeconds / (Double(max(1, memoryMegabytes)) / 1024) }
}

/// Read only. None of these is on the invocation path: the lists cost time in proportion to their length.
extension Scheduler {
    package var host: HostStatus {
        HostStatus(
            workers: used.workers, memoryMegabytes: used.memoryMegabytes,
            memoryMegabytesMax: budget.memoryMegabytes, startsInFlight: startsInFlight,
            queued: queued.count, poolsWaitingForStart: startLines.count)
    }

    /// `nil` when no worker may be evicted.
    package var nextEviction: EvictionStatus? {
        var scratch = self  // to look moves keys of the heap
        guard let worker = scratch.nextVictim() else { return nil }
        let pool = workers[worker].pool
        return EvictionStatus(
            worker: workers[worker].id, pool: pools[pool].id, idleSince: workers[worker].since,
            isTraining: pools[pool].settings.isTraining, clock: workers[worker].clock, uses: evictionFrequency(pool),
            coldCostSeconds: coldCost(pool), memoryMegabytes: workers[worker].memoryMegabytes)
    }

    /// In the order of their ids.
    package var poolIDs: [PoolID] { poolIndices.keys.sorted { $0.value < $1.value } }

    package func status(of id: PoolID) -> PoolStatus? {
        guard let index = poolIndices[id] else { return nil }
        let pool = pools[index]
        var (busy, stopping, keptReady, keptIdle) = (0, 0, 0, 0)
        each(pool.workers, workerLinks) { worker in
            if workers[worker].isStopping {
                stopping += 1
            } else if workers[worker].busy != 0 {
                busy += 1
            }
            if workers[worker].isKept, workers[worker].isReady {
                keptReady += 1
                if workers[worker].busy == 0 { keptIdle += 1 }
            }
        }
        return PoolStatus(
            id: id, settings: pool.settings, isDraining: pool.isDraining, starting: pool.starting,
            idle: pool.idle.count + keptIdle, busy: busy, stopping: stopping, queued: pool.queue.count,
            oldestQueuedAt: pool.queue.isEmpty ? nil : queued[pool.queue.first].arrivedAt, running: pool.running,
            provisioned: pool.provisioned, kept: pool.kept, keptReady: keptReady,
            serviceTimeSeconds: pool.serviceTime.mean, coldStartSeconds: pool.coldStart.mean,
            backoffUntil: pool.breaker.isClosed ? nil : pool.breaker.openUntil, keepAlive: pool.keepAlive ?? .zero)
    }

    /// In the order in which they were started.
    package func workers(of id: PoolID) -> [WorkerStatus] {
        guard let index = poolIndices[id] else { return [] }
        var list: [WorkerStatus] = []
        each(pools[index].workers, workerLinks) { list.append(status(workers[$0])) }
        return list
    }

    package func status(of id: WorkerID) -> WorkerStatus? { workerIndices[id].map { status(workers[$0]) } }

    private func status(_ worker: Worker) -> WorkerStatus {
        let state: WorkerStatus.State =
            switch worker.state {
            case .starting: .starting
            case .ready: worker.busy == 0 ? .idle : .busy(running: worker.running)
            case .draining: .draining(running: worker.running)
            case .stopping: .stopping
            }
        return WorkerStatus(
            id: worker.id, pool: pools[worker.pool].id, state: state, since: worker.since, startedAt: worker.startedAt,
            cause: worker.cause, memoryMegabytes: worker.memoryMegabytes, isMeasured: worker.isMeasured,
            isKept: worker.isKept)
    }

    func each(_ list: IndexList, _ links: [IndexList.Link], _ body: (Int) -> Void) {
        var index = list.first
        while index != IndexList.end {
            body(index)
            index = links[index].next
        }
    }
}
