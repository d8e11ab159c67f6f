#if canImport(Musl)
    @preconcurrency import Musl
#else
    @preconcurrency import Glibc  // stdout is a variable, which nobody sets
#endif

extension SystemError {
    public var description: String { "\(operation): \(String(cString: strerror(code)))" }
}

/// What the host said about this worker when it started it.
struct Environment {
    /// The variable's value; `nil` when it is unset or empty.
    static func value(_ name: String) -> String? {
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return value
    }

    /// A channel's variable: `train` is `ROOST_CHANNEL_TRAIN`; what is neither letter nor digit becomes `_`.
    static func channelVariable(_ name: String) -> String {
        let letters = name.uppercased().unicodeScalars.map { scalar -> Character in
            ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar) ? Character(scalar) : "_"
        }
        return "ROOST_CHANNEL_" + String(letters)
    }

    /// Epoch milliseconds.
    static var nowMilliseconds: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}

/// Ends the process after a message on standard error: the answer to a host that does not keep to the protocol.
func fatal(_ message: String) -> Never {
    writeToStandardError("worker: \(message)\n")
    exit(1)
}

/// What the function printed is in the log before the host hears how the invocation ended. Standard error has no buffer.
func flushStandardOutput() { fflush(stdout) }

func writeToStandardError(_ text: String) {
    var text = text
    text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
