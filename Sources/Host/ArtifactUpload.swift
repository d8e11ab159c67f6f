internal import Artifacts
internal import Domain
internal import HTTP
internal import LambdaAPI
internal import Loop
internal import RoostAPI

/// One file on its way from a client's socket into the artifact store. Lives on the loop; the disk work does not.
///
/// At most `bufferedBytesMax` and one read are in memory: the body is paused while a batch is being written.
final class ArtifactUpload {
    private static let bufferedBytesMax = 1 << 20

    private enum State {
        case new
        case open(Upload)
        /// The store has the file already: the body is read past.
        case present(WireResponse)
        case over
    }

    private let digest: Digest
    private let exchange: HTTPExchange
    private let roost: RoostAPI
    private let loop: EventLoop
    private let sizeBytes: Int?
    /// Where in the file the body starts.
    private let offset: Int
    private var state = State.new
    private var buffered: [UInt8] = []
    private var isComplete = false
    private var isAborted = false
    /// A task is at work; it takes up what comes meanwhile.
    private var isWriting = false

    init(_ digest: Digest, offset: Int, connection: HTTPConnection, roost: RoostAPI, loop: EventLoop) {
        self.offset = offset
        self.digest = digest
        self.roost = roost
        self.loop = loop
        exchange = connection.exchange
        sizeBytes = connection.request.contentLength
    }

    func receive(_ bytes: UnsafeRawBufferPointer) {
        if case .over = state { return }
        buffered.append(contentsOf: bytes)
        if buffered.count >= Self.bufferedBytesMax {
            exchange.connection.pauseBody()
            work()
        }
    }

    func end() {
        isComplete = true
        work()
    }

    func abort() {
        isAborted = true
        work()
    }

    private func work() {
        guard !isWriting else { return }
        isWriting = true
        loop.spawn { await self.run() }
    }

    private func run() async {
        do throws(WireError) {
            try await writeAll()
        } catch {
            await discard()
            exchange.respond(error.response)
        }
        isWriting = false
    }

    private func writeAll() async throws(WireError) {
        if case .new = state, !isAborted {
            switch try await roost.beginUpload(digest, sizeBytes: sizeBytes, offset: offset) {
            case .present(let response): state = .present(response)
            case .upload(let upload): state = .open(upload)
            }
        }
        while !isAborted, !buffered.isEmpty {
            let batch = buffered
            buffered = []
            if case .open(let upload) = state { try await roost.write(batch, to: upload) }
            if exchange.isOpen { exchange.connection.resumeBody() }
        }
        if isAborted { return await discard() }
        guard isComplete else { return }
        switch state {
        case .open(let upload):
            state = .over
            exchange.respond(await roost.finishUpload(upload, digest))
        case .present(let response):
            state = .over
            exchange.respond(response)
        case .new, .over:
            break
        }
    }

    private func discard() async {
        buffered = []
        let last = state
        state = .over
        if case .open(let upload) = last { await roost.abort(upload) }
    }
}
