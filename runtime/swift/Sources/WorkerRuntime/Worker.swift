import Synchronization

#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The process: finds its connections, starts a thread for each slot, and chooses what to run.
enum Worker {
    static func run<F: Function>(_ function: F.Type) -> Never {
        let connections = connections()
        let handler = Environment.value("_HANDLER") ?? "infer"
        switch handler {
        case "infer":
            // Slot 0 is the main thread's. The others end with it only if the host closed them as well.
            let threads = connections.indices.dropFirst().map { slot in
                startThread { Self.infer(function, on: connections[slot], slot: slot, of: connections.count) }
            }
            infer(function, on: connections[0], slot: 0, of: connections.count)
            for thread in threads { pthread_join(thread, nil) }
        case "train":
            guard let trainable = function as? any TrainableFunction.Type else { fallthrough }
            train(trainable, on: connections[0])
        default:
            let known = function is any TrainableFunction.Type ? "infer and train" : "infer"
            failInit(
                FunctionError(
                    type: "Runtime.HandlerNotFound",
                    message: "\(function) has no handler \(handler); it has \(known)"), on: connections[0])
        }
        exit(0)
    }

    /// Serves one slot until the host closes its connection.
    static func infer<F: Function>(_ function: F.Type, on connection: HostConnection, slot: Int, of slotCount: Int) {
        if let streaming = function as? any StreamingFunction.Type {
            return stream(streaming, on: connection, slot: slot, of: slotCount)
        }
        serve(function, on: connection, slot: slot, of: slotCount) { instance, invocation in
            do {
                let response = try instance.infer(invocation.event, invocation.context)
                try connection.respond(response, to: invocation)
            } catch let closed as HostConnection.Closed {
                throw closed
            } catch {
                try connection.fail(FunctionError(reporting: error), invocation)
            }
        }
    }

    private static func stream<F: StreamingFunction>(
        _ function: F.Type, on connection: HostConnection, slot: Int, of slotCount: Int
    ) {
        serve(function, on: connection, slot: slot, of: slotCount) { instance, invocation in
            let output = ResponseStream(to: connection, answering: invocation)
            var failure: FunctionError?
            do {
                try instance.stream(invocation.event, invocation.context, to: output)
            } catch {
                if !output.isClosed { failure = FunctionError(reporting: error) }  // closed: nobody would read it
            }
            output.close()
            if let failure, !output.isBegun {
                try connection.fail(failure, invocation)
            } else {
                let type = output.isBegun ? nil : output.contentType
                try connection.endStream(of: invocation, beginning: type, failure)
            }
        }
    }

    /// Makes the slot's instance and hands it every invocation to answer, until the host closes the connection.
    private static func serve<F: Function>(
        _ function: F.Type, on connection: HostConnection, slot: Int, of slotCount: Int,
        answer: (inout F, HostConnection.Invocation) throws -> Void
    ) {
        var instance: F
        do {
            instance = try F(InitContext(slot: slot, of: slotCount))
        } catch {
            failInit(FunctionError(reporting: error), on: connection)
        }
        do {
            while true {
                try answer(&instance, connection.nextInvocation())
            }
        } catch {
            return  // closed: the worker is not wanted any more
        }
    }

    /// Serves trainings one after the other, in practice one.
    static func train(_ function: any TrainableFunction.Type, on connection: HostConnection) {
        do {
            while true {
                let invocation = try connection.nextInvocation()
                // Installed only now: a worker that waits for its training may die of SIGTERM at once, and a flag set
                // just before a blocking read would be noticed too late.
                StopSignal.install()
                do {
                    let job = try TrainingJob(event: invocation.event, isStopRequested: { StopSignal.isRaised }) {
                        do {
                            try connection.report($0, on: invocation)
                        } catch {
                            StopSignal.raise()  // the host is gone: save the work
                        }
                    }
                    let result = try function.train(job)
                    if StopSignal.isRaised { return connection.finish() }
                    StopSignal.uninstall()
                    try connection.respond(Response(bytes: result.document), to: invocation)
                } catch let closed as HostConnection.Closed {
                    throw closed
                } catch {
                    if StopSignal.isRaised {
                        if !(error is TrainingStopped) {
                            writeToStandardError("worker: the training failed after it was asked to stop: \(error)\n")
                        }
                        return connection.finish()
                    }
                    StopSignal.uninstall()
                    try connection.fail(FunctionError(reporting: error), invocation)
                }
            }
        } catch {
            return
        }
    }

