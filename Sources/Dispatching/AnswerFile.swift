internal import Artifacts
internal import Domain
internal import Loop
internal import Workers

/// An answer that is too long to be kept in memory, on its way into the artifact store. Lives on the loop; the disk work does
/// not.
///
/// At most `bufferedBytesMax` and one read wait in memory: then the worker has to, until `onRoom`.
package final class AnswerFile {
    static let bufferedBytesMax = 1 << 20

    private let loop: EventLoop
    private let artifacts: ArtifactStore
    let bytesMax: Int
    private(set) var sizeBytes = 0
    private var buffered: [UInt8] = []
    private var file: NewFile?
    private var failure: (any Error)?
    private var isWriting = false
    /// Some of it had to wait.
    private var isFull = false
    private var onWritten: CheckedContinuation<Void, Never>?
    /// There is room again.
    var onRoom: (() -> Void)?

    init(loop: EventLoop, artifacts: ArtifactStore, bytesMax: Int) {
        self.loop = loop
        self.artifacts = artifacts
        self.bytesMax = bytesMax
    }

    /// Takes all of the bytes, or none when the answer would be too long.
    func append(_ bytes: UnsafeRawBufferPointer) -> AnswerReception {
        guard sizeBytes + bytes.count <= bytesMax else { return .tooLong }
        sizeBytes += bytes.count
        // What cannot be written is read past; `finish` says why.
        guard failure == nil else { return .more }
        unsafe buffered.append(contentsOf: bytes)
        guard buffered.count >= Self.bufferedBytesMax else { return .more }
        isFull = true
        write()
        return .wait
    }

    /// Returns when it is on disk. Throws what kept it from that.
    func finish() async throws -> Payload {
        write()
        if isWriting { await withCheckedContinuation { onWritten = $0 } }
        if let failure { throw failure }
        let file = file!
        let (digest, sizeBytes) = try await loop.offload { try file.finish() }
        return .file(digest, sizeBytes: sizeBytes)
    }

    private func write() {
        guard !isWriting else { return }
        isWriting = true
        loop.spawn { await self.writeAll() }
    }

    private func writeAll() async {
        do {
            if file == nil {
                let artifacts = artifacts
                file = try await loop.offload { try artifacts.beginFile() }
            }
            while !buffered.isEmpty {
                let batch = buffered
                buffered = []
                let file = file!
                try await loop.offload { try file.write(batch) }
                if isFull {
                    isFull = false
                    onRoom?()
                }
            }
        } catch {
            failure = error
            buffered = []
            if isFull { onRoom?() }
        }
        isWriting = false
        onWritten?.resume()
        onWritten = nil
    }
}
