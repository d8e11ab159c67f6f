import Foundation
import Testing
import Transfers

/// An HTTP server in Python, in a process of its own, on a free port of 127.0.0.1. What its paths do stands in the script.
final class TestServer: Sendable {
    let port: Int
    let isTLS: Bool
    private let process: Process
    /// Its end is the server's: also when this process is killed.
    private let input = Pipe()

    /// - Parameter certificate: PEM file of certificate and key; nil for plain HTTP.
    init(certificate: String? = nil) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", script] + (certificate.map { [$0] } ?? [])
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = input
        try process.run()
        isTLS = certificate != nil
        var line = Data()
        while !line.contains(0x0A) {
            let piece = output.fileHandleForReading.availableData
            guard !piece.isEmpty else { break }
            line += piece
        }
        port = try #require(Int(String(decoding: line, as: UTF8.self).trimmingCharacters(in: .newlines)))
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func url(_ path: String, host: String = "127.0.0.1") -> String {
        "\(isTLS ? "https" : "http")://\(host):\(port)\(path)"
    }

    /// What the server has counted: `connections` and `requests` so far, the most requests `together`, the requests that
    /// it holds (`held`), and the bytes of `/huge` that it could send.
    func counts() async throws -> [String: Int] {
        let transfers = TransferLoop()
        defer { transfers.close() }
        return try await transfers.send(TransferRequest(url: url("/counts"))).json(as: [String: Int].self)
    }

    /// Waits until the counts are as they should be.
    func until(_ isTrue: ([String: Int]) -> Bool) async throws {
        while try await !isTrue(counts()) { try await Task.sleep(for: .milliseconds(5)) }
    }

    /// Answers all requests for `/hold`.
    func release() async throws {
        let transfers = TransferLoop()
        defer { transfers.close() }
        #expect(try await transfers.send(TransferRequest(url: url("/release"))).status == 200)
    }
}

extension TransferAnswer {
    func json<Value: Decodable>(as _: Value.Type) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(body))
    }

    var text: String { String(decoding: body, as: UTF8.self) }
}

private let script = """
    import http.server, json, os, socket, ssl, sys, threading, time, urllib.parse

    lock, gate = threading.Lock(), threading.Event()
    counts = {"connections": 0, "requests": 0, "now": 0, "together": 0, "held": 0, "huge": 0}

    def count(name, number=1):
        with lock:
            counts[name] += number
            counts["together"] = max(counts["together"], counts["now"])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            self.counted = False

        def log_message(self, *_): pass

        def answer(self, status, body, *headers):
            self.send_response(status)
            for name, value in headers: self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            if path == "/counts": return self.answer(200, json.dumps(counts).encode(), ("Connection", "close"))
            if path == "/release":
                gate.set()
                return self.answer(200, b"", ("Connection", "close"))
            if not self.counted: count("connections")
            self.counted = True
            count("requests"); count("now")
            try: getattr(self, "at_" + path[1:])(query, body)
            finally: count("now", -1)

        do_PUT = do_POST

        def at_echo(self, query, body):
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.answer(200, json.dumps(
                {"method": self.command, "query": query, "headers": headers, "body": body.decode()}).encode())

        def at_length(self, query, body): self.answer(200, str(len(body)).encode())

        def at_short(self, query, body):
            time.sleep(0.005)
            self.answer(204, b"")

        def at_status(self, query, body):
            status, _, after = urllib.parse.unquote(query).partition(",")
            self.answer(int(status), b"", *([("Retry-After", after)] if after else []))

        def at_redirect(self, query, body): self.answer(307, b"there", ("Location", "/echo"))

        def at_hold(self, query, body):
            count("held")
            gate.wait()
            self.answer(200, b"")

        def at_drip(self, query, body):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            count("held")
            while True:
                self.wfile.write(b".")
                time.sleep(0.02)

        def at_early(self, query, body): self.close_connection = True

        def at_half(self, query, body):
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")

        def at_nonsense(self, query, body):
            self.close_connection = True
            self.wfile.write(b"220 this is another protocol\\r\\n")

        def at_silent_end(self, query, body):  # the connection is kept, says the head
            self.answer(200, b"")
            self.close_connection = True

        def at_heads(self, query, body):
            self.send_response(200)
            self.flush_headers()
            while True: self.wfile.write(b"X: " + b"x" * 1000 + b"\\r\\n")

        def at_continued(self, query, body):
            self.wfile.write(b"HTTP/1.1 103 Early Hints\\r\\nRetry-After: 9\\r\\n\\r\\n")
            self.answer(200, b"at last")

        def at_huge(self, query, body):
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 30))
            self.end_headers()
            while True:
                self.wfile.write(b"0123456789abcdef" * 4096)
                count("huge", 65536)

        def at_large(self, query, body): self.answer(200, b"x" * int(query))

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 1024
        daemon_threads = True
        def handle_error(self, *_): pass
        def finish_request(self, request, address):
            if len(sys.argv) > 1:  # the handshake in the connection's thread
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(sys.argv[1])
                request = context.wrap_socket(request, server_side=True)
            super().finish_request(request, address)
            request.close()

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever).start()
    sys.stdin.read()
    os._exit(0)
    """
