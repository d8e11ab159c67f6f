/// The canonical request of AWS Signature Version 4, less its last line, which is the payload's hash.
///
/// As AWS's own clients make it for Lambda: the path is encoded once more as it came, since decoding it first loses which
/// slashes and colons were encoded; the query is sorted, and otherwise left as it came.
package struct CanonicalRequest {
    package private(set) var bytes: [UInt8] = []

    /// - Parameter signedHeaders: names in lower case, in the order of the Authorization field. Fields that are not there
    ///   count as empty.
    package init(_ head: SignedRequestHead, signedHeaders: [String]) {
        bytes.reserveCapacity(512 + head.rawPath.count + head.rawQuery.count)
        bytes += head.method.utf8
        bytes.append(0x0A)
        appendPath(head.rawPath)
        bytes.append(0x0A)
        appendQuery(head.rawQuery)
        bytes.append(0x0A)
        for name in signedHeaders {
            bytes += name.utf8
            bytes.append(UInt8(ascii: ":"))
            var isFirst = true
            for field in head.fields where field.name == name {
                if !isFirst { bytes.append(UInt8(ascii: ",")) }
                appendTrimmed(field.value)
                isFirst = false
            }
            bytes.append(0x0A)
        }
        bytes.append(0x0A)
        for (index, name) in signedHeaders.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ";")) }
            bytes += name.utf8
        }
        bytes.append(0x0A)
    }

    /// Dot segments and empty ones are taken out; what is left is percent-encoded, whether it was or not.
    private mutating func appendPath(_ path: [UInt8]) {
        var segments: [ArraySlice<UInt8>] = []
        for segment in path.split(separator: UInt8(ascii: "/")) {
            if segment.elementsEqual("..".utf8) {
                _ = segments.popLast()
            } else if !segment.elementsEqual(".".utf8) {
                segments.append(segment)
            }
        }
        let start = bytes.count
        for segment in segments {
            bytes.append(UInt8(ascii: "/"))
            for byte in segment { appendEncoded(byte) }
        }
        if bytes.count == start || path.last == UInt8(ascii: "/") { bytes.append(UInt8(ascii: "/")) }
    }

    private mutating func appendEncoded(_ byte: UInt8) {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: bytes.append(byte)
        default:
            bytes.append(UInt8(ascii: "%"))
            for digit in [byte >> 4, byte & 15] { bytes.append(digit < 10 ? 0x30 + digit : 0x41 + digit - 10) }
        }
    }

    private mutating func appendQuery(_ query: [UInt8]) {
        guard !query.isEmpty else { return }
        var members = query.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false).map { member in
            let parts = member.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            return (name: parts[0], value: parts.count > 1 ? parts[1] : [])
        }
        members.sort { left, right in
            left.name.elementsEqual(right.name)
                ? left.value.lexicographicallyPrecedes(right.value) : left.name.lexicographicallyPrecedes(right.name)
        }
        for (index, member) in members.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: "&")) }
            bytes += member.name
            bytes.append(UInt8(ascii: "="))
            bytes += member.value
        }
    }

    /// Without blanks at its ends; each run of blanks inside is one space.
    private mutating func appendTrimmed(_ value: [UInt8]) {
        var isFirst = true
        for word in value.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }) {
            if !isFirst { bytes.append(0x20) }
            bytes += word
            isFirst = false
        }
    }
}
