package import Domain

/// What the caller must do. Actions are carried out in order; their effects come back as events.
package enum Action: Equatable, Sendable {
    /// Start a worker. It ends, whatever happens, with `workerExited`.
    case start(WorkerID, PoolID, StartCause)
    /// Hand these invocations to a free slot of a ready worker. Ends with `invocationFinished` or `workerExited`.
    case dispatch(Batch, to: Slot)
    /// Stop a worker on which nothing runs; it may still be starting.
    case stop(WorkerID, StopReason)
    /// Answer this invocation without running it. It is forgotten here.
    case refuse(InvocationID, Refusal)
    /// Call `tick` at this instant or soon after. Replaces the wake asked for before: there is one timer.
    case wake(at: Instant)
    /// A drained pool has no worker and no invocation left, and is forgotten here.
    case poolDrained(PoolID)
    /// After `shutdown`: no worker is left.
    case allStopped
}

/// The invocations of one dispatch: a range of `ActionBuffer.invocations`. One today, more when batching comes.
package struct Batch: Hashable, Sendable {
    package let start: Int
    package let count: Int

    package init(start: Int, count: Int) {
        self.start = start
        self.count = count
    }
}

package enum StopReason: Hashable, Sendable {
    case keepAlivePassed
    /// Its memory or its place is needed by this pool.
    case evicted(for: PoolID)
    /// The memory budget was lowered, or workers have grown beyond it.
    case overBudget
    /// It was busy for longer than its share while this pool had no worker at all.
    case yielded(to: PoolID)
    /// The function's reserved concurrency was lowered.
    case reservedConcurrencyLowered
    case poolDrained
    case shutdown
}

package enum Refusal: Hashable, Sendable {
    /// As many wait as may.
    case queueFull(limit: Int)
    /// The limit to its wait passed before a slot was free.
    case waitedTooLong
    /// It would pass, as it looks on arrival: it would have to wait for so long.
    case wouldWaitTooLong(Interval, limit: Interval)
    case reservedConcurrencyZero
    /// The worker whose init it waited for failed; the caller knows why.
    case initFailed(WorkerID)
    /// Init failed a moment ago, or workers crashed one after the other, and the next attempt is not before this instant.
    case initBackoff(until: Instant)
    /// One worker needs more memory than the whole budget.
    case neverFits(memoryMegabytes: Int, limit: Int)
    /// The pool is unknown or draining: the caller's routing is behind.
    case poolGone
    /// Executions are refused as well; they stay queued where they are recorded.
    case shutdown
}

/// Why a worker ended.
package enum ExitReason: Hashable, Sendable {
    /// It was told to stop, or killed by the caller after `workerStopping`.
    case stopped
    /// It ended by itself. Before it was ready, this is a failed init.
    case crashed
    /// Init failed or took too long.
    case initFailed
}

/// Where an event's actions go. The caller owns and reuses it, so that an event allocates nothing.
package struct ActionBuffer: Sendable {
    package var actions: [Action] = []
    package var invocations: [InvocationID] = []

    package init() {}

    package subscript(batch: Batch) -> ArraySlice<InvocationID> {
        invocations[batch.start..<batch.start + batch.count]
    }

    package mutating func removeAll() {
        actions.removeAll(keepingCapacity: true)
        invocations.removeAll(keepingCapacity: true)
    }

    mutating func dispatch(_ invocation: InvocationID, to slot: Slot) {
        invocations.append(invocation)
        actions.append(.dispatch(Batch(start: invocations.count - 1, count: 1), to: slot))
    }
}
