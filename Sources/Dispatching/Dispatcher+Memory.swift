internal import Domain
internal import Loop
internal import Scheduling
internal import Workers

/// What workers really take, and what they may.
extension Dispatcher {
    /// The worker may take another amount from now on.
    @inline(__always)
    func memoryMayChange(_ live: Live) {
        live.isMemoryStale = true
        if !memoryRounds.isExpected { expectMemoryRound() }
    }

    private func expectMemoryRound() {
        if let instant = memoryRounds.changed(at: loop.now) { memoryTimer?.start(at: instant) }
    }

    func beginMemoryRound() {
        memoryRounds.began(at: loop.now)
        loop.spawn { await self.memoryRound() }
    }

    private func memoryRound() async {
        let round = workers.values.filter { $0.isMemoryStale && $0.canBeMeasured }
            .sorted { $0.measuredAt < $1.measuredAt }.prefix(MemoryRounds.workersMax)
        let now = loop.now
        for live in round {
            live.measuredAt = now
            live.isMemoryStale = live.running.contains { $0 != nil }
        }
        let measured = await placement.measureMemory(of: round.compactMap(\.worker))
        for (worker, megabytes) in measured.megabytes.sorted(by: { $0.key < $1.key }) {
            // One that is ending has given back a part already.
            guard let live = workers[WorkerID(worker)], live.canBeMeasured else { continue }
            live.measuredMegabytesMax = max(live.measuredMegabytesMax, megabytes)
            event { $0.workerMeasured(WorkerID(worker), memoryMegabytes: megabytes, at: $1, into: &$2) }
        }
        adjustBudget(measured.pressure)
        let need: MemoryRounds.Need
        if memoryPressure.isLowered || workers.values.contains(where: { $0.isMemoryStale && $0.canBeMeasured }) {
            need = .measure
        } else {
            need = measured.pressure == nil || workers.isEmpty ? .nothing : .watch
        }
        if let next = memoryRounds.ended(need: need, at: loop.now) { memoryTimer?.start(at: next) }
    }

    private func adjustBudget(_ pressure: MemoryPressure?) {
        let before = memoryPressure.budgetMegabytes
        // Where it cannot be read any more, a lowered budget must not stay so for good.
        guard
            let budget = memoryPressure.sampled(
                pressure ?? .none, usedMegabytes: usedMemoryMegabytes, at: loop.now)
        else { return }
        recent.append(.memoryBudget(megabytes: budget, before: before), at: EventLoop.wallClock)
        event { $0.setMemoryBudget(megabytes: budget, at: $1, into: &$2) }
    }
}

extension Dispatcher.Live {
    var canBeMeasured: Bool { readyAt != nil && !isEnding }
}
