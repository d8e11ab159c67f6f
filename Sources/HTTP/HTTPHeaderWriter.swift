/// Writes header fields of an answer straight into the output. Date, Content-Length, Transfer-Encoding and Connection
/// are the connection's to write. Line breaks and other control characters in a value become spaces, so that no value can
/// end its field.
package struct HTTPHeaderWriter {
    let buffer: ByteBuffer

    package func add(_ name: StaticString, _ value: StaticString) {
        buffer.append(name)
        buffer.append(": ")
        buffer.append(value)
        buffer.append("\r\n")
    }

    package func add(_ name: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { add(name, UnsafeRawBufferPointer($0)) }
    }

    package func add(_ name: StaticString, _ value: Int) {
        buffer.append(name)
        buffer.append(value < 0 ? ": -" : ": ")
        buffer.appendDecimal(abs(value))
        buffer.append("\r\n")
    }

    package func add(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        buffer.append(name)
        buffer.append(": ")
        appendText(value)
        buffer.append("\r\n")
    }

    /// For names that are known only now. A name that is not a token is left out.
    package func add(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        guard !name.isEmpty, name.allSatisfy(HeadParser.isToken) else { return }
        buffer.append(name)
        buffer.append(": ")
        appendText(value)
        buffer.append("\r\n")
    }

    package func add(name: String, value: String) {
        var name = name
        var value = value
        name.withUTF8 { name in
            value.withUTF8 { add(name: UnsafeRawBufferPointer(name), value: UnsafeRawBufferPointer($0)) }
        }
    }

    private func appendText(_ value: UnsafeRawBufferPointer) {
        var plainStart = 0
        for index in value.indices where (value[index] < 0x20 && value[index] != 0x09) || value[index] == 0x7F {
            buffer.append(UnsafeRawBufferPointer(rebasing: value[plainStart..<index]))
            buffer.append(" ")
            plainStart = index + 1
        }
        buffer.append(UnsafeRawBufferPointer(rebasing: value[plainStart...]))
    }
}

enum StatusLine {
    static func append(_ status: Int, to buffer: ByteBuffer) {
        switch status {
        case 200: buffer.append("HTTP/1.1 200 OK\r\n")
        case 202: buffer.append("HTTP/1.1 202 Accepted\r\n")
        default:
            buffer.append("HTTP/1.1 ")
            buffer.appendDecimal(status)
            buffer.append(" ")
            buffer.append(reason(status))
            buffer.append("\r\n")
        }
    }

    /// RFC 9110, section 15. Clients are told to ignore it.
    private static func reason(_ status: Int) -> StaticString {
        switch status {
        case 201: "Created"
        case 204: "No Content"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 424: "Failed Dependency"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}
