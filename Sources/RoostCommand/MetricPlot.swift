/// A curve in characters of Braille, each two dots wide and four high. Pure: numbers in, lines out.
enum MetricPlot {
    static let rows = 8
    /// Below that there is nothing to see.
    static let columnsMin = 30

    /// The name above `rows` lines of curve, with the highest and the lowest value beside the first and the last of them.
    /// The values stand at equal distances over the whole width. Empty without values, or without the columns.
    static func lines(name: String, values: [Double], columns: Int, style: TextStyle = .plain) -> [String] {
        guard columns >= columnsMin, let highest = values.max(), let lowest = values.min() else { return [] }
        let labels = [metricText(highest), metricText(lowest)].map { String($0.prefix(12)) }
        let labelColumns = labels.map(\.count).max()!
        let curve = self.curve(values, lowest: lowest, highest: highest, columns: columns - labelColumns - 4)
        var lines = ["  " + String(printable(name).prefix(columns - 2))]
        for (row, cells) in curve.enumerated() {
            let label = row == 0 ? labels[0] : row == rows - 1 ? labels[1] : ""
            let padding = String(repeating: " ", count: labelColumns - label.count)
            lines.append("  " + padding + label + (label.isEmpty ? " |" : " +") + style.curve(cells))
        }
        return lines
    }

    private static func curve(_ values: [Double], lowest: Double, highest: Double, columns: Int) -> [String] {
        let width = columns * 2
        let height = rows * 4
        var cells = [[UInt8]](repeating: [UInt8](repeating: 0, count: columns), count: rows)
        func mark(_ x: Int, _ y: Int) { cells[y / 4][x / 2] |= bits[x % 2][y % 4] }

        func x(of index: Int) -> Int { values.count == 1 ? 0 : index * (width - 1) / (values.count - 1) }
        func y(of value: Double) -> Int {
            // A flat curve is drawn in the middle. Halves first: the difference of two doubles may overflow.
            let span = highest / 2 - lowest / 2
            let share = span > 0 ? (value / 2 - lowest / 2) / span : 0.5
            return Int(((1 - share) * Double(height - 1)).rounded())
        }

        var last = (x: 0, y: y(of: values[0]))
        mark(last.x, last.y)
        for (index, value) in values.enumerated().dropFirst() {
            let next = (x: x(of: index), y: y(of: value))
            let stepsCount = max(next.x - last.x, abs(next.y - last.y))
            for step in 1...max(1, stepsCount) {
                let share = Double(step) / Double(max(1, stepsCount))
                mark(
                    last.x + Int((share * Double(next.x - last.x)).rounded()),
                    last.y + Int((share * Double(next.y - last.y)).rounded()))
            }
            last = next
        }
        return cells.map { row in
            var line = String(
                String.UnicodeScalarView(row.map { $0 == 0 ? " " : Unicode.Scalar(0x2800 + UInt32($0))! }))
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// Of the left and the right column of a character, from above; Unicode's numbering.
    private static let bits: [[UInt8]] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]]
}

/// Whether text for a terminal has colours.
enum TextStyle {
    case plain, colored

    /// Of the terminal that shows the error stream. `NO_COLOR` says that nobody wants any (no-color.org).
    ///
    /// - Parameter variable: the environment; nil for empty variables.
    static func ofTerminal(_ variable: (String) -> String?) -> TextStyle {
        variable("NO_COLOR") != nil || variable("TERM") == "dumb" ? .plain : .colored
    }

    func curve(_ text: String) -> String { self == .plain || text.isEmpty ? text : "\u{1B}[36m\(text)\u{1B}[0m" }
}
