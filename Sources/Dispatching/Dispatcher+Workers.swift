internal import Domain
internal import Loop
internal import Scheduling
package import Workers

/// What workers tell.
extension Dispatcher: WorkerOwner {
    package func workerBecameReady(_ worker: any Worker) {
        let id = WorkerID(worker.id)
        if let live = workers[id] {
            let now = loop.now
            live.readyAt = now
            record(.ready(coldStart: now - live.startedAt), id, live)
            memoryMayChange(live)
        }
        event { $0.workerReady(id, at: $1, into: &$2) }
        // A training is no arrival.
        if let pool = workers[id]?.pool, let entry = pools.entries[pool], entry.training == nil {
            history.label(
                pool,
                .init(
                    name: "\(entry.function.name):\(entry.version.number)",
                    memoryMegabytes: entry.version.configuration.memoryMegabytes, coldStartSeconds: 0))
        }
    }

    package func worker(_ worker: any Worker, freed slot: Int) {
        let slot = Slot(worker: WorkerID(worker.id), index: UInt16(slot))
        event { $0.invocationFinished(slot, at: $1, into: &$2) }
    }

    package func worker(_ worker: any Worker, failedInit error: [UInt8]) {
        workers[WorkerID(worker.id)]?.initError = error
    }

    package func workerIsEnding(_ worker: any Worker, because failure: WorkerFailure) {
        let id = WorkerID(worker.id)
        workers[id]?.failure = failure
        // One that was never ready takes no invocations anyway. Its exit tells the scheduler that its init failed; told
        // before that it is ending, the scheduler would start another at once.
        if let live = workers[id], live.readyAt != nil { markEnding(id, live) }
    }

    package func worker(_ worker: any Worker, exited exit: WorkerExit) {
        let id = WorkerID(worker.id)
        guard let live = workers.removeValue(forKey: id) else { return }
        let reason: ExitReason
        if live.initError != nil {
            reason = .initFailed
        } else if live.isEnding {
            reason = .stopped
        } else {
            reason = .crashed
        }
        if live.readyAt == nil {
            initFailures[id] = (live.initError, exit, live.initLog.newest)
            metrics.initFailures += reason == .initFailed || reason == .crashed ? 1 : 0
        }
        recordExit(exit, id, live)
        event { $0.workerExited(id, reason: reason, at: $1, into: &$2) }
        initFailures[id] = nil
        if let held = live.held { complete(held.invocation, held.outcome) }
        live.onExit?()
    }

    package func worker(_ worker: any Worker, progressed slot: Int, _ report: [UInt8]) {
        if let execution = workers[WorkerID(worker.id)]?.running[slot]?.execution { onProgress?(execution, report) }
    }

    package func worker(_ worker: any Worker, wrote line: [UInt8], request: String?) {
        guard let live = workers[WorkerID(worker.id)], let entry = pools.entries[live.pool] else { return }
        if live.readyAt == nil { live.initLog.append(line) }
        if let request, let invocation = live.running.lazy.compactMap({ $0 }).first(where: { $0.requestID == request })
        {
            invocation.log(line)
        }
        logs.append(
            LogLine(
                at: EventLoop.wallClock, version: entry.version.number, worker: worker.id, request: request, text: line),
            to: entry.function.name)
    }
}
