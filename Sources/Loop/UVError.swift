internal import CUV

/// A failed libuv or system call: its name and its error number.
package struct UVError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Negative, as libuv reports it (`UV_ECONNRESET`, ...).
    package let code: CInt
    package let call: String

    package init(code: CInt, call: String) {
        self.code = code
        self.call = call
    }

    package static func check(_ status: CInt, _ call: String) throws(UVError) {
        if status < 0 { throw UVError(code: status, call: call) }
    }

    package var isAddressInUse: Bool { code == UV_EADDRINUSE.rawValue }

    /// Such as `uv_listen: address already in use (EADDRINUSE)`.
    package var description: String {
        "\(call): \(String(cString: uv_strerror(code))) (\(String(cString: uv_err_name(code))))"
    }
}
