internal import Domain
internal import HTTP
internal import JSON
internal import Loop

/// A worker process of this machine, from the preparation of its files to the end of its log. Lives on the loop.
///
/// States, and who moves them:
///
///     preparing -> running   the process was spawned
///     preparing -> exited    its files could not be prepared, or it was stopped before
///     running   -> ending    we kill it or stop it; or its process ended by itself
///     ending    -> exited    its process, its log and its connections have ended
///
/// Invariants:
/// 1. An invocation that was dispatched gets exactly one `end` or `fail` of its sink.
/// 2. The owner hears `exited` exactly once, as the last call, after every invocation has had its end.
/// 3. What the worker wrote before it ended is in the log, and counts as an answer, before `exited`.
final class LocalWorker: Worker {
    enum State {
        case preparing, running, ending, exited
    }

    /// One invocation that the worker can take at a time.
    struct Slot {
        /// What was dispatched and is not answered.
        var invocation: WorkerInvocation?
        var deadlineMilliseconds: Int64 = 0
        /// Who asks for the next invocation and gets it when there is one.
        var waiting: HTTPConnection?
        /// Who got the current one.
        var holder: HTTPConnection?
        /// It got an invocation since it was last free.
        var wasUsed = false
        /// The answer is being received.
        var isAnswering = false
        /// From the dispatch to the deadline; after the answer, to the time by which `next` must come.
        var timer: LoopTimer?
    }

    let id: UInt64
    let start: WorkerStart
    let placement: LocalPlacement
    /// Outlives its workers.
    unowned let owner: any WorkerOwner
    var loop: EventLoop { placement.loop }

    var state = State.preparing
    var isReady = false
    var slots: [Slot]
    /// Why we are killing it; what its invocations fail with.
    var failure: WorkerFailure?

    private var process: ChildProcess?
    private var exit: WorkerExit?
    private var worker: ProcessDescriptor?
    private var control: DescriptorReceiver?
    private var output: Stream?
    private var lines = LineSplitter()
    private var listener: Listener?
    /// Those of an own runtime are its slots, in order.
    var connections: [HTTPConnection] = []
    /// What each of them is sending, in the same order.
    var receiving: [Receiving] = []
    private var initTimer: LoopTimer?
    private var killTimer: LoopTimer?
    /// The invocation that the next lines belong to.
    private var lastRequest: String?
    private let startedAt: Instant

    /// Processes and threads of one worker.
    static let processesMax = 4096
    /// A worker that has answered must ask for more in this time, or it hangs.
    static let nextMax = Interval.seconds(30)
    /// One whose stream was refused must have ended it, and ask for more, in this time.
    static let refusedStreamMax = Interval.seconds(10)
    /// What a dead process left in its pipes is read for this long at the most.
    static let lastWordsMax = Interval.milliseconds(500)

    init(start: WorkerStart, placement: LocalPlacement, owner: any WorkerOwner) {
        id = start.id
        self.start = start
        self.placement = placement
        self.owner = owner
        slots = Array(repeating: Slot(), count: start.version.configuration.settings.workerConcurrency)
        startedAt = placement.loop.now
    }

    var isForeign: Bool {
        if case .provided = start.version.configuration.runtime { true } else { false }
    }

    // MARK: - Starting

    func begin() {
        let limit = start.version.configuration.settings.initTimeoutSeconds
        initTimer = LoopTimer(loop: loop) { [unowned self] in initTimedOut(limit) }
        loop.spawn { await self.prepare(initSeconds: limit) }
    }

    /// Hashing a training's files may take minutes, which are no part of its init.
    private func prepare(initSeconds: Int) async {
        do {
            let directories = try await placement.directories(for: start)
            guard state == .preparing else { return }
            initTimer?.start(after: .seconds(initSeconds))
            try spawn(directories)
            state = .running
        } catch let mismatch as DigestMismatch {
            guard state == .preparing else { return }
            initFailed(WorkerStart.Training.digestMismatch, mismatch.description)
            ended(.notStarted(mismatch.description))
        } catch {
            guard state == .preparing else { return }
            ended(.notStarted("\(error)"))
        }
    }

