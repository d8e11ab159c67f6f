internal import CUV
package import Domain
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// The one event loop: libuv's, on the thread that created it, and the serial executor of the one actor pinned to it.
///
/// Sockets, timers and processes are plain classes that live on the loop's thread and call their owners from libuv's
/// callbacks; nothing of them crosses to another thread. Asynchronous code joins through `spawn`, which runs it as a
/// task of the loop's actor, so that between two `await`s it may use everything that lives on the loop.
///
/// The loop is no `TaskExecutor`: under a task's executor preference even `@concurrent` code would run on it.
// @unchecked Sendable: `raw`, `readBuffer` and the watchdog are used on the loop's thread only; `shared` has a mutex; the
// rest is immutable.
package final class EventLoop: SerialExecutor, @unchecked Sendable {
    let raw: UnsafeMutablePointer<uv_loop_t>
    /// Every stream reads into this one buffer; its bytes are valid until the read callback returns.
    let readBuffer: UnsafeMutableRawBufferPointer
    static let readBufferBytes = 64 * 1024
    /// Jobs run in one turn at the most, so that jobs that make jobs cannot keep sockets waiting.
    private static let jobsPerTurnMax = 256

    private let wakeup: UnsafeMutablePointer<uv_async_t>
    /// What other threads reach.
    private struct Shared {
        var jobs: [UnownedJob] = []
        /// `nil` once the loop has ended: what comes later is never run, and nobody waits for it.
        var actor: LoopActor?
    }
    private let shared = Mutex(Shared())
    // Written by `init` and `run`, before another thread can hold a job for this loop.
    private nonisolated(unsafe) var thread: pthread_t
    // These three: on the loop's thread only.
    private nonisolated(unsafe) var isStopping = false
    /// Called with the name of a callback and how long it held the loop, when that was over `blockedAfter`.
    private nonisolated(unsafe) var onBlocked: ((StaticString, Interval) -> Void)?
    // As above.
    private nonisolated(unsafe) var blockedAfter = Interval.milliseconds(50)

    /// Belongs to the calling thread from now on.
    package init() throws(UVError) {
        raw = .allocate(capacity: 1)
        wakeup = .allocate(capacity: 1)
        readBuffer = .allocate(byteCount: Self.readBufferBytes, alignment: 16)
        thread = pthread_self()
        try UVError.check(uv_loop_init(raw), "uv_loop_init")
        let status = uv_async_init(raw, wakeup) { handle in
            Unmanaged<EventLoop>.fromOpaque(handle!.pointee.data).takeUnretainedValue().runJobs()
        }
        try UVError.check(status, "uv_async_init")
        // Unretained: the loop outlives its run, and closes this handle at the end of it.
        wakeup.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        // A cycle, broken at the end of `run`: a task that is on its way to the loop keeps the loop.
        shared.withLock { $0.actor = LoopActor(loop: self) }
    }

    deinit {
        readBuffer.deallocate()
        wakeup.deallocate()
        raw.deallocate()
    }

    // MARK: - Running

    /// Runs until `stop`, calls `cleanUp`, then runs until every handle has closed: one that is left open for good
    /// keeps this from returning.
    package func run(cleanUp: () -> Void = {}) {
        thread = pthread_self()
        while !isStopping { _ = uv_run(raw, UV_RUN_ONCE) }
        cleanUp()
        shared.withLock { $0 = Shared() }
        uv_close(UnsafeMutableRawPointer(wakeup).assumingMemoryBound(to: uv_handle_t.self), nil)
        _ = uv_run(raw, UV_RUN_DEFAULT)
        let status = uv_loop_close(raw)
        precondition(status == 0, "the event loop ended with handles open")
    }

    /// Ends `run` after the current callback.
    package func stop() {
        checkIsolated()
        isStopping = true
        uv_async_send(wakeup)
    }

    /// What the system calls the calling thread, as in `top -H`; 15 bytes of it are kept.
    package static func nameThread(_ name: String) { cuv_name_thread(name) }

    package var processIdentifier: Int { Int(getpid()) }

    /// The monotonic clock, read now.
    package var now: Instant { Instant(nanoseconds: Int64(bitPattern: uv_hrtime())) }

    /// Civil time, read now.
    package static var wallClock: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(millisecondsSince1970: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    // MARK: - Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        shared.withLock { shared in
            guard shared.actor != nil else { return }
            shared.jobs.append(job)
            // Under the lock, so that the handle is not closed meanwhile.
            uv_async_send(wakeup)
        }
    }

    private func runJobs() {
        let (jobs, isMore) = shared.withLock { shared in
            let batch = Array(shared.jobs.prefix(Self.jobsPerTurnMax))
            shared.jobs.removeFirst(batch.count)
            return (batch, !shared.jobs.isEmpty)
        }
        for job in jobs {
            watched("asynchronous job") { job.runSynchronously(on: asUnownedSerialExecutor()) }
        }
        if isMore { uv_async_send(wakeup) }
    }

    package var isCurrent: Bool { pthread_equal(pthread_self(), thread) != 0 }
    package func isIsolatingCurrentContext() -> Bool? { isCurrent }
    package func checkIsolated() { precondition(isCurrent, "called off the event loop's thread") }

    /// Starts `operation` as a task on the loop. Called on the loop; returns before `operation` begins.
    ///
    /// The operation may use whatever lives on the loop: it runs there between its suspensions, and only there. It must
    /// have no capture list: Swift 6.3 takes a closure with one for `@concurrent`, and would run it on another thread.
    package func spawn(_ operation: nonisolated(nonsending) @escaping () async -> Void) {
        let operation = LoopOperation(body: operation)
        guard let actor = shared.withLock({ $0.actor }) else { return }
        Task { await actor.perform(operation) }
    }

    // MARK: - Thread pool

    /// Runs blocking `work` on libuv's thread pool. Called on the loop, where the caller also continues.
    package func offload<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        checkIsolated()
        let result: Result<Value, any Error> = await withCheckedContinuation { continuation in
            let request = PoolRequest { continuation.resume(returning: Result(catching: work)) }
            request.submit(to: raw)
        }
        return try result.get()
    }

    // MARK: - Watchdog

    /// Reports callbacks that hold the loop for longer than `limit`. Costs two clock reads a callback.
    package func watch(limit: Interval = .milliseconds(50), _ report: @escaping (StaticString, Interval) -> Void) {
        blockedAfter = limit
        onBlocked = report
    }

    /// Every callback from libuv runs inside this.
    @inline(__always)
    func watched(_ name: StaticString, _ body: () -> Void) {
        guard let onBlocked else { return body() }
        let start = now
        body()
        let elapsed = now - start
        if elapsed > blockedAfter { onBlocked(name, elapsed) }
    }
}

