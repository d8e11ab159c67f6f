internal import Domain
internal import HTTP
internal import LambdaAPI
internal import Loop
internal import RoostAPI
internal import Workers

/// A function's log on its way to a client: the newest lines, then, if it follows, each new one. Lives on the loop.
///
/// A client that reads slower than the function writes loses lines, and is told how many.
final class LogAnswer {
    private let query: RoostAPI.LogQuery
    private let roost: RoostAPI
    private let exchange: HTTPExchange
    private let logs: FunctionLogs
    private let loop: EventLoop
    /// Whether who follows may still see it.
    private let isAllowed: () -> Bool
    private var subscription: FunctionLogs.Subscription?
    private var isFull = false
    private var lostCount = 0

    init(
        _ query: RoostAPI.LogQuery, exchange: HTTPExchange, roost: RoostAPI, logs: FunctionLogs, loop: EventLoop,
        isAllowed: @escaping () -> Bool
    ) {
        self.query = query
        self.roost = roost
        self.exchange = exchange
        self.logs = logs
        self.loop = loop
        self.isAllowed = isAllowed
    }

    func begin() {
        exchange.connection.userInfo = self
        loop.spawn { self.answer(await self.roost.logTail(self.query).body) }
    }

    private func answer(_ tail: [UInt8]) {
        guard exchange.isOpen else { return }
        exchange.begin(200) { headers in
            headers.add("Content-Type", "text/plain; charset=utf-8")
            headers.add("x-amzn-RequestId", UniqueID.random())
        }
        exchange.connection.onDrain = { [weak self] in self?.drained() }
        isFull = !exchange.write(tail)
        guard query.follow else { return exchange.end() }
        subscription = logs.follow(
            query.function, { [weak self] in self?.append($0) }, onEnd: { [exchange] in exchange.end() })
    }

    func stop() {
        if let subscription { logs.cancel(subscription) }
        subscription = nil
    }

    private func append(_ line: LogLine) {
        guard isAllowed() else {
            stop()
            return exchange.end()
        }
        if isFull {
            lostCount += 1
        } else {
            isFull = !exchange.write(line.encoded)
        }
    }

    private func drained() {
        isFull = false
        guard lostCount > 0 else { return }
        let note = "\(lostCount) lines were lost: they came faster than they were read"
        lostCount = 0
        append(LogLine(at: EventLoop.wallClock, version: .latest, worker: 0, request: nil, text: Array(note.utf8)))
    }
}
