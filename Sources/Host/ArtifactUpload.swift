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

    private let digest: Digest
    private let exchange: HTTPExchange
    private let artifacts: ArtifactStore
    private let roost: RoostAPI
    private let loop: EventLoop
    private let sizeBytes: Int?
    private var upload: Upload?
    private var buffered: [UInt8] = []
    private var receivedCount = 0
    private var isEnded = false
    private var isWriting = false
    private var isOver = false

    init(_ digest: Digest, connection: HTTPConnection, artifacts: ArtifactStore, roost: RoostAPI, loop: EventLoop) {
        self.digest = digest
        self.artifacts = artifacts
        self.roost = roost
        self.loop = loop
        exchange = connection.exchange
        sizeBytes = connection.request.contentLength
    }

    func receive(_ bytes: UnsafeRawBufferPointer) {
        guard !isOver else { return }
        receivedCount += bytes.count
        buffered.append(contentsOf: bytes)
        if buffered.count >= Self.bufferedBytesMax {
            exchange.connection.pauseBody()
            write()
        }
    }

    func end() {
        isEnded = true
        write()
    }

    func abort() {
        isOver = true
        if !isWriting { discard() }
    }

    private func write() {
        guard !isWriting, !isOver else { return }
        isWriting = true
        loop.spawn { [self] in
            do {
                try await writeAll()
                isWriting = false
                if isOver { discard() }
            } catch let error as ArtifactError {
                isWriting = false
                isOver = true
                discard()
                answer(WireError(.artifact(error)).response)
            } catch {
                preconditionFailure("the artifact store throws ArtifactError only: \(error)")
            }
        }
    }

    private func writeAll() async throws {
        let (artifacts, digest, sizeBytes) = (artifacts, digest, sizeBytes)
        if upload == nil {
            upload = try await loop.offload { try artifacts.beginUpload(expecting: digest, sizeBytes: sizeBytes) }
        }
        let upload = upload!
        repeat {
            let batch = buffered
            buffered = []
            if !batch.isEmpty { try await loop.offload { try upload.write(batch) } }
            if isOver { return }
            exchange.connection.resumeBody()
        } while !buffered.isEmpty
        guard isEnded else { return }
        let wasThere = try await loop.offload {
            let wasThere = artifacts.contains(digest)
            try upload.finish()
            return wasThere
        }
        isOver = true
        self.upload = nil
        answer(roost.uploaded(digest, sizeBytes: receivedCount, wasThere: wasThere))
    }

    private func discard() {
        guard let upload else { return }
        self.upload = nil
        loop.spawn { [loop] in try? await loop.offload { upload.abort() } }
    }

    private func answer(_ response: WireResponse) {
        exchange.respond(response.status, body: response.body) { headers in
            for (name, value) in response.headers { headers.add(name: name, value: value) }
            headers.add("Content-Type", "application/json")
            headers.add("x-amzn-RequestId", UniqueID.random())
        }
    }
}
