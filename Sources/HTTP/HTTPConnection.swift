internal import Domain
package import Loop

/// One HTTP/1.1 connection on the server's side, and the one exchange (request and answer) it is busy with.
///
/// Every member runs on the loop's thread. The group keeps it alive while it is open.
///
///     input:  head -> fixedBody | chunkedBody -> complete -> (answer ends) -> head
///             an answer that ends before the body: a small rest -> discarding or discardingChunks -> head, else -> lingering
///     answer: none -> streaming -> none of the next exchange
///
/// 1. One exchange at a time. Pipelined bytes wait in `buffered`; while they do, nothing more is read, so there are never
///    more of them than one read, one head and its slack. A client that leaves then is noticed by the next write.
/// 2. The next request is looked at only when everything written before is with the kernel, so that a client that
///    sends requests and reads no answers costs one answer.
/// 3. `exchangeNumber` changes when an exchange begins and when it ends; an answer for another number goes nowhere.
/// 4. After an error in framing no byte is interpreted any more: the answer is written, our direction ended, and what
///    comes is dropped until the client is done (`isLingering`), because closing over unread bytes would destroy the answer.
/// 5. The head is read where it arrived. It is copied only if the exchange outlives the read callback.
package final class HTTPConnection {
    package let group: HTTPConnectionGroup
    package let request = HTTPRequest()
    /// For the delegate: what belongs to the current exchange. Dropped when it ends.
    package var userInfo: AnyObject?
    /// The limit for the body of this request; starts as the group's.
    package var bodyBytesMax: Int
    /// Collect the body of this request in `body`, besides handing out its pieces.
    package var collectsBody = false
    package private(set) var body: [UInt8] = []
    package private(set) var isClosed = false
    /// Called when a `write` that said stop may be repeated. Dropped when the exchange ends.
    package var onDrain: (() -> Void)?

    let stream: Stream
    private var delegate: (any HTTPConnectionDelegate)?
    var limits: HTTPLimits { group.limits }

    private enum Input {
        case head
        case fixedBody(left: Int)
        case chunkedBody
        case complete
        case discarding(left: Int)
        case discardingChunks
    }

    enum Answer {
        case none
        case streaming(Framing)
    }

    enum Framing {
        case chunked
        case fixed(left: Int)
        case untilClose
        /// HEAD, 204 and 304: the head is all.
        case nothing
    }

    private var input = Input.head
    private var parser = HeadParser()
    private var chunks = ChunkDecoder()
    /// Read, but not yet interpreted.
    private let buffered = ByteBuffer()
    private var bodyByteCount = 0
    private var isBodyPaused = false
    private var continueSent = false
    private var isReading = false
    private var peerEnded = false
    private var isLingering = false
    private var lingeredByteCount = 0
    /// Writing failed: nothing is interpreted or written any more.
    private(set) var isBroken = false
    /// Inside `process`; answers given now are followed up by its loop.
    private var isProcessing = false
    /// In `process`: bytes follow the current request.
    private var hasMoreInput = false

    package private(set) var exchangeNumber: UInt64 = 0
    private(set) var isExchangeOpen = false
    var answer = Answer.none
    var closesAfterAnswer = false
    /// Answer bytes on their way to the stream; between callbacks empty unless answers are held back.
    let out = ByteBuffer()
    private var queuedAtDeadlineStart = 0

    private enum Wait { case nothing, idle, head, body, write, linger }
    private var wait = Wait.nothing
    private(set) var deadline = Instant.distantFuture
    var indexInGroup = 0

    /// Takes over a connected stream and starts to read.
    package init(stream: Stream, group: HTTPConnectionGroup, delegate: any HTTPConnectionDelegate) {
        self.stream = stream
        self.group = group
        self.delegate = delegate
        bodyBytesMax = group.limits.bodyBytesMax
        // unowned: the stream is closed, and drops these, before the group lets go of this connection.
        stream.onRead = { [unowned self] in received($0) }
        stream.onEnd = { [unowned self] in ended($0) }
        group.add(self)
        updateReading()
        updateWait(restart: true)
    }

    /// The current exchange, to be answered later. Between exchanges it is one that is over.
    package var exchange: HTTPExchange { HTTPExchange(connection: self, number: exchangeNumber) }

    /// True while no exchange is under way and nothing waits to be written.
    package var isIdle: Bool { !isExchangeOpen && stream.queuedByteCount == 0 && out.isEmpty && !isLingering }

    /// What the client has not taken yet, in bytes.
    package var queuedByteCount: Int { stream.queuedByteCount + out.count }

    /// Takes the collected body away without a copy.
    package func takeBody() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &body)
        return taken
    }

    /// A trailer of the chunked body that has just ended; `nil` when there is none. `name` is in lower case.
    package func trailer(_ name: String) -> String? { request.isChunked ? chunks.trailer(name) : nil }

    /// Stops the body's bytes from coming, after what is under way. The client is slowed down by its socket.
    package func pauseBody() { isBodyPaused = true }

    package func resumeBody() {
        guard isBodyPaused else { return }
        isBodyPaused = false
        if !isProcessing { proceed() }
    }

    /// Cuts the connection off; an open exchange is aborted.
    package func close() { cutOff(.shutDown) }

    // MARK: Reading

    private func received(_ bytes: UnsafeRawBufferPointer) {
        if isLingering {
            lingeredByteCount += bytes.count
            if lingeredByteCount > limits.lingerBytesMax { close() }
            return
        }
        if buffered.isEmpty {
            let used = process(bytes)
            if isClosed || isLingering { return }
            if isExchangeOpen { request.own() }
            if used < bytes.count { buffered.append(UnsafeRawBufferPointer(rebasing: bytes[used...])) }
        } else {
            buffered.append(bytes)
            processBuffered()
        }
        settle()
    }

    /// Goes on after something that `process` waited for.
    private func proceed() {
        guard !isClosed, !isProcessing else { return }
        processBuffered()
        settle()
    }

    private func processBuffered() {
        guard !buffered.isEmpty, !isLingering else { return }
        let used = process(buffered.bytes)
        if isClosed { return }
        if isExchangeOpen { request.own() }
        buffered.removeFirst(min(used, buffered.count))
    }

    /// What follows every turn of input or answers.
    private func settle() {
        guard !isClosed else { return }
        // Held answers leave as soon as no request is there that could take them along.
        if !isExchangeOpen, !out.isEmpty { flush() }
        updateReading()
        updateWait(restart: true)
    }

    private var isBlocked: Bool {
        switch input {
        case .complete: true
        case .fixedBody, .chunkedBody: isBodyPaused
        case .head: stream.queuedByteCount > 0
        case .discarding, .discardingChunks: false
        }
    }

    private func updateReading() {
        guard !isClosed, !peerEnded else { return }
        let wanted = isLingering || buffered.isEmpty || !isBlocked
        guard wanted != isReading else { return }
        isReading = wanted
        if wanted {
            do throws(UVError) { try stream.startReading() } catch { cutOff(.disconnected) }
        } else {
            stream.stopReading()
        }
    }

    /// Interprets bytes as far as it can now, and returns how many.
    private func process(_ bytes: UnsafeRawBufferPointer) -> Int {
        isProcessing = true
        defer {
            isProcessing = false
            hasMoreInput = false
        }
        var used = 0
        while !isClosed, !isLingering, !isBroken {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[used...])
            switch input {
            case .complete: return used
            case .head:
                if rest.isEmpty || stream.queuedByteCount > 0 { return used }
                // A local copy: in place, the access would be tracked at run time for the whole call.
                var parser = parser
                let progress = parser.advance(rest.baseAddress!, rest.count, limits: limits, into: request)
                self.parser = parser
                switch progress {
                case .incomplete: return used
                case .refused(let refusal): refuse(refusal, head: rest)
                case .complete(let length):
                    used += length
                    hasMoreInput = used < bytes.count
                    beginExchange()
                }
            case .fixedBody(let left):
                if rest.isEmpty || isBodyPaused { return used }
                let count = min(left, rest.count)
                used += count
                hasMoreInput = used < bytes.count
                input = .fixedBody(left: left - count)
                bodyArrived(UnsafeRawBufferPointer(rebasing: rest[..<count]), isLast: count == left)
            case .chunkedBody:
                if rest.isEmpty || isBodyPaused { return used }
                switch chunks.step(rest) {
                case .skip(let count): used += count
                case .data(let count):
                    used += count
                    hasMoreInput = used < bytes.count
                    if bodyByteCount + count > bodyBytesMax {
                        breakOff(.bodyTooLarge)
                    } else {
                        bodyArrived(UnsafeRawBufferPointer(rebasing: rest[..<count]), isLast: false)
                    }
                case .end(let count):
                    used += count
                    hasMoreInput = used < bytes.count
                    requestIsWhole()
                case .bad: breakOff(.badChunk)
                }
            case .discarding(let left):
                if rest.isEmpty { return used }
                let count = min(left, rest.count)
                used += count
                input = count == left ? .head : .discarding(left: left - count)
            case .discardingChunks:
                if rest.isEmpty { return used }
                switch chunks.step(rest) {
                case .skip(let count), .data(let count): used += count
                case .end(let count):
                    used += count
                    input = .head
                case .bad: cutOff(.refused(.badChunk))
                }
            }
        }
        return bytes.count
    }

    private func beginExchange() {
        parser = HeadParser()
        wait = .nothing  // the next head has a deadline of its own
        exchangeNumber &+= 1
        isExchangeOpen = true
        answer = .none
        bodyByteCount = 0
        continueSent = false
        let number = exchangeNumber
        if request.isChunked {
            chunks = ChunkDecoder(trailerBytesMax: limits.trailerBytesMax)
            input = .chunkedBody
        } else {
            input = .fixedBody(left: request.contentLength ?? 0)
        }
        delegate?.requestHeadReceived(self)
        guard number == exchangeNumber, !isClosed else { return }
        guard request.hasBody else { return requestIsWhole() }
        if let length = request.contentLength {
            if length > bodyBytesMax { return breakOff(.bodyTooLarge) }
            // A promise of many bytes is not yet many bytes.
            if collectsBody { body.reserveCapacity(min(length, 1024 * 1024)) }
        }
        if request.expectsContinue {
            continueSent = true
            if !hasMoreInput {
                out.append("HTTP/1.1 100 Continue\r\n\r\n")
                flush()
            }
        }
    }

    private func bodyArrived(_ bytes: UnsafeRawBufferPointer, isLast: Bool) {
        let number = exchangeNumber
        bodyByteCount += bytes.count
        if collectsBody {
            // Growing by doubling would copy most of a large body inside this callback: once a first part has come, which a
            // client cannot fake, there is room for all of it.
            if body.count + bytes.count > body.capacity, let length = request.contentLength {
                body.reserveCapacity(length)
            }
            body.append(contentsOf: bytes)
        }
        delegate?.requestBodyReceived(self, bytes)
        if isLast, number == exchangeNumber, !isClosed { requestIsWhole() }
    }

    private func requestIsWhole() {
        input = .complete
        delegate?.requestEnded(self)
    }

    // MARK: Ends

    /// The exchange is answered in full.
    func finishExchange() {
        exchangeNumber &+= 1
        isExchangeOpen = false
        answer = .none
        forgetExchange()
        if closesAfterAnswer || group.isDraining {
            linger()
        } else {
            switch input {
            case .fixedBody(let left) where left > 0: input = .discarding(left: left)
            case .chunkedBody: input = .discardingChunks
            default: input = .head
            }
            if !isProcessing { proceed() }
        }
    }

    private func forgetExchange() {
        userInfo = nil
        onDrain = nil
        body = []
        collectsBody = false
        isBodyPaused = false
        bodyBytesMax = limits.bodyBytesMax
        request.clear()
    }

    /// True if the rest of the request, if any, can be read past so that the connection can be kept.
    var canPassRestOfRequest: Bool {
        switch input {
        case .fixedBody(let left):
            left == 0 || (left <= limits.discardedBodyBytesMax && (!request.expectsContinue || continueSent))
        case .chunkedBody: limits.passesChunkedBodies && (!request.expectsContinue || continueSent)
        default: true
        }
    }

    /// Answers a head that no delegate has seen.
    private func refuse(_ refusal: HTTPRefusal, head: UnsafeRawBufferPointer) {
        request.clear()
        if head.starts(with: "HEAD ".utf8) { request.method = .head }
        closesAfterAnswer = true
        isExchangeOpen = true
        exchangeNumber &+= 1
        input = .complete
        respondToRefusal(refusal)
        delegate?.headRefused(self, refusal)
    }

    /// Gives an exchange up whose request turned out unacceptable.
    private func breakOff(_ refusal: HTTPRefusal) {
        let number = exchangeNumber
        closesAfterAnswer = true
        delegate?.requestAborted(self, .refused(refusal))
        guard number == exchangeNumber, !isClosed else { return }
        switch answer {
        case .none: respondToRefusal(refusal)
        // Too late for a status; a missing end says it.
        case .streaming: tearDown()
        }
    }

    private func respondToRefusal(_ refusal: HTTPRefusal) {
        let body = Array("{\"message\":\"\(refusal.rawValue)\"}".utf8)
        body.withUnsafeBytes { body in
            _ = respond(refusal.status, body: body) { headers in
                headers.add("Content-Type", "application/json")
                delegate?.addFields(to: headers, ofRefusal: refusal.status)
            }
        }
    }

    /// Ends our direction once all is written, and reads on until the client is done.
    private func linger() {
        guard !isClosed, !isLingering else { return }
        flush()
        guard !isClosed else { return }
        isLingering = true
        if !isProcessing { buffered.removeAll() }
        stream.shutdown()
        updateReading()
        updateWait(restart: true)
        if peerEnded, stream.queuedByteCount == 0 { tearDown() }
    }

    private func ended(_ error: UVError?) {
        peerEnded = true
        isReading = false
        if error != nil || isExchangeOpen {
            cutOff(.disconnected)
        } else if stream.queuedByteCount > 0 {
            // The client half-closed and still reads what is owed to it.
            isLingering = true
            updateWait(restart: true)
        } else {
            tearDown()
        }
    }

    /// Closes at once; the delegate hears of an open exchange.
    func cutOff(_ reason: HTTPAbort) {
        guard !isClosed else { return }
        if isExchangeOpen {
            isExchangeOpen = false
            delegate?.requestAborted(self, reason)
            exchangeNumber &+= 1
            forgetExchange()
        }
        tearDown()
    }

    private func tearDown() {
        guard !isClosed else { return }
        isClosed = true
        if isExchangeOpen {
            exchangeNumber &+= 1
            isExchangeOpen = false
            forgetExchange()
        }
        deadline = .distantFuture
        stream.close()
        let delegate = delegate
        self.delegate = nil
        group.remove(self)
        delegate?.connectionClosed(self)
    }

    /// Closes without a word to the delegate, which asked for it.
    func abandon() { tearDown() }

    func drain() {
        switch (input, isExchangeOpen) {
        // A request that is here as a whole gets its answer; of one that is not, nothing was promised.
        case (.complete, true):
            if case .none = answer { closesAfterAnswer = true }
        case (.head, false) where stream.queuedByteCount > 0 || !out.isEmpty || isLingering: break
        default: cutOff(.shutDown)
        }
    }

    // MARK: Writing

    /// Hands `out`, then `more`, to the kernel as far as it takes them, in one system call; the rest is queued.
    func flush(_ more: UnsafeRawBufferPointer = .init(start: nil, count: 0)) {
        guard !isClosed, !isBroken else { return out.removeAll() }
        let first = out.bytes
        let total = first.count + more.count
        guard total > 0 else { return }
        var written = 0
        do throws(UVError) {
            written = first.isEmpty ? try stream.tryWrite(more) : try stream.tryWrite(first, more)
        } catch {
            out.removeAll()
            // The next tick cuts off. Doing it here would tell the delegate of the end inside its own call to write.
            isBroken = true
            deadline = .zero
            return
        }
        if written < total {
            if written < first.count {
                enqueue(UnsafeRawBufferPointer(rebasing: first[written...]))
                written = first.count
            }
            if written < total { enqueue(UnsafeRawBufferPointer(rebasing: more[(written - first.count)...])) }
            updateWait(restart: true)
        }
        out.removeAll()
    }

    private func enqueue(_ bytes: UnsafeRawBufferPointer) {
        // Strong: the completion may come after the close.
        stream.write(bytes) { [self] error in wrote(error) }
    }

    private func wrote(_ error: UVError?) {
        guard !isClosed else { return }
        if error != nil { return cutOff(.disconnected) }
        guard stream.queuedByteCount == 0 else {
            updateWait(restart: true)
            return
        }
        if isLingering {
            if peerEnded { return tearDown() }
            updateWait(restart: true)
            return
        }
        onDrain?()
        proceed()
    }

    /// True if an answer that ends now should wait for the next one.
    var holdsAnswer: Bool {
        limits.coalescesPipelinedAnswers && !closesAfterAnswer && out.count < 64 * 1024
            && (isProcessing ? hasMoreInput : !buffered.isEmpty)
    }

    // MARK: Deadlines

    private func updateWait(restart: Bool) {
        guard !isClosed, !isBroken else { return }
        let queued = stream.queuedByteCount
        let next: Wait =
            if queued > 0 {
                .write
            } else if isLingering {
                .linger
            } else {
                switch input {
                case .complete: .nothing
                case .fixedBody, .chunkedBody: isBodyPaused ? .nothing : .body
                case .discarding, .discardingChunks: .body
                case .head: buffered.isEmpty ? .idle : .head
                }
            }
        // A head and a linger have one deadline from their start; the others count from the last progress.
        if next == wait, next == .head || next == .linger || !restart { return }
        wait = next
        queuedAtDeadlineStart = queued
        switch next {
        case .nothing: deadline = .distantFuture
        case .idle: deadline = group.deadline(after: limits.keepAliveIdleTimeout)
        case .head: deadline = group.deadline(after: limits.headTimeout)
        case .body: deadline = group.deadline(after: limits.bodyIdleTimeout)
        case .write: deadline = group.deadline(after: limits.writeStallTimeout)
        case .linger: deadline = group.deadline(after: limits.lingerTimeout)
        }
    }

    func deadlinePassed() {
        if isBroken { return cutOff(.disconnected) }
        switch wait {
        case .nothing: deadline = .distantFuture
        case .idle, .linger: cutOff(.shutDown)
        case .head: refuse(.headTimeout, head: buffered.bytes)
        case .body: if isExchangeOpen { breakOff(.bodyTimeout) } else { cutOff(.shutDown) }
        case .write:
            if stream.queuedByteCount < queuedAtDeadlineStart {
                updateWait(restart: true)
            } else {
                cutOff(.notReading)
            }
        }
    }
}
