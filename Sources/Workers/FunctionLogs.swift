package import Domain
package import Loop

#if canImport(Glibc)
    internal import Glibc
#endif

/// One line of a function's log.
package struct LogLine: Equatable, Sendable {
    package var at: Timestamp
    package var version: VersionNumber
    package var worker: UInt64
    /// The invocation that ran when it was written, if one did.
    package var request: String?
    /// UTF-8 as the worker wrote it.
    package var text: [UInt8]

    package init(at: Timestamp, version: VersionNumber, worker: UInt64, request: String?, text: [UInt8]) {
        self.at = at
        self.version = version
        self.worker = worker
        self.request = request
        self.text = text
    }

    /// `TIME<tab>VERSION<tab>WORKER<tab>REQUEST or -<tab>TEXT<line feed>`; the time in RFC 3339, UTC, milliseconds.
    package var encoded: [UInt8] {
        var line = Array("\(at.text)\t\(version)\t\(worker)\t\(request ?? "-")\t".utf8)
        line.append(contentsOf: text)
        line.append(0x0A)
        return line
    }
}

/// The logs of all functions: bounded files, one set a function, and whoever follows. Lives on the loop.
///
/// `<directory>/<function>/log` is appended to, and becomes `log.1` when it is over `fileBytesMax`; so a function keeps at
/// most twice that. Lines reach the disk in batches, written on the thread pool; when it cannot keep up, lines beyond
/// `pendingBytesMax` are dropped and counted. They are not flushed: a log survives the host, not the power.
package final class FunctionLogs {
    package static let fileBytesMax = 8 << 20
    package static let pendingBytesMax = 1 << 20

    /// Ends with `cancel`.
    package final class Subscription {
        fileprivate let function: FunctionName
        fileprivate let onLine: (LogLine) -> Void
        fileprivate let onEnd: () -> Void

        fileprivate init(
            function: FunctionName, onLine: @escaping (LogLine) -> Void, onEnd: @escaping () -> Void
        ) {
            self.function = function
            self.onLine = onLine
            self.onEnd = onEnd
        }
    }

    private struct Pending {
        var bytes: [UInt8] = []
        var droppedCount = 0
        var isWriting = false

        mutating func add(_ line: [UInt8]) {
            if bytes.count + line.count > FunctionLogs.pendingBytesMax {
                droppedCount += 1
            } else {
                bytes.append(contentsOf: line)
            }
        }
    }

    private let directory: String
    private let loop: EventLoop
    private var pending: [FunctionName: Pending] = [:]
    private var subscriptions: [Subscription] = []
    private var flushWaiters: [CheckedContinuation<Void, Never>] = []

    package init(directory: String, loop: EventLoop) {
        self.directory = directory
        self.loop = loop
    }

    package func append(_ line: LogLine, to function: FunctionName) {
        for subscription in subscriptions where subscription.function == function { subscription.onLine(line) }
        pending[function, default: Pending()].add(line.encoded)
        if pending[function]?.isWriting == false { write(function) }
    }

    /// - Parameter onEnd: called when the host ends and no more lines will come.
    package func follow(
        _ function: FunctionName, _ onLine: @escaping (LogLine) -> Void, onEnd: @escaping () -> Void = {}
    ) -> Subscription {
        let subscription = Subscription(function: function, onLine: onLine, onEnd: onEnd)
        subscriptions.append(subscription)
        return subscription
    }

    /// No more lines will come: tells all who follow.
    package func end() {
        let all = subscriptions
        subscriptions = []
        for subscription in all { subscription.onEnd() }
    }

    package func cancel(_ subscription: Subscription) {
        subscriptions.removeAll { $0 === subscription }
    }

    /// The newest lines as they are in the file, oldest first; at most 1 MiB of them.
    package func tail(_ function: FunctionName, lines: Int) async -> [UInt8] {
        let directory = "\(directory)/\(function)"
        let unwritten = pending[function]?.bytes ?? []
        let stored = try? await loop.offload { LogFile.tail(directory: directory, bytesMax: 1 << 20) }
        return LogFile.last(lines, of: (stored ?? []) + unwritten)
    }

    /// Takes what is pending, writes it, and goes on while there is more.
    private func write(_ function: FunctionName) {
        guard var batch = pending[function], !batch.bytes.isEmpty || batch.droppedCount > 0 else {
            pending[function] = nil
            if pending.isEmpty {
                flushWaiters.forEach { $0.resume() }
                flushWaiters = []
            }
            return
        }
        if batch.droppedCount > 0 {
            let note = "\(batch.droppedCount) lines were dropped: the disk is slower than the function's output"
            let line = LogLine(
                at: EventLoop.wallClock, version: .latest, worker: 0, request: nil, text: Array(note.utf8))
            batch.bytes.append(contentsOf: line.encoded)
        }
        pending[function] = Pending(isWriting: true)
        let directory = "\(directory)/\(function)"
        let bytes = batch.bytes
        loop.spawn {
            try? await self.loop.offload {
                LogFile.append(bytes, directory: directory, fileBytesMax: Self.fileBytesMax)
            }
            self.write(function)
        }
    }

    /// Returns when every line that was appended before is with the kernel.
    package func flush() async {
        guard !pending.isEmpty else { return }
        await withCheckedContinuation { flushWaiters.append($0) }
    }
}

/// The blocking part. A log that cannot be written must not stop the function, so errors end the attempt silently.
private enum LogFile {
    static func append(_ bytes: [UInt8], directory: String, fileBytesMax: Int) {
        mkdir(directory, 0o700)
        let path = directory + "/log"
        let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { return }
        defer { close(file) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                unsafe Glibc.write(file, $0.baseAddress! + written, $0.count - written)
            }
            if count <= 0 { return }
            written += count
        }
        var status = stat()
        if unsafe fstat(file, &status) == 0, status.st_size > fileBytesMax { rename(path, path + ".1") }
    }

    static func tail(directory: String, bytesMax: Int) -> [UInt8] {
        var newest = read(directory + "/log", bytesMax: bytesMax)
        // A batch may be on its way into the file at this moment: half a line is none.
        newest.removeLast(newest.count - (newest.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0))
        return newest.count >= bytesMax / 2 ? newest : read(directory + "/log.1", bytesMax: bytesMax) + newest
    }

    private static func read(_ path: String, bytesMax: Int) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        let size = Int(lseek(file, 0, SEEK_END))
        let count = min(size, bytesMax)
        return unsafe [UInt8](unsafeUninitializedCapacity: max(0, count)) { buffer, filled in
            filled = unsafe max(0, pread(file, buffer.baseAddress, count, off_t(size - count)))
        }
    }

    static func last(_ count: Int, of bytes: [UInt8]) -> [UInt8] {
        var index = bytes.count
        var found = 0
        while index > 0 {
            if bytes[index - 1] == 0x0A {
                found += 1
                if found > count { break }
            }
            index -= 1
        }
        return Array(bytes[index...])
    }
}
