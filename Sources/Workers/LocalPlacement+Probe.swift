internal import Loop

/// What a host finds out about its machine at start.
extension LocalPlacement {
    /// Starts `/bin/true` the way workers are started.
    ///
    /// - Returns: why that fails; `nil` when it works.
    package func sandboxProblem() async -> String? {
        guard case .bubblewrap(let bubblewrap) = settings.sandbox else { return nil }
        let layout = SandboxLayout(
            isHostRoot: isHostRoot, isNetworkAllowed: false, launcher: settings.launcher, runtimes: settings.runtimes,
            directories: WorkerDirectories(package: settings.runtimes), temporaryBytesMax: 1 << 20)
        let arguments: CInt
        do {
            arguments = try Descriptor.memory(LocalWorker.terminated(layout.bubblewrapArguments), name: "arguments")
        } catch {
            return "\(error)"
        }
        let flags = isHostRoot ? ["--userns"] : []
        let outcome = await ProgramRun.run(
            bubblewrap,
            ["--args", "3", "--", SandboxLayout.launcherPath] + flags + ["--", "/bin/true"], passing: [arguments],
            on: loop)
        if outcome.isSuccess { return nil }
        let reason = outcome.text.split(separator: "\n").last.map { String($0) }
        return reason ?? outcome.exit.reason ?? "it ended without a word"
    }

    /// N of the interpreter's Python 3.N; `nil` when there is none that works.
    package func pythonMinor() async -> Int? {
        let outcome = await ProgramRun.run(
            settings.pythonInterpreter, ["-S", "-c", "import sys; print(*sys.version_info[:2])"], on: loop)
        let parts = outcome.text.split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard outcome.isSuccess, parts.count == 2, parts[0] == "3" else { return nil }
        return Int(parts[1])
    }

    /// Compiles our Python runtime, which workers find read-only, so that none of them compiles it at its start.
    package func compilePythonRuntime() async {
        _ = await ProgramRun.run(
            settings.pythonInterpreter, ["-m", "compileall", "-q", settings.runtimes + "/python"], on: loop)
    }
}