/// The actor pinned to an event loop: the door through which tasks come onto the loop's thread.
actor LoopActor {
    private let loop: EventLoop

    init(loop: EventLoop) { self.loop = loop }

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// The check is more than a check: without a statement of its own, Swift 6.3 optimises this into its caller together
    /// with the hop onto the loop, and `body` runs on another thread. Tests/LoopTests run optimised to notice.
    @inline(never)
    func perform(_ operation: LoopOperation) async {
        loop.checkIsolated()
        await operation.body()
    }
}

/// An operation on its way into the loop's actor.
// @unchecked Sendable: made on the loop, and called by the loop's actor only.
struct LoopOperation: @unchecked Sendable {
    let body: nonisolated(nonsending) () async -> Void
}

/// A value that lives on the loop, in a box that may travel.
// @unchecked Sendable: the value is reached on the loop's thread only, which every access checks.
package struct LoopBound<Value>: @unchecked Sendable {
    private let loop: EventLoop
    private let bound: Value

    package init(_ value: Value, on loop: EventLoop) {
        self.loop = loop
        bound = value
    }

    /// - Precondition: called on the loop.
    package var value: Value {
        loop.checkIsolated()
        return bound
    }
}

/// One piece of work on libuv's thread pool.
private final class PoolRequest {
    private let request = UnsafeMutablePointer<uv_work_t>.allocate(capacity: 1)
    private let work: () -> Void

    init(_ work: @escaping () -> Void) { self.work = work }

    deinit { request.deallocate() }

    func submit(to loop: UnsafeMutablePointer<uv_loop_t>) {
        // +1, taken back in the after-work callback, which always comes.
        request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        let status = uv_queue_work(
            loop, request,
            { Unmanaged<PoolRequest>.fromOpaque($0!.pointee.data)._withUnsafeGuaranteedRef { $0.work() } },
            { request, _ in Unmanaged<PoolRequest>.fromOpaque(request!.pointee.data).release() })
        precondition(status == 0, "uv_queue_work fails only without a work callback")
    }
}
