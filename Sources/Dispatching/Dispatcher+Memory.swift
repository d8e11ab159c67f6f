internal import Domain
internal import Loop
internal import Scheduling
internal import Workers

/// What workers really take.
extension Dispatcher {
    /// The worker may take another amount from now on.
    @inline(__always)
    func memoryMayChange(_ live: Live) {
        live.isMemoryStale = true
        if !memoryRounds.isPending { askForMemoryRound() }
    }

    private func askForMemoryRound() {
        if let instant = memoryRounds.changed(at: loop.now) { memoryTimer?.start(at: instant) }
    }

    func beginMemoryRound() { loop.spawn { await self.memoryRound() } }

    private func memoryRound() async {
        let begin = loop.now
        let round = workers.values.filter { $0.isMemoryStale && $0.canBeMeasured }
            .sorted { $0.measuredAt < $1.measuredAt }.prefix(MemoryRounds.workersMax)
        for live in round {
            live.measuredAt = begin
            live.isMemoryStale = live.running.contains { $0 != nil }
        }
        let measured = await placement.memoryMegabytes(of: round.compactMap(\.worker))
        for (worker, megabytes) in measured.sorted(by: { $0.key < $1.key }) {
            // One that is ending has given back a part already.
            guard workers[WorkerID(worker)]?.canBeMeasured == true else { continue }
            event { $0.workerMeasured(WorkerID(worker), memoryMegabytes: megabytes, at: $1, into: &$2) }
        }
        let isMore = workers.values.contains { $0.isMemoryStale && $0.canBeMeasured }
        if let next = memoryRounds.ended(beganAt: begin, isMore: isMore, at: loop.now) { memoryTimer?.start(at: next) }
    }
}

extension Dispatcher.Live {
    var canBeMeasured: Bool { readyAt != nil && !isEnding }
}
