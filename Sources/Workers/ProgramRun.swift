package import Loop

/// Runs a short program to its end. Lives on the loop.
package enum ProgramRun {
    package struct Outcome: Sendable {
        package var exit: WorkerExit
        /// Standard output and error, at most 64 KiB.
        package var output: [UInt8]

        package var isSuccess: Bool { exit == .code(0) }
        package var text: String { String(decoding: output, as: UTF8.self) }
    }

    private final class Run {
        var process: ChildProcess?
        var exit: WorkerExit?
        var output: [UInt8] = []
        var isOutputEnded = false
    }

    /// - Parameter descriptors: what the program finds from descriptor 3 on; closed here.
    package static func run(
        _ executable: String, _ arguments: [String], passing descriptors: [CInt] = [], on loop: EventLoop
    ) async -> Outcome {
        await withCheckedContinuation { continuation in
            let run = Run()
            func finishIfEnded() {
                guard let exit = run.exit, run.isOutputEnded else { return }
                run.process?.close()
                run.process = nil
                continuation.resume(returning: Outcome(exit: exit, output: run.output))
            }
            defer { descriptors.forEach(Descriptor.close) }
            do throws(UVError) {
                let pipe = try Descriptor.pipe()
                defer { Descriptor.close(pipe.childs) }
                let output = try Stream(loop: loop, pipeDescriptor: pipe.ours)
                output.onRead = { bytes in
                    if run.output.count < 64 << 10 { run.output.append(contentsOf: bytes) }
                }
                output.onEnd = { _ in
                    output.close()
                    run.isOutputEnded = true
                    finishIfEnded()
                }
                do throws(UVError) {
                    run.process = try ChildProcess(
                        loop: loop,
                        start: .init(
                            executable: executable, arguments: arguments,
                            environment: ["PATH=/usr/local/bin:/usr/bin:/bin"],
                            descriptors: [nil, pipe.childs, pipe.childs] + descriptors)
                    ) { exit in
                        switch exit {
                        case .code(let code): run.exit = .code(code)
                        case .signal(let number): run.exit = .signal(number)
                        }
                        finishIfEnded()
                    }
                    try output.startReading()
                } catch {
                    output.close()
                    throw error
                }
            } catch {
                continuation.resume(returning: Outcome(exit: .notStarted("\(error)"), output: []))
            }
        }
    }
}
