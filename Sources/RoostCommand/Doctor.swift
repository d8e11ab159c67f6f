import ArgumentParser
import Glibc
import JSON

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check this machine and the host, and say what is missing.",
        discussion: "Exit status 1 when something fails that a host or its functions cannot do without.")

    @OptionGroup var client: ClientOptions

    /// One thing looked at.
    struct Check {
        enum Verdict: String {
            case ok
            /// Missed only by some users.
            case note
            case fails
        }

        let name: String
        let verdict: Verdict
        let detail: String
    }

    func run() throws {
        let host = try client.host()
        var checks = [Doctor.swiftCheck(), Doctor.pythonCheck()]
        let isLocal = host.endpoint.isLoopback
        if isLocal { checks.append(Doctor.sandboxCheck()) }
        checks += hostChecks(host)

        if client.json {
            Terminal.print([
                "Checks": .array(
                    checks.map {
                        [
                            "Name": .string($0.name), "Ok": .bool($0.verdict != .fails),
                            "Verdict": .string($0.verdict.rawValue), "Detail": .string($0.detail),
                        ]
                    })
            ])
        } else {
            var table = Table("CHECK", "", "DETAIL")
            for check in checks { table.add(check.name, check.verdict.rawValue, printable(check.detail)) }
            Terminal.print(table.text)
        }
        if checks.contains(where: { $0.verdict == .fails }) { throw CommandError.failed }
    }

    private static func swiftCheck() -> Check {
        guard let swift = Program.find("swift") else {
            return Check(
                name: "swift", verdict: .note, detail: "not in PATH; needed to deploy functions written in Swift")
        }
        guard let outcome = try? Program.run(swift, ["--version"]), outcome.status == 0 else {
            return Check(name: "swift", verdict: .note, detail: "\(swift) does not run")
        }
        let line = String(decoding: outcome.output, as: UTF8.self).split(whereSeparator: \.isNewline)
            .first { $0.contains("Swift version") }
        return Check(name: "swift", verdict: .ok, detail: line.map(String.init) ?? swift)
    }

    private static func pythonCheck() -> Check {
        let path = "/usr/bin/python3"
        guard let outcome = try? Program.run(path, ["--version"]), outcome.status == 0 else {
            return Check(name: "python", verdict: .note, detail: "no \(path); needed by functions written in Python")
        }
        let text = String(decoding: outcome.output, as: UTF8.self).split(whereSeparator: \.isNewline).first
        return Check(name: "python", verdict: .ok, detail: text.map { "\($0) at \(path)" } ?? path)
    }

    /// Whether bubblewrap can make the namespaces that workers run in.
    private static func sandboxCheck() -> Check {
        guard let bwrap = Program.find("bwrap") else {
            return Check(
                name: "bubblewrap", verdict: .fails, detail: "no 'bwrap' in PATH; install the package bubblewrap")
        }
        let arguments = [
            "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--die-with-parent",
            "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/bin/true",
        ]
        guard let outcome = try? Program.run(bwrap, arguments) else {
            return Check(name: "bubblewrap", verdict: .fails, detail: "\(bwrap) does not start")
        }
        guard outcome.status == 0 else {
            let said = String(decoding: outcome.errors, as: UTF8.self).split(whereSeparator: \.isNewline).last ?? ""
            return Check(
                name: "bubblewrap", verdict: .fails,
                detail: "the kernel refuses namespaces (\(said)); a host runs here only with --sandbox none")
        }
        return Check(name: "bubblewrap", verdict: .ok, detail: "makes namespaces")
    }

    private func hostChecks(_ host: HostClient) -> [Check] {
        let answer: JSONValue
        do {
            answer = try host.json("GET", .roost("host"), timeout: .seconds(10))
        } catch {
            return [Check(name: "host", verdict: .fails, detail: error.message ?? "")]
        }
        let version = text(answer["Version"])
        var checks = [Check(name: "host", verdict: .ok, detail: "roost \(version) at \(host.endpoint.url)")]
        for check in answer["Checks"]?.arrayValue ?? [] {
            checks.append(
                Check(
                    name: "host: " + text(check["Name"]), verdict: check["Ok"]?.boolValue == true ? .ok : .fails,
                    detail: check["Detail"]?.stringValue ?? ""))
        }
        return checks
    }
}
