internal import Domain
package import Loop
internal import Scheduling

#if canImport(Glibc)
    internal import Glibc
#endif

/// What has run lately: the host's own arrivals as a trace, for `roost simulate --from-history`. Lives on the loop.
///
/// `<directory>/recent` is appended to, and becomes `recent.1` when it is over `fileBytesMax`; together they hold about
/// 700,000 invocations. Lines are those of the trace format of docs/SCHEDULING.md, without its header. An invocation costs
/// the loop one append to a buffer; its line is made and written on the thread pool, `flushAfter` later or when
/// `batchMax` wait. While the disk is slower than the invocations, those beyond `pendingMax` are dropped. Nothing is
/// flushed to the disk itself: the history survives the host, not a power failure. A line that a killed host left half
/// written is skipped.
package final class InvocationHistory {
    package static let fileBytesMax = 16 << 20
    /// Short, so that a host that falls idle is done at once, and few are lost with one that is killed.
    static let flushAfter = Interval.milliseconds(250)
    static let batchMax = 4096
    static let pendingMax = 1 << 16
    /// Older ones are not told: what ran last month says little of today.
    static let daysMax = 30

    /// 24 bytes.
    struct Record: Sendable {
        /// On the loop's clock.
        let arrivedAt: Instant
        let duration: Interval
        let pool: PoolID
    }

    /// What all records of a pool have in common.
    struct Label: Sendable {
        /// `FUNCTION:VERSION`.
        let name: String
        var memoryMegabytes: Int
        var coldStartSeconds: Double
    }

    private let directory: String
    private let loop: EventLoop
    private var records: [Record] = []
    private var labels: [PoolID: Label] = [:]
    /// Of pools that are gone; their labels are kept until their records are written.
    private var forgotten: [PoolID] = []
    private var isWriting = false
    private var timer: LoopTimer?
    private var waiters: [CheckedContinuation<Void, Never>] = []
    /// Asked for what a pool's workers take and how long they start, before its records are written.
    var refresh: (PoolID, inout Label) -> Void = { _, _ in }

    package init(directory: String, loop: EventLoop) {
        self.directory = directory
        self.loop = loop
        records.reserveCapacity(Self.batchMax)
        timer = LoopTimer(loop: loop) { [unowned self] in write() }
    }

    /// Records of a pool without a label are left out; so trainings get none.
    func label(_ pool: PoolID, _ label: Label) {
        var label = label
        refresh(pool, &label)
        labels[pool] = label
    }

    func forget(_ pool: PoolID) {
        guard labels[pool] != nil else { return }
        forgotten.append(pool)
        if records.isEmpty { dropForgotten() }
    }

    @inline(__always)
    func append(_ record: Record) {
        guard records.count < Self.pendingMax else { return }
        records.append(record)
        if records.count == 1 {
            timer?.start(after: Self.flushAfter)
        } else if records.count == Self.batchMax {
            write()
        }
    }

    /// Returns when all that was appended before is with the kernel.
    package func flush() async {
        write()
        guard isWriting else { return }
        await withCheckedContinuation { waiters.append($0) }
    }

    package func close() {
        timer?.close()
        timer = nil
    }

    /// What is remembered of the last `daysMax` days, as lines of a trace; whole lines, at most twice `fileBytesMax` and a
    /// batch.
    package func text() async -> [UInt8] {
        await flush()
        let directory = directory
        let now = EventLoop.wallClock.millisecondsSince1970 / 1000
        let text = try? await loop.offload { HistoryFile.read(directory: directory, now: now) }
        return text ?? []
    }

    private func write() {
        guard !isWriting else { return }
        guard !records.isEmpty else {
            dropForgotten()
            waiters.forEach { $0.resume() }
            waiters = []
            return
        }
        isWriting = true
        timer?.stop()
        var batchLabels: [PoolID: Label] = [:]
        for pool in Set(records.map(\.pool)) {
            guard var label = labels[pool] else { continue }
            refresh(pool, &label)
            labels[pool] = label
            batchLabels[pool] = label
        }
        let (batch, labels, directory) = (records, batchLabels, directory)
        let origin = EventLoop.wallClock.millisecondsSince1970 * 1_000_000 - loop.now.nanoseconds
        records = []
        records.reserveCapacity(Self.batchMax)
        dropForgotten()
        loop.spawn {
            try? await self.loop.offload {
                HistoryFile.append(HistoryFile.lines(batch, labels, origin: origin), directory: directory)
            }
            self.isWriting = false
            self.written()
        }
    }

    private func written() {
        if !waiters.isEmpty || records.count >= Self.batchMax {
            write()
        } else if !records.isEmpty {
            timer?.start(after: Self.flushAfter)
        }
    }

    private func dropForgotten() {
        for pool in forgotten { labels[pool] = nil }
        forgotten = []
    }
}

