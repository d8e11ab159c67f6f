import Testing

/// A request that must be refused, and the status it is refused with.
struct RefusedShape: CustomTestStringConvertible, Sendable {
    let name: String
    let bytes: [UInt8]
    let status: Int
    var testDescription: String { name }

    init(_ name: String, _ text: String, _ status: Int = 400) {
        self.name = name
        self.bytes = Array(text.utf8)
        self.status = status
    }

    init(_ name: String, bytes: [UInt8], _ status: Int = 400) {
        self.name = name
        self.bytes = bytes
        self.status = status
    }
}

private func post(_ fields: String, _ body: String = "hello") -> String {
    "POST /echo HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n\r\n\(body)"
}
private func get(_ line: String) -> String { "\(line)\r\nHost: localhost\r\n\r\n" }

let refusedShapes: [RefusedShape] = [
    // Two lengths.
    .init("both lengths", post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    .init("both lengths, the other way round", post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n")),
    .init("two different Content-Lengths", post("Content-Length: 5\r\nContent-Length: 6")),
    .init("two equal Content-Lengths", post("Content-Length: 5\r\nContent-Length: 5")),
    .init("a list in Content-Length", post("Content-Length: 5,5")),
    .init("a spaced list in Content-Length", post("Content-Length: 5, 5")),
    .init("a signed Content-Length", post("Content-Length: +5")),
    .init("a negative Content-Length", post("Content-Length: -5")),
    .init("an empty Content-Length", post("Content-Length: ")),
    .init("a hexadecimal Content-Length", post("Content-Length: 0x5")),
    .init("a fraction in Content-Length", post("Content-Length: 5.0")),
    .init("a space in Content-Length", post("Content-Length: 1 0")),
    .init("letters after Content-Length", post("Content-Length: 5abc")),
    .init("an overflowing Content-Length", post("Content-Length: 18446744073709551621")),
    .init("an enormous Content-Length", post("Content-Length: 99999999999999999999999999999999")),
    .init("a Content-Length in quotes", post("Content-Length: \"5\"")),
    .init("a tab after Content-Length's digits", post("Content-Length: 5\t")),
    .init("a Content-Length with a vertical tab", post("Content-Length: \u{0B}5")),
    // Transfer codings.
    .init("two Transfer-Encodings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    .init(
        "two Transfer-Encodings, one identity",
        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    .init("chunked twice in one field", post("Transfer-Encoding: chunked, chunked", "0\r\n\r\n")),
    .init("chunked not last", post("Transfer-Encoding: chunked, gzip", "0\r\n\r\n")),
    .init("identity", post("Transfer-Encoding: identity")),
    .init("an unknown coding alone", post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
    .init("chunked with a parameter", post("Transfer-Encoding: chunked;q=1", "0\r\n\r\n")),
    .init("an empty Transfer-Encoding", post("Transfer-Encoding:", "0\r\n\r\n")),
    .init("chunked in quotes", post("Transfer-Encoding: \"chunked\"", "0\r\n\r\n")),
    .init("a comma before chunked", post("Transfer-Encoding: ,chunked", "0\r\n\r\n")),
    .init("a vertical tab before chunked", post("Transfer-Encoding: \u{0B}chunked", "0\r\n\r\n")),
    .init("a coding before chunked", post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), 501),
    .init(
        "Transfer-Encoding on HTTP/1.0",
        "POST /echo HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    .init("Transfer-Encoding with a space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n")),
    .init("Transfer-Encoding in a folded field", post("X: y\r\n Transfer-Encoding: chunked", "0\r\n\r\n")),
    .init("chunked folded onto the next line", post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n")),
    .init("Transfer-Encoding behind a bare LF", post("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    .init("Transfer-Encoding behind a bare CR", post("X: y\rTransfer-Encoding: chunked", "0\r\n\r\n")),
    // Line ends.
    .init("bare LF after the request line", "GET / HTTP/1.1\nHost: localhost\r\n\r\n"),
    .init("bare LF after a field", "GET / HTTP/1.1\r\nHost: localhost\n\r\n"),
    .init("bare LF for the empty line", "GET / HTTP/1.1\r\nHost: localhost\r\n\n"),
    .init("bare LFs only", "GET / HTTP/1.1\nHost: localhost\n\n"),
    .init("bare CR in a value", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n"),
    .init("bare CR before the line end", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\r\n\r\n"),
    .init("bare CR in the request line", "GET / HTTP/1.1\r\r\nHost: localhost\r\n\r\n"),
    .init("bare CR in the target", "GET /a\rb HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    .init("bare CR before the request line", "\rGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    .init("bare LF before the request line", "\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    .init("two empty lines before the request line", "\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    .init("LF CR", "GET / HTTP/1.1\r\nHost: localhost\n\r\r\n\r\n"),
    // Fields.
    .init("obsolete folding with a space", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n"),
    .init("obsolete folding with a tab", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n"),
    .init("a folded first line", "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n"),
    .init("a space before the colon", "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n"),
    .init("a tab before the colon", "GET / HTTP/1.1\r\nHost: localhost\r\nX\t: a\r\n\r\n"),
    .init("a space in a field name", "GET / HTTP/1.1\r\nHost: localhost\r\nX Y: a\r\n\r\n"),
    .init("an empty field name", "GET / HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n"),
    .init("a field without a colon", "GET / HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n"),
    .init("a parenthesis in a field name", "GET / HTTP/1.1\r\nHost: localhost\r\nX(: a\r\n\r\n"),
    .init("a slash in a field name", "GET / HTTP/1.1\r\nHost: localhost\r\nX/Y: a\r\n\r\n"),
    .init("a quote in a field name", "GET / HTTP/1.1\r\nHost: localhost\r\n\"X\": a\r\n\r\n"),
    .init("NUL in a field name", bytes: Array("GET / HTTP/1.1\r\nHost: localhost\r\nX\0: a\r\n\r\n".utf8)),
    .init("NUL in a value", bytes: Array("GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n".utf8)),
    .init("a control character in a value", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\u{01}b\r\n\r\n"),
    .init("DEL in a value", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\u{7F}b\r\n\r\n"),
    .init(
        "a control character late in a long value",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: 0123456789abcdef0123456789\u{08}ab\r\n\r\n"),
    .init(
        "not ASCII in a field name",
        bytes: Array("GET / HTTP/1.1\r\nHost: localhost\r\nX".utf8) + [0xE9] + Array(": a\r\n\r\n".utf8)),
    // Host.
    .init("no Host on 1.1", "GET / HTTP/1.1\r\n\r\n"),
    .init("no Host on 1.1 with other fields", "GET / HTTP/1.1\r\nX: a\r\n\r\n"),
    .init("two Hosts", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
    .init("two Hosts on 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    .init("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    .init("a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    .init("a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    .init("a user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    .init("a space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    // Request line.
    .init("no target", "GET HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    .init("no version", get("GET /")),
    .init("nothing but a method", get("GET")),
    .init("two spaces before the target", get("GET  / HTTP/1.1")),
    .init("two spaces before the version", get("GET /  HTTP/1.1")),
    .init("a tab for a space", get("GET\t/ HTTP/1.1")),
    .init("a tab before the version", get("GET /\tHTTP/1.1")),
    .init("a space after the version", get("GET / HTTP/1.1 ")),
    .init("a space before the method", get(" GET / HTTP/1.1")),
    .init("a space in the target", get("GET /a b HTTP/1.1")),
    .init("text after the version", get("GET / HTTP/1.1 HTTP/1.1")),
    .init("a method that is no token", get("G@T / HTTP/1.1")),
    .init("an empty method", get(" / HTTP/1.1")),
    .init("NUL in the method", get("GE\0T / HTTP/1.1")),
    .init("NUL in the target", get("GET /\0 HTTP/1.1")),
    .init("not ASCII in the target", get("GET /é HTTP/1.1")),
    .init("a control character in the target", get("GET /\u{01} HTTP/1.1")),
    .init("DEL in the target", get("GET /\u{7F} HTTP/1.1")),
    .init("a fragment", get("GET /a#b HTTP/1.1")),
    .init("the absolute form", get("GET http://localhost/ HTTP/1.1")),
    .init("the asterisk form", get("OPTIONS * HTTP/1.1")),
    .init("the authority form", get("CONNECT localhost:80 HTTP/1.1")),
    .init("a relative target", get("GET a/b HTTP/1.1")),
    .init("a percent sign alone", get("GET /a% HTTP/1.1")),
    .init("a percent sign with one digit", get("GET /a%2 HTTP/1.1")),
    .init("a percent sign with letters", get("GET /a%zz HTTP/1.1")),
    .init("a bad percent sign in the query", get("GET /a?b=%g1 HTTP/1.1")),
    .init("a lower-case version", get("GET / http/1.1")),
    .init("a version without a minor", get("GET / HTTP/1")),
    .init("a long version", get("GET / HTTP/1.10")),
    .init("a version with a letter", get("GET / HTTP/1.x")),
    .init("an HTTP/0.9 request", "GET /\r\n\r\n"),
    .init("TLS", bytes: [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x0D, 0x0A]),
    .init("HTTP/2.0", get("GET / HTTP/2.0"), 505),
    .init("HTTP/1.2", get("GET / HTTP/1.2"), 505),
    .init("HTTP/0.9 by name", get("GET / HTTP/0.9"), 505),
    .init("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    .init("an unknown method", get("BREW / HTTP/1.1"), 501),
    .init("a method in lower case", get("get / HTTP/1.1"), 501),
    .init("TRACE", get("TRACE / HTTP/1.1"), 501),
    .init("an unknown expectation", post("Expect: 200-ok\r\nContent-Length: 5"), 417),
    // Sizes.
    .init(
        "a request line over the limit",
        "GET /\(String(repeating: "a", count: 17000)) HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    .init(
        "a field over the limit",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "a", count: 17000))\r\n\r\n", 431),
    .init("an endless line", String(repeating: "a", count: 20000), 431),
    .init(
        "many small fields over the limit",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\(String(repeating: "a:b\r\n", count: 4000))\r\n", 431),
    .init(
        "more fields than allowed",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\(String(repeating: "a:b\r\n", count: 128))\r\n", 431),
]

/// Framing errors after a good head. The delegate has seen the head, and hears of the abort.
let refusedChunks: [RefusedShape] = [
    ("a chunk size that is no number", "x\r\n"), ("an empty chunk size", "\r\n"),
    ("a signed chunk size", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a negative chunk size", "-1\r\n\r\n"), ("a chunk size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a space before the chunk size", " 5\r\nhello\r\n0\r\n\r\n"),
    ("a space after the chunk size", "5 \r\nhello\r\n0\r\n\r\n"),
    ("a tab after the chunk size", "5\t\r\nhello\r\n0\r\n\r\n"),
    ("an overflowing chunk size", "ffffffffffffffffff\r\n"),
    ("a chunk size of 17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a list as chunk size", "5,5\r\nhello\r\n0\r\n\r\n"),
    ("bare LF after the chunk size", "5\nhello\r\n0\r\n\r\n"),
    ("bare CR after the chunk size", "5\rhello\r\n0\r\n\r\n"),
    ("bare LF after the chunk", "5\r\nhello\n0\r\n\r\n"), ("bare CR after the chunk", "5\r\nhello\r0\r\n\r\n"),
    ("a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n"), ("no line end after the chunk", "5\r\nhello0\r\n\r\n"),
    ("bare LF in a chunk extension", "5;a\nhello\r\n0\r\n\r\n"),
    ("a control character in a chunk extension", "5;a\u{01}\r\nhello\r\n0\r\n\r\n"),
    ("bare LF at the end of the last chunk", "5\r\nhello\r\n0\n\r\n"),
    ("bare LF for the empty line at the end", "5\r\nhello\r\n0\r\n\n"),
    ("bare CR at the end", "5\r\nhello\r\n0\r\n\rX"), ("a folded trailer", "5\r\nhello\r\n0\r\n X: a\r\n\r\n"),
    ("a bare LF in a trailer", "5\r\nhello\r\n0\r\nX: a\n\r\n"),
    ("endless trailers", "0\r\n" + String(repeating: "X: aaaaaaaaaaaa\r\n", count: 400)),
    ("an endless chunk extension", "5;" + String(repeating: "a", count: 5000) + "\r\nhello\r\n0\r\n\r\n"),
].map { RefusedShape($0.0, post("Transfer-Encoding: chunked", $0.1)) }

/// Unusual, and right: the text, and the body that arrives.
let acceptedShapes: [(String, String, String)] = [
    ("a plain GET", "GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
    ("an empty line before the request line", "\r\nGET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
    ("a body of fixed length", post("Content-Length: 5"), "hello"),
    ("an empty body", post("Content-Length: 0", ""), ""),
    ("leading zeros in Content-Length", post("Content-Length: 0005"), "hello"),
    ("blanks around a value", post("Content-Length:\t 5 "), "hello"),
    ("no blank before a value", post("content-length:5"), "hello"),
    ("a chunked body", post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), "hello"),
    ("Chunked in other case", post("transfer-ENCODING: Chunked", "5\r\nhello\r\n0\r\n\r\n"), "hello"),
    ("several chunks", post("Transfer-Encoding: chunked", "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n"), "hello"),
    (
        "hexadecimal chunk sizes",
        post("Transfer-Encoding: chunked", "A\r\n0123456789\r\nb\r\nabcdefghijk\r\n0\r\n\r\n"), "0123456789abcdefghijk"
    ),
    ("zeros before a chunk size", post("Transfer-Encoding: chunked", "005\r\nhello\r\n000\r\n\r\n"), "hello"),
    ("a chunk extension", post("Transfer-Encoding: chunked", "5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n"), "hello"),
    ("trailers", post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nX: a\r\nContent-Length: 7\r\n\r\n"), "hello"),
    ("line breaks in a chunk", post("Transfer-Encoding: chunked", "4\r\n\r\n\r\n\r\n0\r\n\r\n"), "\r\n\r\n"),
    ("an empty value", "GET /echo HTTP/1.1\r\nHost: localhost\r\nX:\r\n\r\n", ""),
    ("not ASCII in a value", "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: é\r\n\r\n", ""),
    ("a tab in a value", "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: a\tb\r\n\r\n", ""),
    (
        "every token character in a name", "GET /echo HTTP/1.1\r\nHost: localhost\r\n!#$%&'*+-.^_`|~09azAZ: a\r\n\r\n",
        ""
    ),
    ("an IPv6 Host", "GET /echo HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", ""),
    ("Upgrade is ignored", "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", ""),
    ("no Host on 1.0", "GET /echo HTTP/1.0\r\n\r\n", ""),
    ("a body on 1.0", "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ("odd but legal target bytes", "GET /echo/!$&'()*+,;=:@-._~?a=/?b HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
]
