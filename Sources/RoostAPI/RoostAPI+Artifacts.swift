package import Artifacts
package import Domain
internal import JSON
package import LambdaAPI
internal import Loop
internal import Management
internal import Manifests
internal import Signing

extension RoostAPI {
    package enum UploadStart {
        /// The file is there. The body is read and thrown away, then this is the answer.
        case present(WireResponse)
        case upload(Upload)
    }

    /// - Parameter sizeBytes: `Content-Length`; `nil` when the client sends chunks.
    /// - Parameter offset: the body is the rest of the file, from here on.
    package func beginUpload(
        _ digest: Digest, sizeBytes: Int?, offset: Int = 0
    ) async throws(WireError) -> UploadStart {
        guard offset == 0 || sizeBytes != nil else { throw .invalid("A body with an offset needs a Content-Length.") }
        // Neither is more than the limit, so their sum does not overflow.
        guard offset <= limits.artifactBytesMax, (sizeBytes ?? 0) <= limits.artifactBytesMax - offset else {
            throw tooLarge(.putArtifact(digest))
        }
        let sizeBytes = sizeBytes.map { $0 + offset }
        let begun = try await stored { store -> (size: Int?, upload: Upload?) in
            if let size = store.freshen(digest) { return (size, nil) }
            return (nil, try store.beginUpload(expecting: digest, sizeBytes: sizeBytes, start: offset))
        }
        if let size = begun.size { return .present(Self.artifact(digest, size, status: 200)) }
        return .upload(begun.upload!)
    }

    /// Stores a part of the body; the next part may be handed over when this has returned. After an error: `abort`.
    package func write(_ bytes: [UInt8], to upload: Upload) async throws(WireError) {
        try await stored { _ in try upload.write(bytes) }
    }

    /// Ends an upload whose body was complete: checks its digest, and answers when the file is on disk.
    package func finishUpload(_ upload: Upload, _ digest: Digest) async -> WireResponse {
        do throws(WireError) {
            let size = try await stored { store in
                try upload.finish()
                return store.size(of: digest) ?? 0
            }
            return Self.artifact(digest, size, status: 201)
        } catch {
            return error.response
        }
    }

    /// Forgets an upload that failed or whose client went away.
    package func abort(_ upload: Upload) async {
        _ = try? await stored { _ in upload.abort() }
    }

    private static func artifact(_ digest: Digest, _ sizeBytes: Int, status: Int) -> WireResponse {
        .json(["Digest": .string(digest.description), "SizeBytes": .integer(Int64(sizeBytes))], status: status)
    }

    static let digestsMax = 10_000

    func missingArtifacts(_ request: WireRequest) async throws(WireError) -> WireResponse {
        let body = try await lambda.object(request.body)
        let texts = try read { () throws(JSONReadError) in
            let texts = try body.required("Digests", as: [String].self)
            try body.refuseUnknown()
            return texts
        }
        guard texts.count <= Self.digestsMax else {
            throw .invalid("Digests has \(texts.count) elements; allowed are \(Self.digestsMax).")
        }
        var digests: [Digest] = []
        for text in texts { digests.append(try RoostOperation.digest(text)) }
        let asked = digests
        let missing = try await stored { store in
            asked.filter { store.freshen($0) == nil }.map { (digest: $0, partSize: store.partSize(of: $0)) }
        }
        // Of these the beginning is there: `PUT` with `offset` sends the rest.
        var partial = JSONObject()
        for case (let digest, let size?) in missing { partial[digest.description] = .integer(Int64(size)) }
        return .json([
            "Missing": .array(missing.map { .string($0.digest.description) }), "Partial": .object(partial),
        ])
    }

    func putManifest(_ digest: Digest, _ request: WireRequest) async throws(WireError) -> WireResponse {
        let text = request.body
        let (manifest, isNew) = try await stored { store in
            let actual = SHA256Hasher.digest(of: text)
            guard actual == digest else { throw ArtifactError.digestMismatch(expected: digest, actual: actual) }
            let isNew = !store.contains(digest)
            return (try store.storeManifest(text), isNew)
        }
        return .json(
            [
                "Digest": .string(digest.description), "Files": .integer(Int64(manifest.files.count)),
                "SizeBytes": .integer(Int64(manifest.sizeBytes)),
            ], status: isNew ? 201 : 200)
    }

    // MARK: - Deployments

    func deploy(_ request: WireRequest) async throws(WireError) -> WireResponse {
        let body = try await lambda.object(request.body)
        let (document, packageText, modelText, publish) = try read { () throws(JSONReadError) in
            let fields = (
                try body.required("Manifest", as: JSONValue.self), try body.required("Package", as: String.self),
                try body.optional("Model", as: String.self), try body.optional("Publish", as: Bool.self) ?? false
            )
            try body.refuseUnknown()
            return fields
        }
        let manifest: FunctionManifest
        do throws(FunctionManifest.Invalid) { manifest = try FunctionManifest(document) } catch {
            throw .invalid(error.description)
        }
        for part in [manifest.function, manifest.training].compactMap({ $0 }) {
            try request.require([.manage], part.name, "Deploy")
        }
        for part in [manifest.function, manifest.training].compactMap({ $0 }) {
            try lambda.rules.check(part.configuration)
        }
        let package = try RoostOperation.digest(packageText)
        let model = try modelText.map { text throws(WireError) in try RoostOperation.digest(text) }
        if manifest.model != nil, model == nil {
            throw .invalid("The manifest names a model folder, so Model must be the digest of its files.")
        }
        let version = try await verb { () async throws(ManagementError) in
            try await management.deploy(
                Deployment(
                    function: Deployment.Part(manifest.function), training: manifest.training.map(Deployment.Part.init),
                    package: package, model: model, publish: publish), by: request.caller)
        }
        let name = manifest.function.name
        return .json([
            "Function": FunctionDocument.make(
                name, version, qualifier: version.number == .latest ? nil : .version(version.number)),
            "Training": manifest.training.map { .string($0.name.text) } ?? .null,
        ])
    }
}

extension Deployment.Part {
    fileprivate init(_ part: FunctionManifest.Part) {
        self.init(
            name: part.name, configuration: part.configuration, reservedConcurrency: part.reservedConcurrency)
    }
}
