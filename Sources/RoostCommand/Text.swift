import Glibc

/// Rows of text in columns as wide as their widest cell. The last column is not padded.
struct Table {
    private var rows: [[String]]

    init(_ heads: String...) { rows = [heads] }

    mutating func add(_ cells: String...) { rows.append(cells) }

    var text: String {
        var widths = [Int](repeating: 0, count: rows[0].count)
        for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) } }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}

/// `1 file`, `2 files`.
func counted(_ count: Int, _ thing: String) -> String { "\(count) \(thing)\(count == 1 ? "" : "s")" }

/// `512 B`, `8.9 MB`: powers of 1000, as disks are sold.
func sizeText(_ bytes: Int) -> String {
    guard bytes >= 1000 else { return "\(bytes) B" }
    var value = Double(bytes)
    for unit in ["kB", "MB", "GB"] {
        value /= 1000
        if value < 999.95 { return fixed(value, 1) + " " + unit }
    }
    return fixed(value / 1000, 1) + " TB"
}

/// `0.42 s`, `12.3 s`, `4 m 07 s`, `3 h 05 m`, `2 d 04 h`.
func spanText(seconds: Double) -> String {
    let seconds = max(0, seconds)
    if seconds < 9.995 { return fixed(seconds, 2) + " s" }
    if seconds < 59.95 { return fixed(seconds, 1) + " s" }
    let whole = Int(seconds.rounded())
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    if whole < 3600 { return "\(whole / 60) m \(two(whole % 60)) s" }
    if whole < 86400 { return "\(whole / 3600) h \(two(whole / 60 % 60)) m" }
    return "\(whole / 86400) d \(two(whole / 3600 % 24)) h"
}

/// `digits` places after the point. Rounds half away from zero.
func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return "\(value)" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (value * scale).rounded()
    guard abs(scaled) < 9e15 else { return "\(value)" }
    let magnitude = Int(abs(scaled))
    let sign = scaled < 0 ? "-" : ""
    guard digits > 0 else { return sign + String(magnitude) }
    let text = String(magnitude)
    let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
    return sign + padded.dropLast(digits) + "." + padded.suffix(digits)
}

/// A metric as people like to read it: four significant places, no needless ones.
func metricText(_ value: Double) -> String {
    if value == value.rounded(), abs(value) < 1e15 { return String(Int(value)) }
    switch abs(value) {
    case 1000...: return fixed(value, 0)
    case 100..<1000: return fixed(value, 1)
    case 10..<100: return fixed(value, 2)
    case 0.001..<10: return fixed(value, 4)
    default: return "\(value)"
    }
}

/// A share of 1 as `10 %`, `0.5 %`.
func percentText(_ share: Double) -> String { metricText((share * 1000).rounded() / 10) + " %" }

/// `2026-11-23 22:35:34`, in the time zone of the machine.
func timeText(epochSeconds: Double) -> String {
    var time = time_t(epochSeconds)
    var parts = tm()
    localtime_r(&time, &parts)
    var text = [CChar](repeating: 0, count: 64)
    let count = strftime(&text, text.count, "%Y-%m-%d %H:%M:%S", &parts)
    return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
