internal import CUV

/// A child process. Every member runs on the loop's thread. The owner closes it after `onExit`.
package final class ChildProcess: Handle {
    /// How a process ended.
    package enum Exit: Equatable, Sendable {
        case code(Int)
        case signal(Int)
    }

    /// What to run, and how.
    package struct Start {
        /// Absolute, or looked up in the `PATH` of `environment`.
        package var executable: String
        /// Without the executable's own name.
        package var arguments: [String]
        /// The whole environment of the child, `NAME=VALUE`.
        package var environment: [String]
        /// `nil` keeps ours.
        package var workingDirectory: String?
        /// Position = number in the child; `nil` is the null device. They stay open here: the caller closes its copies.
        package var descriptors: [CInt?]
        /// In a session of its own, so that a signal to the group reaches all it started and none of ours.
        package var isDetached: Bool

        package init(
            executable: String, arguments: [String], environment: [String], workingDirectory: String? = nil,
            descriptors: [CInt?], isDetached: Bool = false
        ) {
            self.executable = executable
            self.arguments = arguments
            self.environment = environment
            self.workingDirectory = workingDirectory
            self.descriptors = descriptors
            self.isDetached = isDetached
        }
    }

    private var onExit: ((Exit) -> Void)?
    private var raw: UnsafeMutablePointer<uv_process_t> { memory.assumingMemoryBound(to: uv_process_t.self) }

    /// - Throws: the error of `uv_spawn`, as when the executable does not exist.
    package init(loop: EventLoop, start: Start, onExit: @escaping (Exit) -> Void) throws(UVError) {
        self.onExit = onExit
        // Memory that uv_spawn has not filled in cannot be closed by it: zeroed memory can.
        try super.init(loop: loop, byteCount: MemoryLayout<uv_process_t>.size, "uv_spawn") {
            $0.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<uv_process_t>.size)
            return 0
        }
        let status = Self.spawn(loop, raw, start)
        // uv_spawn initialises the handle even when it fails, and clears `data` before.
        base.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        guard status >= 0 else {
            close()
            throw UVError(code: status, call: "start of \(start.executable)")
        }
    }

    package var processIdentifier: Int { Int(uv_process_get_pid(raw)) }

    /// To the process alone. One that has ended is no error.
    package func signal(_ number: CInt) {
        guard !isClosed else { return }
        _ = uv_process_kill(raw, number)
    }

    /// To the process and all of its group; for a detached child.
    package func signalGroup(_ number: CInt) {
        guard !isClosed else { return }
        _ = uv_kill(-uv_process_get_pid(raw), number)
    }

    override func willClose() { onExit = nil }

    private static func spawn(
        _ loop: EventLoop, _ process: UnsafeMutablePointer<uv_process_t>, _ start: Start
    ) -> CInt {
        withCStrings([start.executable] + start.arguments) { arguments in
            withCStrings(start.environment) { environment in
                start.executable.withCString { file in
                    var stdio = start.descriptors.map { descriptor in
                        var container = uv_stdio_container_t()
                        if let descriptor {
                            container.flags = UV_INHERIT_FD
                            container.data.fd = descriptor
                        } else {
                            container.flags = UV_IGNORE
                        }
                        return container
                    }
                    return stdio.withUnsafeMutableBufferPointer { stdio in
                        var options = uv_process_options_t()
                        options.file = file
                        options.args = arguments
                        options.env = environment
                        options.stdio = stdio.baseAddress
                        options.stdio_count = CInt(stdio.count)
                        options.flags = start.isDetached ? UV_PROCESS_DETACHED.rawValue : 0
                        options.exit_cb = { process, status, signal in
                            let child: ChildProcess = Handle.owner(process!.pointee.data)
                            child.loop.watched("process exit") {
                                child.onExit?(signal != 0 ? .signal(Int(signal)) : .code(Int(status)))
                            }
                        }
                        guard let directory = start.workingDirectory else {
                            return uv_spawn(loop.raw, process, &options)
                        }
                        return directory.withCString {
                            options.cwd = $0
                            return uv_spawn(loop.raw, process, &options)
                        }
                    }
                }
            }
        }
    }

    /// A null-terminated array of C strings, valid inside `body`.
    private static func withCStrings<Result>(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { string in
            let bytes = string.utf8CString
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
            bytes.withUnsafeBufferPointer { copy.initialize(from: $0.baseAddress!, count: $0.count) }
            return copy
        }
        defer { for pointer in pointers { pointer?.deallocate() } }
        pointers.append(nil)
        return pointers.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
    }
}
