internal import Domain
internal import JSON
internal import Loop
internal import Scheduling
internal import Workers

/// What is remembered of workers' lives.
extension Dispatcher {
    /// The newest at the end; at most `EventRing.capacity`.
    package func events(limit: Int) -> [HostEvent] { recent.newest(limit) }

    func record(_ kind: HostEvent.Kind, _ id: WorkerID, _ live: Live) {
        recent.append(kind, of: name(live.pool), worker: id.value, at: EventLoop.wallClock)
    }

    func recordStop(_ reason: String, for pool: PoolID? = nil, _ id: WorkerID, _ live: Live) {
        live.isStopRecorded = true
        record(.stopped(reason: reason, for: pool.flatMap { name($0) }), id, live)
    }

    /// The end of a worker that nobody had told to stop.
    func recordExit(_ exit: WorkerExit, _ id: WorkerID, _ live: Live) {
        guard !live.isStopRecorded else { return }
        let text: String
        switch live.failure ?? .exited(exit) {
        case .timedOut(let limit): text = "killed: over its time limit of \(fixedText(limit)) s"
        case .exited(let exit): text = exit.reason ?? "exit status 0"
        case .protocolViolation(let reason): text = "killed: \(reason)"
        case .stopped: return recordStop(StopReason.shutdown.text, id, live)
        }
        guard live.readyAt == nil else { return record(.crashed(text), id, live) }
        // The type only: an error's message may tell what is nobody's business.
        let type = live.initError.flatMap { try? JSONValue.parse($0) }?["errorType"]?.stringValue
        record(.initFailed(type.map { String($0.prefix(128)) } ?? text), id, live)
    }

    private func fixedText(_ seconds: Double) -> String {
        seconds == seconds.rounded() ? "\(Int(seconds))" : "\(seconds)"
    }

    private func name(_ pool: PoolID) -> HostEvent.Pool? {
        pools.entries[pool].map { .init(function: $0.function.name, version: $0.version.number) }
    }
}