    private func spawn(_ directories: WorkerDirectories) throws(UVError) {
        // Numbers in the child; ours are closed at the end, whatever happens.
        var descriptors: [CInt?] = [nil]
        var ours: [CInt] = []
        defer { ours.forEach(Descriptor.close) }
        func pass(_ descriptor: CInt) -> CInt {
            ours.append(descriptor)
            descriptors.append(descriptor)
            return CInt(descriptors.count - 1)
        }

        let log = try Descriptor.pipe()
        _ = pass(log.childs)
        descriptors.append(log.childs)
        output = try Stream(loop: loop, pipeDescriptor: log.ours)

        var runtimeDescriptors: [CInt]?
        if !isForeign {
            var numbers: [CInt] = []
            for _ in slots {
                let pair = try Descriptor.socketPair()
                numbers.append(pass(pair.childs))
                attach(try Stream(loop: loop, pipeDescriptor: pair.ours))
            }
            runtimeDescriptors = numbers
        }

        let pair = try Descriptor.socketPair()
        let controlNumber = pass(pair.childs)
        control = try DescriptorReceiver(loop: loop, socket: pair.ours)
        control?.onMessage = { [unowned self] message, received in controlReceived(message, received) }
        control?.onEnd = { [unowned self] _ in control?.close() }

        let isSandboxed = placement.settings.sandbox != .none
        let inside = isSandboxed ? SandboxLayout.inside(directories) : directories
        let environment = WorkerEnvironment.entries(
            for: start, directories: inside, runtimeDescriptors: runtimeDescriptors,
            logStream: "\(EventLoop.wallClock.text.prefix(10))/[\(start.version.number)]\(id)",
            endpoint: placement.settings.endpoint)
        let environmentNumber = pass(try Descriptor.memory(Self.terminated(environment), name: "environment"))

        var flags = ["--control", String(controlNumber), "--environment", String(environmentNumber)]
        flags += ["--chdir", inside.package, "--rlimit", "core=0", "--rlimit", "nproc=\(Self.processesMax)"]
        if let runtimeDescriptors {
            flags += ["--inherit", runtimeDescriptors.map { String($0) }.joined(separator: ",")]
        } else {
            flags.append("--listen")
        }
        // Training yields to inference.
        if start.training != nil { flags += ["--nice", "10"] }

        var executable = placement.settings.launcher
        var arguments: [String] = []
        switch placement.settings.sandbox {
        case .bubblewrap(let bubblewrap):
            let layout = SandboxLayout(
                isHostRoot: placement.isHostRoot,
                isNetworkAllowed: start.version.configuration.settings.isNetworkAllowed,
                launcher: placement.settings.launcher, runtimes: placement.settings.runtimes,
                directories: directories, temporaryBytesMax: placement.settings.temporaryBytesMax)
            let number = pass(try Descriptor.memory(Self.terminated(layout.bubblewrapArguments), name: "arguments"))
            executable = bubblewrap
            arguments = ["--args", String(number), "--", SandboxLayout.launcherPath]
            if placement.isHostRoot { flags.append("--userns") }
        case .none:
            flags.append("--pdeathsig=\(loop.processIdentifier)")
        }
        arguments += flags + ["--"]
        arguments += WorkerEnvironment.command(
            for: start.version.configuration.runtime, taskRoot: inside.package,
            runtimes: isSandboxed ? "/opt/roost" : placement.settings.runtimes,
            interpreter: placement.settings.pythonInterpreter)

        process = try ChildProcess(
            loop: loop,
            start: .init(
                executable: executable, arguments: arguments, environment: ["PATH=/usr/local/bin:/usr/bin:/bin"],
                descriptors: descriptors, isDetached: !isSandboxed)
        ) { [unowned self] exit in processExited(exit) }

        output?.onRead = { [unowned self] bytes in lines.split(bytes) { wrote($0) } }
        output?.onEnd = { [unowned self] _ in
            lines.finish { wrote($0) }
            output?.close()
            checkEnd()
        }
        try output?.startReading()
    }

