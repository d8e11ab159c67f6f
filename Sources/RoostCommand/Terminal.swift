import Glibc
import JSON

/// The standard streams.
enum Terminal {
    static var isOutputTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
    static var isErrorTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Columns of the terminal that shows the error stream; 80 when there is none.
    static var columns: Int { size.columns }
    /// 24 when there is none.
    static var rows: Int { size.rows }

    private static var size: (columns: Int, rows: Int) {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// A line on standard output.
    static func print(_ text: String) { write(Array((text + "\n").utf8), to: STDOUT_FILENO) }
    /// One line of JSON on standard output.
    static func print(_ json: JSONValue) { write(json.encoded() + [0x0A], to: STDOUT_FILENO) }
    /// A line on standard error.
    static func complain(_ text: String) { write(Array((text + "\n").utf8), to: STDERR_FILENO) }

    /// Writes all of it, or ends the process: who reads the output has gone.
    static func write(_ bytes: some Sequence<UInt8>, to descriptor: Int32) {
        let bytes = Array(bytes)
        var start = 0
        while start < bytes.count {
            let count = bytes[start...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                start += count
            } else if errno == EAGAIN {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&waiting, 1, -1)
            } else if errno != EINTR {
                exit(1)
            }
        }
    }

    /// Everything up to the end of standard input.
    static func readInput() throws(CommandError) -> [UInt8] { try readAll(STDIN_FILENO, named: "standard input") }
}

/// Everything up to the end of an open file.
func readAll(_ descriptor: Int32, named name: String) throws(CommandError) -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(descriptor, &piece, piece.count)
        if count == 0 { return bytes }
        if count > 0 {
            bytes += piece[..<count]
        } else if errno != EINTR {
            throw .io(path: name, operation: "read", errno: errno)
        }
    }
}

func readFile(_ path: String) throws(CommandError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .io(path: path, operation: "open", errno: errno) }
    defer { close(descriptor) }
    return try readAll(descriptor, named: path)
}

/// What the system says about an error number.
func systemMessage(_ number: Int32) -> String { strerror(number).map { String(cString: $0) } ?? "error \(number)" }