    /// Reports an error of `init` and ends the process. Of several slots that fail, the first is reported.
    static func failInit(_ error: FunctionError, on connection: HostConnection) -> Never {
        initFailure.withLock { _ in
            writeToStandardError("worker: init failed: \(error)\n")
            try? connection.failInit(error)
            exit(1)  // with the lock held: no other slot gets past it
        }
    }

    private static let initFailure = Mutex(())

    // MARK: Connections

    /// The slots' connections: inherited sockets, or one TCP connection to a Lambda Runtime API.
    private static func connections() -> [HostConnection] {
        if let list = Environment.value("ROOST_RUNTIME_FDS") {
            let sockets = list.split(separator: ",").map { Int32($0) ?? -1 }
            guard !sockets.isEmpty, sockets.allSatisfy({ $0 >= 0 && fcntl($0, F_GETFD) >= 0 }) else {
                fatal("ROOST_RUNTIME_FDS=\(list) does not name open file descriptors")
            }
            // The function's own child processes must not keep the connections open.
            for socket in sockets { _ = fcntl(socket, F_SETFD, FD_CLOEXEC) }
            return sockets.map { HostConnection(socket: $0) }
        }
        guard let address = Environment.value("AWS_LAMBDA_RUNTIME_API") else {
            fatal("this program is a Roost function: deploy it, or set ROOST_RUNTIME_FDS or AWS_LAMBDA_RUNTIME_API")
        }
        return [HostConnection(socket: openConnection(to: address), host: address)]
    }

    private static func openConnection(to address: String) -> Int32 {
        guard let colon = address.lastIndex(of: ":") else {
            fatal("AWS_LAMBDA_RUNTIME_API=\(address) is not HOST:PORT")
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(
            String(address[..<colon]), String(address[address.index(after: colon)...]), &hints, &found)
        guard status == 0 else {
            fatal("AWS_LAMBDA_RUNTIME_API=\(address): \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(found) }
        var code: Int32 = 0
        var candidate = found
        while let current = candidate?.pointee {
            let file = socket(
                current.ai_family, current.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), current.ai_protocol)
            if file >= 0 {
                if connect(file, current.ai_addr, current.ai_addrlen) == 0 {
                    var on: Int32 = 1
                    setsockopt(file, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
                    return file
                }
                code = errno
                close(file)
            } else {
                code = errno
            }
            candidate = current.ai_next
        }
        fatal("\(SystemError(operation: "connect to \(address)", code: code))")
    }

    // MARK: Threads

    private final class ThreadBody {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    private static func startThread(_ body: @escaping () -> Void) -> pthread_t {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(ThreadBody(body)).toOpaque()  // released by the thread
        let status = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context)
        guard status == 0 else { fatal("\(SystemError(operation: "pthread_create", code: status))") }
        return thread
    }
}

/// SIGTERM as a flag, in training only.
enum StopSignal {
    private static let flag = Atomic<Bool>(false)

    static var isRaised: Bool { flag.load(ordering: .relaxed) }
    static func raise() { flag.store(true, ordering: .relaxed) }

    static func install() {
        flag.store(false, ordering: .relaxed)  // also: initialises the static before a handler can touch it
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in StopSignal.raise() }
        sigaction(SIGTERM, &action, nil)
    }

    static func uninstall() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = SIG_DFL
        sigaction(SIGTERM, &action, nil)
    }
}
