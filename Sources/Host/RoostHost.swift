internal import Artifacts
internal import Dispatching
internal import Domain
internal import HTTP
internal import JSON
internal import LambdaAPI
internal import Logging
internal import Loop
internal import Management
internal import Registry
internal import RoostAPI
internal import Scheduling
internal import Signing
internal import Workers

#if canImport(Glibc)
    internal import Glibc
#endif

/// One host: everything wired together, from the data directory to the listener, and its orderly end.
///
/// Starts in the order in which things need each other, and ends in reverse: the listener closes and what runs finishes,
/// workers stop, executions keep their state, the registry closes.
package final class RoostHost {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    private let settings: HostSettings
    private let logger = Logger(label: "roost", factory: { StreamLogHandler.standardError(label: $0) })
    private let loop: EventLoop
    private let registry: Registry
    private let artifacts: ArtifactStore
    private let lock: DataDirectoryLock
    private let placement: LocalPlacement
    private let logs: FunctionLogs
    private let history: InvocationHistory
    private let access: AccessControl
    private let targets: [DeliveryTarget]
    private var dispatcher: Dispatcher?
    private var deliveries: Deliveries?
    private var executions: Executions?
    private var garbage: GarbageCollector?
    private var frontDoor: FrontDoor?
    private var server: HTTPServer?
    private var signals: [SignalWatcher] = []
    private var isEnding = false
    private var exitCode: CInt = 0

    /// Runs a host on the calling thread until it is told to end by SIGTERM or SIGINT.
    ///
    /// - Returns: the process's exit code.
    package static func serve(_ settings: HostSettings) throws(Failure) -> CInt {
        let host = try RoostHost(settings)
        host.run()
        return host.exitCode
    }

    private init(_ settings: HostSettings) throws(Failure) {
        self.settings = settings
        do {
            let installation = try Installation()
            let data = try Self.makeDirectory(settings.dataDirectory)
            lock = try DataDirectoryLock(directory: data)
            registry = try Registry(directory: data)
            artifacts = try ArtifactStore(directory: data + "/artifacts")
            for name in ["logs", "executions", "runtime"] { _ = try Self.makeDirectory("\(data)/\(name)") }
            loop = try EventLoop()
            let sandbox: SandboxMode
            switch settings.sandbox {
            case .none: sandbox = .none
            case .bubblewrap:
                guard let bubblewrap = installation.bubblewrap else {
                    throw Failure(
                        description: "bubblewrap (bwrap) is not installed. Install it, or give up the isolation of "
                            + "workers with --sandbox none.")
                }
                sandbox = .bubblewrap(executable: bubblewrap)
            }
            var local = LocalPlacement.Settings(
                sandbox: sandbox, launcher: installation.launcher,
                runtimes: try installation.copyRuntimes(to: data + "/runtime"), scratch: data + "/executions")
            local.pythonInterpreter = settings.pythonInterpreter
            local.outputBytesMax = settings.trainingOutputBytesMax
            placement = LocalPlacement(settings: local, artifacts: artifacts, loop: loop)
            logs = FunctionLogs(directory: data + "/logs", loop: loop)
            access = try AccessControl(
                keyFile: "\(data)/\(KeyFile.name)", isLoopback: settings.isLoopback, loop: loop
            ) { [logger] in logger.error("\($0)") }
            guard settings.isLoopback || access.hasKeys else {
                throw Failure(
                    description: "refusing to listen on \(settings.host): without access keys anybody who reaches it "
                        + "could run code here. Make a key with `roost keys create`, or listen on a loopback address.")
            }
            targets = try settings.targets.map(Self.target)
            // Has a timer, which has to be closed: nothing fails from here on.
            history = InvocationHistory(directory: data + "/history", loop: loop)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(description: "\(error)")
        }
    }

    private func run() {
        ProcessMemory.giveBackLargeBlocks()
        // A client that goes away is an error of its own connection.
        signal(SIGPIPE, SIG_IGN)
        if settings.isDebugging {
            loop.watch { [logger] name, time in
                logger.warning(
                    "callback held the loop",
                    metadata: ["callback": "\(name)", "milliseconds": "\(Int(time.milliseconds))"])
            }
        }
        loop.spawn { await self.startOrEnd() }
        loop.run()
        registry.close()
    }

    private func startOrEnd() async {
        do {
            try await start()
        } catch {
            complain("\(error)")
            exitCode = 1
            end()
        }
    }

    private func start() async throws {
        if let problem = await placement.sandboxProblem() {
            throw Failure(
                description: "workers cannot be isolated on this machine: \(problem). Run as a user that may make "
                    + "namespaces, or give up the isolation of workers with --sandbox none.")
        }
        let pythonMinor = await placement.pythonMinor()
        if pythonMinor != nil { await placement.compilePythonRuntime() }

        let catalog = Catalog(try await registry.load())
        let management = Management(catalog: catalog, registry: registry, artifacts: artifacts, loop: loop)
        management.capacity.workersMax = settings.limits.workersMax
        management.capacity.memoryMegabytesMax = settings.limits.memoryMegabytesMax
        let metrics = Metrics()
        let dispatcher = Dispatcher(
            loop: loop, limits: settings.limits, placement: placement, artifacts: artifacts, logs: logs,
            history: history,
            metrics: metrics)
        dispatcher.answerBytesMax = settings.answerBytesMax
        self.dispatcher = dispatcher
        management.onChange = { [unowned dispatcher, unowned catalog] change in
            guard let function = change.function else { return }
            var moved: AliasChange?
            if case .putAlias(_, _, let change) = change { moved = change }
            dispatcher.functionChanged(function, to: catalog.entry(function), moved: moved)
        }
        dispatcher.isCurrent = { [unowned catalog] route in
            catalog.entry(route.function.id)?.version(route.version.number)?.revision == route.version.revision
        }
        let deliveries = Deliveries(
            loop: loop, registry: registry, targets: targets, metrics: metrics, settings: settings.deliveries
        ) { [logger] in logger.error("\($0)") }
        self.deliveries = deliveries
        var executionSettings = settings.executions
        executionSettings.windowOfTrainingMax = settings.limits.trainingConcurrency
        let executions = Executions(
            loop: loop, registry: registry, management: management, dispatcher: dispatcher, deliveries: deliveries,
            placement: placement, settings: executionSettings
        ) { [logger] in logger.error("\($0)") }
        self.executions = executions
        let lambda = LambdaAPI(
            management: management, executions: executions, loop: loop, pythonMinor: pythonMinor,
            targets: Set(targets.map(\.name)), limits: settings.requestLimits)
        lambda.provision = { [unowned dispatcher] in dispatcher.provision(of: $0, $1) }
        let pressure = try pressureFiles()
        placement.settings.pressureFiles = pressure.files
        let report = report(pythonMinor: pythonMinor, pressure: pressure.detail)
        let garbage = GarbageCollector(
            management: management, grace: settings.artifactGrace,
            inUse: { [unowned dispatcher] in dispatcher.artifactsInUse }
        ) { [logger] result in
            switch result {
            case .success(let count) where count.removedFiles + count.removedTrees > 0:
                logger.notice(
                    "artifacts that nothing refers to were removed",
                    metadata: [
                        "files": "\(count.removedFiles)", "bytes": "\(count.removedBytes)",
                        "trees": "\(count.removedTrees)",
                    ])
            case .success: break
            case .failure(let error):
                logger.error("artifacts are not collected", metadata: ["reason": "\(error)"])
            }
        }
        self.garbage = garbage
        // No capture list below: see `EventLoop.spawn`.
        let history = history
        let roost = RoostAPI(
            lambda: lambda, garbage: garbage, executions: executions, logs: logs, loop: loop,
            scheduling: { [loop] in dispatcher.report(at: loop.now) }, events: { dispatcher.events(limit: $0) },
            history: { await history.text() },
            host: { report })
        let frontDoor = FrontDoor(
            lambda: lambda, roost: roost, dispatcher: dispatcher, logs: logs, loop: loop, access: access)
        self.frontDoor = frontDoor

        try await deliveries.start()
        try await executions.resume()
        garbage.start()
        let server = try HTTPServer(
            loop: loop, host: settings.host, port: settings.port, connectionsMax: settings.connectionsMax,
            delegate: frontDoor)
        server.onAcceptError = { [logger] error in
            logger.error("a connection could not be accepted: \(error)")
        }
        self.server = server
        let host = settings.host.contains(":") ? "[\(settings.host)]" : settings.host
        let url = "http://\(host):\(server.port)"
        placement.settings.endpoint = url
        for entry in catalog.entries.values where !entry.provisionedConcurrency.isEmpty {
            dispatcher.functionChanged(entry.function.id, to: entry)
        }
        for number in [SIGTERM, SIGINT] {
            signals.append(try SignalWatcher(loop: loop, signal: number) { [unowned self] in end() })
        }
        frontDoor.isReady = true
        print("roost: listening on \(url)")
        print(
            access.hasKeys
                ? "roost: requests must be signed with one of the access keys"
                : "roost: there are no access keys: everybody on this machine is let in, and nobody else")
        fflush(nil)
    }

    /// Where the pressure is read that lowers the memory budget. Where there is none the log says so.
    private func pressureFiles() throws(Failure) -> (files: [String], detail: String) {
        let files: [String]
        switch settings.pressureSource {
        case .none: return ([], "not looked at (memoryPressure is off)")
        case .machine: files = settings.machine.pressureFiles.filter { MemoryPressure.read([$0]) != nil }
        case .file(let path):
            guard MemoryPressure.read([path]) != nil else {
                throw Failure(description: "memoryPressure: \(path) does not have the form of /proc/pressure/memory.")
            }
            files = [path]
        }
        if files.isEmpty {
            let detail = "this kernel does not tell it (PSI): the memory budget is never lowered"
            logger.notice("memory pressure: \(detail)")
            return ([], detail)
        }
        return (files, "read from " + files.joined(separator: ", "))
    }

    private func report(pythonMinor: Int?, pressure: String) -> HostReport {
        let limits = settings.limits
        return HostReport(
            version: RoostVersion.text, sandboxMode: settings.sandbox.rawValue, sandboxProblem: nil,
            dataDirectory: settings.dataDirectory,
            limits: [
                "Workers": .integer(Int64(limits.workersMax)),
                "MemoryMegabytes": .integer(Int64(limits.memoryMegabytesMax)),
                "Trainings": .integer(Int64(limits.trainingConcurrency)),
                "StartsInFlight": .integer(Int64(limits.startsInFlightMax)),
                "KeepAlivePrice": .real(limits.keepAlivePrice),
                "QueueCapacity": .integer(Int64(limits.queueCapacity)),
                "QueueWaitSeconds": .real(limits.queueWaitMax.seconds),
            ],
            checks: [
                .init(
                    name: "sandbox", isOK: settings.sandbox == .bubblewrap,
                    detail: settings.sandbox == .bubblewrap
                        ? "workers run under bubblewrap" : "workers are not isolated (--sandbox none)"),
                .init(
                    name: "python", isOK: pythonMinor != nil,
                    detail: pythonMinor.map { "\(settings.pythonInterpreter) is Python 3.\($0)" }
                        ?? "\(settings.pythonInterpreter) does not work: python3 functions will not start"),
                .init(name: "memory pressure", isOK: true, detail: pressure),
            ])
    }

    // MARK: - The end

    private func end() {
        guard !isEnding else { return }
        isEnding = true
        frontDoor?.isReady = false
        let limit = settings.shutdownMax
        garbage?.stop()
        // Trainings are told first: writing a checkpoint takes the longest.
        executions?.shutDown()
        var waiting = 2
        func done() {
            waiting -= 1
            if waiting == 0 { stopped() }
        }
        if let server { server.drain(within: limit, completion: done) } else { done() }
        guard let dispatcher else { return done() }
        dispatcher.shutDown(within: limit) { [logs] in
            logs.end()
            done()
        }
    }

    private func stopped() {
        placement.close()
        frontDoor?.close()
        loop.spawn { await self.flush() }
    }

    private func flush() async {
        await executions?.close()
        await deliveries?.close()
        await garbage?.close()
        await logs.flush()
        await history.flush()
        history.close()
        // Who asks twice is not answered with a kill: without a watcher the signal would be one.
        signals.forEach { $0.close() }
        for number in [SIGTERM, SIGINT] { signal(number, SIG_IGN) }
        loop.stop()
    }

    private func complain(_ message: String) {
        let line = Array("roost: \(message)\n".utf8)
        _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }

    private static func target(_ target: HostSettings.Target) throws(Failure) -> DeliveryTarget {
        do throws(any Error) {
            switch target.place {
            case .directory(let path):
                return DeliveryTarget(name: target.name, place: .directory(try SpoolDirectory(path)))
            case .webhook(let url, let secretFile, let caFile, let timeout):
                if let caFile, Glibc.access(caFile, R_OK) != 0 {
                    throw Failure(description: "\(caFile): \(String(cString: strerror(errno)))")
                }
                let secret = try WebhookSecret(file: secretFile)
                return DeliveryTarget(
                    name: target.name,
                    place: .webhook(.init(url: url, secret: secret, caFile: caFile, timeout: timeout)))
            }
        } catch {
            throw Failure(description: "destination \(target.name): \(error)")
        }
    }

    /// - Returns: its absolute path.
    private static func makeDirectory(_ path: String) throws(Failure) -> String {
        var parent = path.hasPrefix("/") ? "" : "."
        for component in path.split(separator: "/") {
            parent += "/" + component
            // Others may pass: workers of a root host are another user. What is secret below has rights of its own.
            if mkdir(parent, 0o755) != 0, errno != EEXIST {
                throw Failure(description: "mkdir \(parent): \(String(cString: strerror(errno)))")
            }
        }
        guard let absolute = realpath(path, nil) else {
            throw Failure(description: "\(path): \(String(cString: strerror(errno)))")
        }
        defer { free(absolute) }
        return String(cString: absolute)
    }
}

extension Executions: ExecutionService {}
