/// Keeps web pages away from a server that has no keys: a page in a browser on this machine can reach loopback, too.
///
/// Browsers send `Origin` with every request that a page can make across sites (but for plain GETs without side
/// effects), and a name that an attacker re-binds to 127.0.0.1 shows in `Host`.
package enum OriginGuard {
    /// True for a request that a web page may have made, which a server without keys answers 403.
    package static func isForeign(_ request: HTTPRequest) -> Bool {
        if request.header("origin") != nil { return true }
        guard let host = request.header("host") else { return false }  // HTTP/1.0: no browser
        return !isLoopback(host)
    }

    /// True for localhost, 127.0.0.0/8 and [::1], with or without a port.
    package static func isLoopback(_ host: UnsafeRawBufferPointer) -> Bool {
        var name = host
        if host.first == UInt8(ascii: "[") {
            guard let close = host.firstIndex(of: UInt8(ascii: "]")) else { return false }
            name = UnsafeRawBufferPointer(rebasing: host[...close])
            let rest = host[(close + 1)...]
            if !rest.isEmpty, !isPort(rest) { return false }
            return HTTPRequest.equals(name, "[::1]")
        }
        if let colon = host.firstIndex(of: UInt8(ascii: ":")) {
            name = UnsafeRawBufferPointer(rebasing: host[..<colon])
            if !isPort(host[colon...]) { return false }
        }
        if HTTPRequest.equals(name, "localhost") { return true }
        let parts = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return false }
        for (index, part) in parts.enumerated() {
            guard part.count <= 3, let value = HeadParser.decimal(UnsafeRawBufferPointer(rebasing: part)), value < 256
            else { return false }
            if index == 0, value != 127 { return false }
        }
        return true
    }

    private static func isPort(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        bytes.first == UInt8(ascii: ":") && bytes.dropFirst().allSatisfy(HeadParser.isDigit) && bytes.count <= 6
    }
}
