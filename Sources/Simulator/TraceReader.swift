import Domain

/// Reads a trace as CSV, piece by piece: a header with the five columns in any order, then one invocation per line, in
/// any order.
///
/// Strict: every line has all fields, numbers are decimal (`12`, `0.5`, `1e-3`), fields are not quoted, lines end with LF
/// or CR LF. What does not fit is refused with its line, never skipped.
///
/// A function's memory is the largest of its rows, rounded up to whole MB, because a pool declares one amount for all
/// its workers. Its cold start may change from row to row: see `Trace.Invocation.coldStartMicroseconds`.
package struct TraceReader {
    private var functions: [Trace.Function] = []
    private var functionIndices: [String: Int] = [:]
    private var invocations: [Trace.Invocation] = []

    /// The number of the line that is being read.
    private var line = 1
    /// The beginning of a line whose end has not come.
    private var carried: [UInt8] = []
    /// By place in the line; empty before the header.
    private var columns: [Trace.Column] = []
    /// Where the fields of the current line are, by `slot(of:)`.
    private var fields = Array(repeating: 0..<0, count: Trace.Column.allCases.count)

    package init() {}

    /// The next bytes of the text, cut anywhere.
    package mutating func read(_ piece: [UInt8]) throws(TraceError) {
        var start = 0
        for index in piece.indices where piece[index] == UInt8(ascii: "\n") {
            if carried.isEmpty {
                try readLine(piece, start..<index)
            } else {
                carried += piece[start..<index]
                try readCarried()
            }
            line += 1
            start = index + 1
        }
        carried += piece[start...]
        if carried.count > Trace.Limit.lineBytes { throw TraceError(.lineTooLong, line: line) }
    }

    /// The text has ended; its last line may lack its LF.
    package mutating func finish() throws(TraceError) -> Trace {
        if !carried.isEmpty { try readCarried() }
        if columns.isEmpty { throw TraceError(.empty, line: nil) }
        if invocations.isEmpty { throw TraceError(.noRows, line: nil) }
        // Leaves nothing behind, so that sorting changes the one copy there is.
        var taken: [Trace.Invocation] = []
        swap(&taken, &invocations)
        let trace = Trace(functions: functions, invocations: taken)
        taken = []
        let span = trace.invocations.last!.arrivalNanoseconds - trace.invocations.first!.arrivalNanoseconds
        if span > Int64(Trace.Limit.spanDays) * 86_400_000_000_000 { throw TraceError(.spanTooLong, line: nil) }
        return trace
    }

    private mutating func readCarried() throws(TraceError) {
        var whole: [UInt8] = []
        swap(&whole, &carried)
        try readLine(whole, 0..<whole.count)
        whole.removeAll(keepingCapacity: true)
        swap(&whole, &carried)
    }

    private mutating func readLine(_ bytes: [UInt8], _ range: Range<Int>) throws(TraceError) {
        var range = range
        if range.last.map({ bytes[$0] == UInt8(ascii: "\r") }) ?? false { range.removeLast() }
        if range.count > Trace.Limit.lineBytes { throw TraceError(.lineTooLong, line: line) }
        if columns.isEmpty { return try readHeader(bytes, range) }
        if range.isEmpty { throw TraceError(.emptyLine, line: line) }
        try split(bytes, range)
        if invocations.count == Trace.Limit.rows { throw TraceError(.tooManyRows, line: line) }
        let arrival = try number(.arrival, bytes, digits: 9, limit: Trace.Limit.arrivalSeconds)
        let duration = try number(.duration, bytes, digits: 9, limit: Trace.Limit.durationSeconds)
        let coldStart = try number(.coldStart, bytes, digits: 9, limit: Trace.Limit.coldStartSeconds)
        let milliMegabytes = try number(.memory, bytes, digits: 3, limit: Trace.Limit.memoryMegabytes)
        if milliMegabytes == 0 { throw TraceError(.noMemory(text(.memory, bytes)), line: line) }
        let function = try function(bytes, memoryMegabytes: Int((milliMegabytes + 999) / 1000))
        invocations.append(
            Trace.Invocation(
                arrival: Interval(nanoseconds: arrival), function: function, duration: Interval(nanoseconds: duration),
                coldStart: Interval(nanoseconds: coldStart)))
    }

    private mutating func readHeader(_ bytes: [UInt8], _ range: Range<Int>) throws(TraceError) {
        var range = range
        if bytes[range].starts(with: [0xEF, 0xBB, 0xBF]) { range.removeFirst(3) }  // a byte order mark
        if range.isEmpty { throw TraceError(.emptyLine, line: line) }
        for field in bytes[range].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let name = String(decoding: field, as: UTF8.self)
            guard let column = Trace.Column(rawValue: name) else {
                throw TraceError(.unknownColumn(String(name.prefix(64))), line: line)
            }
            if columns.contains(column) { throw TraceError(.repeatedColumn(column), line: line) }
            columns.append(column)
        }
        for column in Trace.Column.allCases where !columns.contains(column) {
            throw TraceError(.missingColumn(column), line: line)
        }
    }

    /// Finds the line's fields.
    private mutating func split(_ bytes: [UInt8], _ range: Range<Int>) throws(TraceError) {
        var start = range.lowerBound
        var count = 0
        for index in range {
            if bytes[index] == UInt8(ascii: ",") {
                if count < columns.count { fields[Self.slot(of: columns[count])] = start..<index }
                count += 1
                start = index + 1
            } else if bytes[index] == UInt8(ascii: "\"") {
                throw TraceError(.quote, line: line)
            }
        }
        if count < columns.count { fields[Self.slot(of: columns[count])] = start..<range.upperBound }
        count += 1
        if count != columns.count { throw TraceError(.fieldCount(count), line: line) }
    }

    private static func slot(of column: Trace.Column) -> Int {
        switch column {
        case .function: 0
        case .arrival: 1
        case .duration: 2
        case .memory: 3
        case .coldStart: 4
        }
    }

    private mutating func function(_ bytes: [UInt8], memoryMegabytes: Int) throws(TraceError) -> Int {
        let range = fields[Self.slot(of: .function)]
        if range.isEmpty { throw TraceError(.nameEmpty, line: line) }
        if range.count > Trace.Limit.nameBytes { throw TraceError(.nameTooLong, line: line) }
        guard let name = String(validating: bytes[range], as: UTF8.self) else {
            throw TraceError(.nameNotUTF8, line: line)
        }
        if let known = functionIndices[name] {
            if functions[known].memoryMegabytes < memoryMegabytes { functions[known].memoryMegabytes = memoryMegabytes }
            return known
        }
        if functions.count == Trace.Limit.functions { throw TraceError(.tooManyFunctions, line: line) }
        functions.append(Trace.Function(name: name, memoryMegabytes: memoryMegabytes))
        functionIndices[name] = functions.count - 1
        return functions.count - 1
    }

    // MARK: - Numbers

    private func number(
        _ column: Trace.Column, _ bytes: [UInt8], digits: Int, limit: Int
    ) throws(TraceError) -> Int64 {
        let range = fields[Self.slot(of: column)]
        if range.first.map({ bytes[$0] == UInt8(ascii: "-") }) ?? false,
            Decimal(bytes, range.dropFirst()) != nil
        {
            throw TraceError(.negative(column, text(column, bytes)), line: line)
        }
        guard let decimal = Decimal(bytes, range) else {
            throw TraceError(.notANumber(column, text(column, bytes)), line: line)
        }
        guard let value = decimal.scaled(digits: digits), value <= Int64(limit) * Decimal.power(digits) else {
            throw TraceError(.tooLarge(column, text(column, bytes), limit: limit), line: line)
        }
        return value
    }

    /// For a message.
    private func text(_ column: Trace.Column, _ bytes: [UInt8]) -> String {
        let range = fields[Self.slot(of: column)]
        return String(String(decoding: bytes[range], as: UTF8.self).prefix(64))
    }
}

