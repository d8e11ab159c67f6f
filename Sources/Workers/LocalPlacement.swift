package import Artifacts
package import Domain
internal import HTTP
package import Loop

#if canImport(Glibc)
    internal import Glibc
#endif

/// Runs workers as processes of this machine. Lives on the loop.
package final class LocalPlacement: Placement {
    package struct Settings: Sendable {
        package var sandbox: SandboxMode
        /// `roost-launch`.
        package var launcher: String
        /// The folder with `python/`.
        package var runtimes: String
        /// What runs `python3` functions.
        package var pythonInterpreter = "/usr/bin/python3"
        /// Checkpoints and outputs of executions lie below it.
        package var scratch: String
        /// Of the worker's `/tmp`, `/dev/shm` and a script's `/opt/ml` each. Default 512 MiB.
        package var temporaryBytesMax = 512 << 20
        /// Of all files that a training leaves. Default 100 GB.
        package var outputBytesMax = 100_000_000_000
        /// Where memory pressure is read; the worst of them counts. Default none.
        package var pressureFiles: [String] = []
        /// The URL under which workers with `network` reach this host.
        package var endpoint: String?

        package init(sandbox: SandboxMode, launcher: String, runtimes: String, scratch: String) {
            self.sandbox = sandbox
            self.launcher = launcher
            self.runtimes = runtimes
            self.scratch = scratch
        }
    }

    package var settings: Settings
    let loop: EventLoop
    let artifacts: ArtifactStore
    /// Connections of all workers.
    let connections: HTTPConnectionGroup
    let isHostRoot = getuid() == 0
    /// The unprivileged user that workers of a root host run as.
    static let nobody: UInt32 = 65534

    package init(settings: Settings, artifacts: ArtifactStore, loop: EventLoop) {
        self.settings = settings
        self.artifacts = artifacts
        connections = HTTPConnectionGroup(loop: loop, limits: .worker)
        self.loop = loop
    }

    package func start(_ start: WorkerStart, owner: any WorkerOwner) -> any Worker {
        let worker = LocalWorker(start: start, placement: self, owner: owner)
        worker.begin()
        return worker
    }

    package func measureMemory(of workers: [any Worker]) async -> MemoryMeasurement {
        let roots = workers.compactMap { worker in (worker as? LocalWorker)?.treeRoot.map { (worker.id, $0) } }
        let files = settings.pressureFiles
        let measurement = try? await loop.offload {
            var measurement = MemoryMeasurement(pressure: MemoryPressure.read(files))
            if roots.isEmpty { return measurement }
            var table = ProcessMemoryTable()
            for (id, root) in roots { measurement.megabytes[id] = table.megabytes(of: root) }
            return measurement
        }
        return measurement ?? MemoryMeasurement()
    }

    package func collectOutput(of execution: Execution.ID) async throws(OutputError) -> Digest {
        let artifacts = artifacts
        let limit = settings.outputBytesMax
        let path = scratchPath(execution) + "/output"
        let folder: ArtifactStore.StoredFolder
        do {
            folder = try await loop.offload { try artifacts.storeFolder(at: path, bytesMax: limit) }
        } catch ArtifactError.tooManyBytes(let limit) {
            throw OutputError(
                description: "the training left more than \(limit / 1_000_000) MB in ROOST_OUTPUT_DIR "
                    + "(trainingOutputMegabytes)")
        } catch {
            throw OutputError(description: "the training's output cannot be stored: \(error)")
        }
        guard folder.filesCount > 0 else {
            throw OutputError(description: "the training left no file in ROOST_OUTPUT_DIR")
        }
        return folder.manifest
    }

    package func discardScratch(of execution: Execution.ID) async {
        let path = scratchPath(execution)
        // What stays behind is found and removed again at the next start.
        try? await loop.offload { ScratchDirectory.remove(path) }
    }

    /// After the last worker has ended.
    package func close() { connections.closeAll() }

    /// Executions that have scratch files.
    package func executionsWithScratch() async -> [Execution.ID] {
        let path = settings.scratch
        return ((try? await loop.offload { ScratchDirectory.names(in: path) }) ?? []).map { Execution.ID($0) }
    }

    private func scratchPath(_ execution: Execution.ID) -> String { "\(settings.scratch)/\(execution)" }

    /// The worker's directories, made or looked up on the thread pool.
    func directories(for start: WorkerStart) async throws -> WorkerDirectories {
        let artifacts = artifacts
        let scratch = start.training.map { scratchPath($0.execution) }
        let owner: UInt32? = isHostRoot ? Self.nobody : nil
        let isInSandbox = settings.sandbox != .none
        let configuration = start.version.configuration
        return try await loop.offload {
            var directories = WorkerDirectories(package: try artifacts.tree(start.version.package))
            guard let training = start.training, let scratch else {
                directories.model = try start.model.map { try artifacts.tree($0) }
                return directories
            }
            directories.model = try start.model.map { try DigestMismatch.check("the base model", $0, in: artifacts) }
            for channel in training.channels {
                let place = try DigestMismatch.check("channel '\(channel.name)'", channel.artifact, in: artifacts)
                directories.channels.append((channel.name, place))
            }
            directories.checkpoint = try ScratchDirectory.make(scratch + "/checkpoint", isKept: true, owner: owner)
            directories.output = try ScratchDirectory.make(scratch + "/output", isKept: false, owner: owner)
            if isInSandbox, configuration.isScript, case .python3 = configuration.runtime {
                directories.ml = SandboxLayout.mlPath
            }
            return directories
        }
    }
}

/// What a training would read is not what its digest says.
struct DigestMismatch: Error, CustomStringConvertible {
    let description: String

    /// The tree of an artifact with all bytes checked. Blocking.
    ///
    /// - Parameter part: what of the training it is, for the message.
    static func check(_ part: String, _ artifact: Digest, in artifacts: ArtifactStore) throws -> String {
        do throws(ArtifactError) {
            return try artifacts.checkedTree(artifact)
        } catch {
            switch error {
            case .damagedFile, .damaged, .notFound: throw DigestMismatch(description: "\(part): \(error)")
            default: throw error
            }
        }
    }
}

/// The directories that belong to an execution. Blocking.
enum ScratchDirectory {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameters:
    ///   - isKept: false empties a directory that is there.
    ///   - owner: the user that it is given to, of the same group number.
    static func make(_ path: String, isKept: Bool, owner: UInt32?) throws -> String {
        if !isKept { remove(path) }
        var parent = ""
        for component in path.split(separator: "/") {
            parent += "/" + component
            if mkdir(parent, 0o755) != 0, errno != EEXIST { throw Failure(description: "mkdir \(parent): \(reason)") }
        }
        if let owner, chown(path, owner, owner) != 0 { throw Failure(description: "chown \(path): \(reason)") }
        return path
    }

    /// All of it, without following links.
    static func remove(_ path: String) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in names(in: path) { remove(path + "/" + name) }
            rmdir(path)
        } else {
            unlink(path)
        }
    }

    static func names(in path: String) -> [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private static var reason: String { unsafe String(cString: strerror(errno)) }
}
