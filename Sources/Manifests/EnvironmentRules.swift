/// Which environment variables a function may bring.
package enum EnvironmentRules {
    /// Names and values together, in bytes.
    package static let bytesMax = 64 << 10

    package enum Violation: Error, Equatable, Sendable {
        /// Not a letter followed by one or more letters, digits or `_`.
        case badName(String)
        /// The host sets them itself.
        case reserved([String])
        /// It holds a NUL byte, which no environment can.
        case badValue(name: String)
        case tooLarge(bytes: Int)
    }

    package static func check(_ environment: [String: String]) throws(Violation) {
        var bytes = 0
        var reserved: [String] = []
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) {
            if isReserved(name) {
                reserved.append(name)
                continue
            }
            guard name.utf8.count >= 2, name.utf8.first.map(isLetter) == true,
                name.utf8.allSatisfy({ isLetter($0) || (0x30...0x39).contains($0) || $0 == 0x5F })
            else { throw .badName(name) }
            if value.utf8.contains(0) { throw .badValue(name: name) }
            bytes += name.utf8.count + value.utf8.count
        }
        if !reserved.isEmpty { throw .reserved(reserved) }
        if bytes > bytesMax { throw .tooLarge(bytes: bytes) }
    }

    /// Variables that the host gives to its workers, whose own value would be lost or would mislead.
    ///
    /// `ROOST_...` is not judged here: `FunctionSettings` knows which of those are settings and refuses the rest.
    package static func isReserved(_ name: String) -> Bool {
        if name.hasPrefix("AWS_LAMBDA_") { return !logging.contains(name) }
        return names.contains(name)
    }

    /// Read by the function's own runtime; the host does not set them.
    private static let logging: Set<String> = ["AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"]

    private static let names: Set<String> = [
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
        "LD_PRELOAD", "TMPDIR", "TZ",
    ]

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}