    static func terminated(_ strings: [String]) -> [UInt8] {
        strings.flatMap { Array($0.utf8) + [0] }
    }

    private func controlReceived(_ message: [UInt8], _ received: [CInt]) {
        // The layout is PROTOCOL.md's, section 9: kind at 6, text at 16.
        guard message.count == 128, message.starts(with: "ROST".utf8) else { return received.forEach(Descriptor.close) }
        if message[6] == 1, received.count >= 1 {
            worker = ProcessDescriptor(descriptor: received[0])
            if received.count >= 2 { listen(received[1]) }
            // A kill that came before could only reach the sandbox from outside.
            if state == .ending { terminate() }
        } else {
            received.forEach(Descriptor.close)
            let text = message[16...].prefix { $0 != 0 }
            wrote(Array("roost-launch: ".utf8) + text)
        }
    }

    private func listen(_ descriptor: CInt) {
        do throws(UVError) {
            listener = try Listener(loop: loop, tcpDescriptor: descriptor)
            listener?.start { [unowned self] stream in attach(stream) }
        } catch {
            kill(.protocolViolation("the worker's listener cannot be used: \(error)"))
        }
    }

    private func initTimedOut(_ limitSeconds: Int) {
        guard !isReady else { return }
        initFailed("Sandbox.Timedout", "Init timed out after \(limitSeconds).00 seconds")
        kill(.timedOut(limitSeconds: Double(limitSeconds)))
    }

    /// What those who wait for the worker are told.
    private func initFailed(_ type: String, _ message: String) {
        owner.worker(
            self,
            failedInit: (["errorType": .string(type), "errorMessage": .string(message)] as JSONValue).encoded())
    }

    func becameReady() {
        isReady = true
        initTimer?.close()
        owner.workerBecameReady(self)
    }

    // MARK: - Invocations

    func dispatch(_ invocation: WorkerInvocation, slot index: Int) {
        precondition(slots[index].invocation == nil, "slot \(index) of worker \(id) is busy")
        let limit = Interval.seconds(invocation.timeoutSeconds)
        slots[index].invocation = invocation
        slots[index].deadlineMilliseconds =
            EventLoop.wallClock.millisecondsSince1970 + limit.nanoseconds / 1_000_000
        startTimer(of: index, limit)
        if slots.count == 1 {
            endLine()
            lastRequest = invocation.requestID
        }
        deliver(index)
    }

    func startTimer(of index: Int, _ limit: Interval) {
        if slots[index].timer == nil {
            slots[index].timer = LoopTimer(loop: loop) { [unowned self] in slotTimedOut(index) }
        }
        slots[index].timer?.start(after: limit)
    }

    private func slotTimedOut(_ index: Int) {
        if let invocation = slots[index].invocation {
            kill(.timedOut(limitSeconds: Double(invocation.timeoutSeconds)))
        } else {
            kill(.protocolViolation("the worker did not ask for the next invocation after an answer"))
        }
    }

    /// Takes the invocation out of its slot: it has had its answer.
    ///
    /// - Parameter limit: the time by which `next` must come.
    func answered(_ index: Int, nextWithin limit: Interval = LocalWorker.nextMax) {
        slots[index].invocation = nil
        slots[index].isAnswering = false
        startTimer(of: index, limit)
    }

    /// What came before the answer belongs to it, even when the answer was read first, and a line without end, too.
    func readLog() {
        output?.readAvailable()
        if slots.count == 1 { endLine() }
    }

    private func endLine() { lines.finish { wrote($0) } }

