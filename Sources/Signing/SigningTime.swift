package import Domain

extension Timestamp {
    /// `20261123T120000Z`, as X-Amz-Date has it. Milliseconds are dropped.
    package var basicText: String {
        // 2026-11-23T12:00:00.000Z
        let bytes = text.utf8.prefix(19).filter { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: ":") }
        return String(decoding: bytes + [UInt8(ascii: "Z")], as: UTF8.self)
    }

    /// Reads `20261123T120000Z`; nil for anything else, also for dates that no calendar has.
    package init?(basicText bytes: [UInt8]) {
        guard bytes.count == 16, bytes[8] == UInt8(ascii: "T"), bytes[15] == UInt8(ascii: "Z") else { return nil }
        self.init(
            year: number(bytes[0..<4]), month: number(bytes[4..<6]), day: number(bytes[6..<8]),
            hour: number(bytes[9..<11]), minute: number(bytes[11..<13]), second: number(bytes[13..<15]))
    }

    /// Reads what `Timestamp.text` writes: `2026-11-23T12:00:00.000Z`.
    package init?(text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 24,
            [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "."), (23, "Z")]
                .allSatisfy({ bytes[$0.0] == $0.1.utf8.first })
        else { return nil }
        self.init(
            year: number(bytes[0..<4]), month: number(bytes[5..<7]), day: number(bytes[8..<10]),
            hour: number(bytes[11..<13]), minute: number(bytes[14..<16]), second: number(bytes[17..<19]),
            millisecond: number(bytes[20..<23]))
    }

    /// Reads what may stand in a Date field of a signed request: `Mon, 23 Nov 2026 12:00:00 GMT`, or the basic form.
    init?(dateField text: [UInt8]) {
        if let time = Timestamp(basicText: text) {
            self = time
            return
        }
        let parts = text.split(separator: UInt8(ascii: " "))
        // Python writes -0000.
        guard parts.count == 6, parts[0].count == 4, parts[0].last == UInt8(ascii: ","), parts[4].count == 8,
            ["GMT", "UTC", "+0000", "-0000"].contains(where: { $0.utf8.elementsEqual(parts[5]) }),
            let month = months.firstIndex(where: { $0.utf8.elementsEqual(parts[2]) })
        else { return nil }
        let clock = parts[4].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard clock.count == 3, clock.allSatisfy({ $0.count == 2 }) else { return nil }
        self.init(
            year: number(parts[3]), month: month + 1, day: number(parts[1]), hour: number(clock[0]),
            minute: number(clock[1]), second: number(clock[2]))
    }

    /// Nil when a part is nil or out of its range. Years from 1970 to 9999.
    private init?(
        year: Int?, month: Int?, day: Int?, hour: Int?, minute: Int?, second: Int?, millisecond: Int? = 0
    ) {
        guard let year, let month, let day, let hour, let minute, let second, let millisecond,
            (1970...9999).contains(year), (1...12).contains(month), day >= 1, hour < 24, minute < 60, second < 60
        else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        guard day <= (month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31) else { return nil }
        // Howard Hinnant's `days_from_civil`: years begin in March, so that the leap day is a year's last.
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
        self.init(millisecondsSince1970: Int64(seconds * 1000 + millisecond))
    }
}

private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/// Decimal digits and nothing else; nil for none.
private func number(_ digits: ArraySlice<UInt8>) -> Int? {
    guard (1...4).contains(digits.count) else { return nil }
    var value = 0
    for digit in digits {
        guard (0x30...0x39).contains(digit) else { return nil }
        value = value * 10 + Int(digit) - 0x30
    }
    return value
}
