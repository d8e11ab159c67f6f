/// The last lines of a terminal, on the error stream, written over and over. Says nothing where there is no terminal.
final class StatusLine {
    private let isShown: Bool
    /// Columns of each line that stands there now.
    private var shown: [Int] = []

    init(isShown: Bool) { self.isShown = isShown }

    func show(_ text: String) { show([String(text.prefix(max(10, Terminal.columns - 1)))]) }

    /// Each line fits the terminal; escape sequences count nothing.
    func show(_ lines: [String]) {
        guard isShown, !lines.isEmpty else { return }
        // Line by line, so that what stays the same does not flicker.
        Terminal.write((start + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J").utf8, to: 2)
        shown = lines.map(Self.columns)
    }

    /// Leaves an empty line for what is printed next.
    func clear() {
        guard !shown.isEmpty else { return }
        Terminal.write((start + "\u{1B}[J").utf8, to: 2)
        shown = []
    }

    /// Moves to where the first line begins. A terminal that has become narrower has broken the lines.
    private var start: String {
        let columns = Terminal.columns
        let rows = shown.reduce(0) { $0 + max(1, ($1 + columns - 1) / columns) }
        return "\r" + (rows > 1 ? "\u{1B}[\(rows - 1)A" : "")
    }

    private static func columns(_ line: String) -> Int {
        var count = 0
        var isEscape = false
        for character in line {
            if character == "\u{1B}" { isEscape = true } else if !isEscape { count += 1 }
            if isEscape, character == "m" { isEscape = false }
        }
        return count
    }
}