    private func wrote(_ line: [UInt8]) {
        owner.worker(self, wrote: line, request: slots.count == 1 ? lastRequest : nil)
    }

    // MARK: - Ending

    func stop(grace: Interval) {
        switch state {
        case .preparing:
            ended(.code(0))
        case .running:
            beginEnding(.stopped)
            guard let worker, (try? worker.signal(15)) != nil else { return terminate() }
            setKillTimer(after: grace) { [unowned self] in terminate() }
        case .ending, .exited:
            break
        }
    }

    func kill(_ failure: WorkerFailure) {
        switch state {
        case .preparing:
            ended(.code(0))
        case .running:
            beginEnding(failure)
            if !isReady, case .protocolViolation(let text) = failure { initFailed("Runtime.ProtocolViolation", text) }
            owner.workerIsEnding(self, because: failure)
            terminate()
        case .ending:
            terminate()
        case .exited:
            break
        }
    }

    private func beginEnding(_ failure: WorkerFailure) {
        state = .ending
        self.failure = failure
        initTimer?.close()
        for index in slots.indices { slots[index].timer?.stop() }
    }

    /// SIGKILL. The sandbox ends with its worker; without one, the process group does.
    private func terminate() {
        guard exit == nil else { return }
        if placement.settings.sandbox == .none { process?.signalGroup(9) }
        if let worker { try? worker.signal(9) } else { process?.signal(9) }
    }

    private func processExited(_ status: ChildProcess.Exit) {
        let isSandboxed = placement.settings.sandbox != .none
        switch status {
        // bubblewrap and the launcher's shell convention: 128 + signal.
        case .code(let code) where isSandboxed && code > 128 && code < 128 + 65: exit = .signal(code - 128)
        case .code(let code): exit = .code(code)
        case .signal(let number): exit = .signal(number)
        }
        if !isSandboxed { process?.signalGroup(9) }
        if state == .running {
            state = .ending
            owner.workerIsEnding(self, because: .exited(exit!))
        }
        setKillTimer(after: Self.lastWordsMax) { [unowned self] in ended(exit!) }
        checkEnd()
    }

    /// Whether the process is gone and all that it wrote was read.
    func checkEnd() {
        guard let exit, output?.isClosed ?? true, connections.isEmpty else { return }
        ended(exit)
    }

    /// A connection of ours to an own runtime has ended. Its process should be ending; if not, it has lost its way.
    func hungUp() {
        guard exit == nil, state == .running else { return checkEnd() }
        // One with several slots may close them all.
        guard killTimer == nil else { return }
        setKillTimer(after: Self.lastWordsMax) { [unowned self] in
            kill(.protocolViolation("the worker closed its connection to the host"))
        }
    }

    private func setKillTimer(after interval: Interval, _ action: @escaping () -> Void) {
        killTimer?.close()
        killTimer = LoopTimer(loop: loop, action)
        killTimer?.start(after: interval)
    }

    private func ended(_ exit: WorkerExit) {
        guard state != .exited else { return }
        state = .exited
        for index in slots.indices {
            slots[index].timer?.close()
            slots[index].waiting = nil
            slots[index].holder = nil
            if let invocation = slots[index].invocation {
                slots[index].invocation = nil
                invocation.sink.fail(failure ?? .exited(exit))
            }
        }
        let open = connections
        connections = []
        receiving = []
        open.forEach { $0.close() }
        initTimer?.close()
        killTimer?.close()
        output?.close()
        control?.close()
        listener?.close()
        worker?.close()
        process?.close()
        owner.worker(self, exited: exit)
    }

    /// The worker's own, not the sandbox's around it.
    var processIdentifier: Int? { worker?.processIdentifier ?? process?.processIdentifier }

    /// The process below which all of the worker's are, bubblewrap's included; `nil` when it is not there.
    var treeRoot: Int? { exit == nil ? process?.processIdentifier : nil }

    var peakMegabytes: Int? { worker?.peakMegabytes }
}