/// A decimal number as it is written, without sign: exact, where `Double` would round before it is scaled.
struct Decimal {
    /// The first 18 digits that count; those after them are too small to matter to a nanosecond.
    private var mantissa: Int64 = 0
    private var exponent = 0

    /// `nil` unless the bytes are digits, perhaps a point and digits, perhaps `e`, a sign and digits.
    init?(_ bytes: [UInt8], _ range: Range<Int>) {
        var index = range.lowerBound
        var significant = 0
        func digit() -> Int64? {
            guard index < range.upperBound, (0x30...0x39).contains(bytes[index]) else { return nil }
            return Int64(bytes[index] - 0x30)
        }
        func take(_ digit: Int64, afterPoint: Bool, _ number: inout Decimal) {
            if significant < 18 {
                number.mantissa = number.mantissa * 10 + digit
                if number.mantissa > 0 { significant += 1 }
                if afterPoint { number.exponent -= 1 }
            } else if !afterPoint {
                number.exponent += 1
            }
            index += 1
        }
        guard digit() != nil else { return nil }
        while let digit = digit() { take(digit, afterPoint: false, &self) }
        if index < range.upperBound, bytes[index] == UInt8(ascii: ".") {
            index += 1
            guard digit() != nil else { return nil }
            while let digit = digit() { take(digit, afterPoint: true, &self) }
        }
        if index < range.upperBound, bytes[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            var sign = 1
            if index < range.upperBound, bytes[index] == UInt8(ascii: "-") || bytes[index] == UInt8(ascii: "+") {
                sign = bytes[index] == UInt8(ascii: "-") ? -1 : 1
                index += 1
            }
            guard digit() != nil else { return nil }
            var value = 0
            while let digit = digit() {
                value = min(value * 10 + Int(digit), 10_000)
                index += 1
            }
            exponent += sign * value
        }
        guard index == range.upperBound else { return nil }
    }

    /// The number times ten to this power, rounded to the nearest integer; `nil` when that is too large.
    func scaled(digits: Int) -> Int64? {
        let shift = exponent + digits
        if mantissa == 0 || shift < -18 { return 0 }
        if shift < 0 {
            let divisor = Self.power(-shift)
            return mantissa / divisor + (mantissa % divisor >= (divisor + 1) / 2 ? 1 : 0)
        }
        guard shift <= 18 else { return nil }
        let (value, overflow) = mantissa.multipliedReportingOverflow(by: Self.power(shift))
        return overflow ? nil : value
    }

    /// Ten to the power of 0 to 18.
    static func power(_ exponent: Int) -> Int64 {
        var power: Int64 = 1
        for _ in 0..<exponent { power *= 10 }
        return power
    }
}
