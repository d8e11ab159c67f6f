package import Domain
package import Loop

/// Connections that share limits, a clock and an end: those of one listener, or those of all workers.
///
/// It keeps its connections alive while they are open. One timer serves them all, and exists only while there are any.
/// Every member runs on the loop's thread.
package final class HTTPConnectionGroup {
    package let loop: EventLoop
    package let limits: HTTPLimits
    package private(set) var isDraining = false
    package var connectionCount: Int { connections.count }

    private var connections: [HTTPConnection] = []
    private var timer: LoopTimer?
    private let tick: Interval
    /// The time of the last tick: cheap to read, and late by at most one tick.
    private var coarseNow = Instant.zero
    private var onEmpty: (() -> Void)?
    private var drainDeadline: Instant?
    private var dateSecond: Int64 = -1
    private let date = ByteBuffer()

    package init(loop: EventLoop, limits: HTTPLimits = HTTPLimits()) {
        self.loop = loop
        self.limits = limits
        tick = limits.tick
    }

    // MARK: Draining

    /// Closes what is idle now and everything else after its current answer, which says `Connection: close`.
    ///
    /// `completion` runs once, when no connection is left. What is still open after `limit` is cut off.
    package func drain(within limit: Interval, completion: @escaping () -> Void) {
        guard !isDraining else { return }
        isDraining = true
        onEmpty = completion
        drainDeadline = loop.now + limit
        forEach { $0.drain() }
        if connections.isEmpty { becameEmpty() } else { startTimer() }
    }

    /// Closes every connection now.
    package func closeAll() { forEach { $0.cutOff(.shutDown) } }

    // MARK: Connections

    func add(_ connection: HTTPConnection) {
        connection.indexInGroup = connections.count
        connections.append(connection)
        if timer == nil {
            coarseNow = loop.now
            timer = LoopTimer(loop: loop) { [unowned self] in ticked() }
            startTimer()
        }
    }

    func remove(_ connection: HTTPConnection) {
        let index = connection.indexInGroup
        let last = connections.removeLast()
        if last !== connection {
            connections[index] = last
            last.indexInGroup = index
        }
        if connections.isEmpty { becameEmpty() }
    }

    private func becameEmpty() {
        timer?.close()
        timer = nil
        if let onEmpty {
            self.onEmpty = nil
            onEmpty()
        }
    }

    /// From the last to the first, because the body may remove the one it is given, whose place the last one takes.
    private func forEach(_ body: (HTTPConnection) -> Void) {
        var index = connections.count
        while index > 0 {
            index -= 1
            if index < connections.count { body(connections[index]) }
        }
    }

    // MARK: Time

    /// The deadline for something that starts now, never early.
    func deadline(after interval: Interval?) -> Instant {
        guard let interval else { return .distantFuture }
        return coarseNow + tick + interval
    }

    private func startTimer() {
        var wait = tick
        if let drainDeadline { wait = min(wait, max(.zero, drainDeadline - loop.now)) }
        timer?.start(after: wait)
    }

    private func ticked() {
        coarseNow = loop.now
        if let drainDeadline, coarseNow >= drainDeadline { closeAll() }
        forEach { connection in
            if connection.deadline <= coarseNow { connection.deadlinePassed() }
        }
        if timer != nil { startTimer() }
    }

    /// `Date: ...` with its line end, written anew once per second.
    var dateField: UnsafeRawBufferPointer {
        let second = EventLoop.wallClock.millisecondsSince1970 / 1000
        if second != dateSecond {
            dateSecond = second
            date.removeAll()
            HTTPDate.appendField(secondsSince1970: second, to: date)
        }
        return date.bytes
    }
}

package enum HTTPDate {
    /// IMF-fixdate of RFC 9110, section 5.6.7. The calendar is Howard Hinnant's `civil_from_days`.
    package static func appendField(secondsSince1970 seconds: Int64, to buffer: ByteBuffer) {
        let days = seconds / 86400
        let time = Int(seconds % 86400)
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)

        buffer.append("Date: ")
        buffer.append(weekdays[Int((days + 4) % 7)])
        buffer.append(", ")
        appendTwoDigits(Int(day))
        buffer.append(" ")
        buffer.append(months[Int(month) - 1])
        buffer.append(" ")
        buffer.appendDecimal(Int(year))
        buffer.append(" ")
        appendTwoDigits(time / 3600)
        buffer.append(":")
        appendTwoDigits(time / 60 % 60)
        buffer.append(":")
        appendTwoDigits(time % 60)
        buffer.append(" GMT\r\n")

        func appendTwoDigits(_ value: Int) {
            buffer.append(UInt8(ascii: "0") + UInt8(value / 10))
            buffer.append(UInt8(ascii: "0") + UInt8(value % 10))
        }
    }

    private static let weekdays: [StaticString] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months: [StaticString] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
}
