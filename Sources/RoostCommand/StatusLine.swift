/// The last line of a terminal, on the error stream, written over and over. Says nothing where there is no terminal.
final class StatusLine {
    private let isShown: Bool
    private var isDirty = false

    init(isShown: Bool) { self.isShown = isShown }

    func show(_ text: String) {
        guard isShown else { return }
        Terminal.write("\r\u{1B}[K\(text.prefix(max(10, Terminal.columns - 1)))".utf8, to: 2)
        isDirty = true
    }

    /// Leaves an empty line for what is printed next.
    func clear() {
        guard isDirty else { return }
        Terminal.write("\r\u{1B}[K".utf8, to: 2)
        isDirty = false
    }
}
