/// All workers of one version, or of one revision of `$LATEST`, and the queue before them. Chosen by the caller.
///
/// An id may be used again once `poolDrained` was emitted for it.
package struct PoolID: Hashable, Sendable {
    package let value: UInt32
    package init(_ value: UInt32) { self.value = value }
}

/// One invocation, from its arrival until it is dispatched or refused. Chosen by the caller, ascending, never reused.
package struct InvocationID: Hashable, Comparable, Sendable {
    package let value: UInt64
    package init(_ value: UInt64) { self.value = value }
    package static func < (left: InvocationID, right: InvocationID) -> Bool { left.value < right.value }
}

/// One worker. Given out by the scheduler with `start`, from 1, ascending, never reused.
package struct WorkerID: Hashable, Comparable, Sendable {
    package let value: UInt64
    package init(_ value: UInt64) { self.value = value }
    package static func < (left: WorkerID, right: WorkerID) -> Bool { left.value < right.value }
}

/// One of the invocations that a worker can take at once: `index` is 0 up to its pool's `workerConcurrency`.
package struct Slot: Hashable, Sendable {
    package let worker: WorkerID
    package let index: UInt16

    package init(worker: WorkerID, index: UInt16) {
        self.worker = worker
        self.index = index
    }
}
