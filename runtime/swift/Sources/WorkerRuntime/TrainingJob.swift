#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// One attempt of a training execution: its data, where its results go, and how it reports.
///
/// Used on the thread that calls ``TrainableFunction/train(_:)`` only.
public final class TrainingJob {
    /// The event; `{}` when it is empty. Its reserved key `roost` was for the host and may be ignored.
    public let hyperparameters: JSONValue
    /// The base version's model; `nil` when it has none.
    public let modelDirectory: String?
    /// Outlives attempts and restarts of the host. Write to a temporary name, `fsync`, `rename`
    /// (``replaceFile(atPath:with:)`` does). `nil` when the host offers none: then training starts over each time.
    public let checkpointDirectory: String?
    /// What is in this folder when training succeeds becomes the new version's model.
    public let outputDirectory: String
    /// 1 for the first attempt.
    public let attempt: Int

    /// One report, as ``progress(fraction:step:metrics:message:)`` makes it.
    public struct Progress: Sendable {
        public var fraction: Double?
        public var step: Int?
        public var metrics: [String: Double]
        public var message: String?
    }

    private let channelDirectory: (String) -> String?
    private let onProgress: (Progress) -> Void
    private let stopCheck: () -> Bool

    /// A job without a host, for a function's own tests.
    public init(
        hyperparameters: JSONValue = [:], channels: [String: String], modelDirectory: String? = nil,
        checkpointDirectory: String? = nil, outputDirectory: String, attempt: Int = 1,
        isStopRequested: @escaping () -> Bool = { false }, onProgress: @escaping (Progress) -> Void = { _ in }
    ) {
        self.hyperparameters = hyperparameters
        self.modelDirectory = modelDirectory
        self.checkpointDirectory = checkpointDirectory
        self.outputDirectory = outputDirectory
        self.attempt = attempt
        self.channelDirectory = { channels[$0] }
        self.onProgress = onProgress
        self.stopCheck = isStopRequested
    }

    /// The job that the process environment describes.
    init(
        event: Event, isStopRequested: @escaping () -> Bool, onProgress: @escaping (Progress) -> Void
    ) throws {
        hyperparameters = event.bytes.isEmpty ? [:] : try event.json()
        guard let outputDirectory = Environment.value("ROOST_OUTPUT_DIR") else {
            throw FunctionError(type: "Training.NoOutput", message: "The host named no ROOST_OUTPUT_DIR")
        }
        self.outputDirectory = outputDirectory
        modelDirectory = Environment.value("ROOST_MODEL_DIR")
        checkpointDirectory = Environment.value("ROOST_CHECKPOINT_DIR")
        attempt = Environment.value("ROOST_ATTEMPT").flatMap { Int($0) } ?? 1
        channelDirectory = { Environment.value(Environment.channelVariable($0)) }
        self.onProgress = onProgress
        stopCheck = isStopRequested
    }

    /// The folder of a data channel, such as `train`; `nil` when the execution has no such channel.
    public func channel(_ name: String) -> String? { channelDirectory(name) }

    /// The paths of a channel's regular files, sorted by name; `nil` when the execution has no such channel.
    ///
    /// Throws a ``SystemError`` when the folder cannot be read. Links are followed.
    public func files(inChannel name: String) throws -> [String]? {
        guard let directory = channelDirectory(name) else { return nil }
        guard let handle = opendir(directory) else {
            throw SystemError(operation: "opendir \(directory)", code: errno)
        }
        defer { closedir(handle) }
        var paths: [String] = []
        while let entry = readdir(handle) {
            let path = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { "\(directory)/\(String(cString: $0))" }
            }
            var status = stat()
            if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG { paths.append(path) }
        }
        return paths.sorted()
    }

    /// Whether the host wants the training to stop (SIGTERM), or is gone. Cheap enough to ask for each minibatch.
    public var isStopRequested: Bool { stopCheck() }

    /// Tells the host how far the training is. Every argument is optional.
    ///
    /// Each report is a message to the host, and waits until the one before it was acknowledged, so make at most a
    /// few a second. Metrics that are not finite are left out. Never throws: a host that is gone shows as
    /// ``isStopRequested``.
    ///
    /// - Parameters:
    ///   - fraction: How much is done, 0 to 1.
    ///   - step: The step that was finished, in the training's own unit; usually the epoch.
    public func progress(
        fraction: Double? = nil, step: Int? = nil, metrics: [String: Double] = [:], message: String? = nil
    ) {
        onProgress(Progress(fraction: fraction, step: step, metrics: metrics, message: message))
    }

    /// Replaces a file so that a crash leaves either the old or the new content, whole: temporary name, `fsync`,
    /// `rename`, `fsync` of the folder. Throws a ``SystemError``; the old content is still there then.
    public static func replaceFile(atPath path: String, with parts: UnsafeRawBufferPointer...) throws {
        let temporary = path + ".new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw SystemError(operation: "open \(temporary)", code: errno) }
        var isOpen = true
        defer { if isOpen { close(file) } }
        for part in parts {
            var written = 0
            while written < part.count {
                let count = write(file, part.baseAddress! + written, part.count - written)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw SystemError(operation: "write \(temporary)", code: errno)
                }
                written += count
            }
        }
        guard fsync(file) == 0 else { throw SystemError(operation: "fsync \(temporary)", code: errno) }
        isOpen = false
        guard close(file) == 0 else { throw SystemError(operation: "close \(temporary)", code: errno) }
        guard rename(temporary, path) == 0 else { throw SystemError(operation: "rename \(path)", code: errno) }
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let directory = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw SystemError(operation: "open \(folder)", code: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw SystemError(operation: "fsync \(folder)", code: errno) }
    }
}

extension TrainingJob.Progress {
    /// The body of the progress message. JSON has no infinities, and the host refuses them.
    var document: [UInt8] {
        var document = JSONObject()
        if let fraction, fraction.isFinite { document["fraction"] = .number(fraction) }
        if let step { document["step"] = .integer(Int64(step)) }
        let finite = metrics.filter(\.value.isFinite).sorted { $0.key < $1.key }
        if !finite.isEmpty { document["metrics"] = .object(JSONObject(finite.map { ($0.key, .number($0.value)) })) }
        if let message { document["message"] = .string(message) }
        return JSONValue.object(document).encoded
    }
}

/// The end of a successful training.
public struct TrainingResult: Sendable {
    /// The final metrics; they are kept with the new version. Those that are not finite are left out.
    public var metrics: [String: Double]

    public init(metrics: [String: Double] = [:]) { self.metrics = metrics }

    var document: [UInt8] {
        let finite = metrics.filter(\.value.isFinite).sorted { $0.key < $1.key }
        let document: JSONValue = ["metrics": .object(JSONObject(finite.map { ($0.key, .number($0.value)) }))]
        return document.encoded
    }
}

/// Thrown by a training that stopped because it was asked to, after it wrote its checkpoint.
///
/// The runtime then exits with status 0 and posts nothing. Thrown without a request it is an ordinary error.
public struct TrainingStopped: Error, Sendable {
    public init() {}
}