/// The blocking part. A history that cannot be written must not stop the host, so errors end the attempt silently.
private enum HistoryFile {
    /// - Parameter origin: the loop clock's zero, in nanoseconds since 1970.
    static func lines(
        _ records: [InvocationHistory.Record], _ labels: [PoolID: InvocationHistory.Label], origin: Int64
    ) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(records.count * 56)
        for record in records {
            guard let label = labels[record.pool] else { continue }
            text += label.name.utf8
            text.append(UInt8(ascii: ","))
            appendSeconds(origin + record.arrivedAt.nanoseconds, to: &text)
            text.append(UInt8(ascii: ","))
            appendSeconds(record.duration.nanoseconds, to: &text)
            // A trace's limits: nothing has 0 MB, and no start takes longer than an hour.
            text += ",\(max(1, label.memoryMegabytes)),".utf8
            appendSeconds(Int64(min(max(0, label.coldStartSeconds), 3600) * 1e9), to: &text)
            text.append(UInt8(ascii: "\n"))
        }
        return text
    }

    /// To the microsecond; a duration to 1,000,000 s, as in a trace, an arrival as it is.
    private static func appendSeconds(_ nanoseconds: Int64, to text: inout [UInt8]) {
        let microseconds = max(0, nanoseconds) / 1000
        text += String(microseconds / 1_000_000).utf8
        text.append(UInt8(ascii: "."))
        var digits: (rest: Int64, place: Int64) = (microseconds % 1_000_000, 100_000)
        while digits.place > 0 {
            text.append(UInt8(ascii: "0") + UInt8(digits.rest / digits.place))
            digits = (digits.rest % digits.place, digits.place / 10)
        }
    }

    static func append(_ bytes: [UInt8], directory: String) {
        mkdir(directory, 0o700)
        let path = directory + "/recent"
        let file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { return }
        defer { close(file) }
        // Half a line of a host that was killed, or of a full disk, must not join with the next.
        let size = lseek(file, 0, SEEK_END)
        var last = UInt8(ascii: "\n")
        if size > 0 { _ = unsafe pread(file, &last, 1, size - 1) }
        let bytes = last == UInt8(ascii: "\n") ? bytes : [UInt8(ascii: "\n")] + bytes
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                unsafe Glibc.write(file, $0.baseAddress! + written, $0.count - written)
            }
            if count <= 0 { return }
            written += count
        }
        if Int(size) + written > InvocationHistory.fileBytesMax { rename(path, path + ".1") }
    }

    /// - Parameter now: in seconds since 1970; what says that it came later is of a clock that was wrong.
    static func read(directory: String, now: Int64) -> [UInt8] {
        let oldest = now - Int64(InvocationHistory.daysMax) * 86_400
        var text: [UInt8] = []
        for path in [directory + "/recent.1", directory + "/recent"] {
            for line in contents(path).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
                if let arrival = arrival(line), (oldest...now).contains(arrival) {
                    text += line
                    text.append(UInt8(ascii: "\n"))
                }
            }
        }
        return text
    }

    /// In whole seconds; `nil` when the line is none of a history.
    private static func arrival(_ line: ArraySlice<UInt8>) -> Int64? {
        let fields = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard fields.count == 5, !fields[0].isEmpty, line.count <= 512,
            fields[0].allSatisfy({ (0x21...0x7E).contains($0) }),
            fields[1...].allSatisfy({ $0.count < 20 && !$0.isEmpty }),
            let duration = Double(String(decoding: fields[2], as: UTF8.self)), (0...1_000_000).contains(duration),
            let memory = Int(String(decoding: fields[3], as: UTF8.self)), (1...16_777_216).contains(memory),
            let coldStart = Double(String(decoding: fields[4], as: UTF8.self)), (0...3600).contains(coldStart),
            let arrival = Double(String(decoding: fields[1], as: UTF8.self)), (0...4_000_000_000).contains(arrival),
            fields[1...].joined().allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: ".") }),
            // A cold start that was cut off is a number, too.
            fields[4].dropLast(6).last == UInt8(ascii: ".")
        else { return nil }
        return Int64(arrival)
    }

    private static func contents(_ path: String) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        let size = max(0, Int(lseek(file, 0, SEEK_END)))
        return unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            filled = unsafe max(0, pread(file, buffer.baseAddress, size, 0))
        }
    }
}
