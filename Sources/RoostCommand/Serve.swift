import ArgumentParser
import Domain
import Host

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the host.",
        discussion: """
            Prints one line when it is ready: `roost: listening on http://HOST:PORT`. SIGTERM and SIGINT let what runs \
            finish, then end it with status 0. docs/SETTINGS.md describes the configuration file; flags win over it.
            """)

    @Option(
        help: ArgumentHelp("Where to listen. Port 0 picks a free one. Default: 127.0.0.1:7070.", valueName: "host:port")
    )
    var listen: String?

    @Option(help: ArgumentHelp("Where everything is kept. Default: ./.roost.", valueName: "dir"))
    var dataDir: String?

    @Option(help: ArgumentHelp("Settings, as a JSON file.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("How workers are isolated: bubblewrap (default) or none.", valueName: "mode"))
    var sandbox: String?

    @Flag(help: "Say on standard error which callbacks hold the event loop for over 50 ms.")
    var debug = false

    private func read(_ path: String, into settings: inout HostSettings) throws {
        let text: [UInt8]
        do throws(CommandError) {
            text = try readFile(path)
        } catch {
            throw CommandError.usage(error.message ?? path)
        }
        do throws(HostSettings.Invalid) {
            try settings.read(text)
        } catch {
            throw CommandError.usage("\(path): \(error)")
        }
    }

    func run() throws {
        var settings = HostSettings()
        do {
            if let config { try read(config, into: &settings) }
            if let listen { try settings.setListen(listen) }
        } catch let error as HostSettings.Invalid {
            throw CommandError.usage(error.description)
        }
        if let dataDir { settings.dataDirectory = dataDir }
        if let sandbox {
            guard let mode = HostSettings.Sandbox(rawValue: sandbox) else {
                throw CommandError.usage("--sandbox is '\(sandbox)'; allowed are 'bubblewrap' and 'none'")
            }
            settings.sandbox = mode
        }
        settings.isDebugging = debug
        if let unknown = FaultPoint.unknown {
            throw CommandError.usage(
                "ROOST_FAULT_POINT is '\(unknown)'; allowed are "
                    + FaultPoint.allCases.map(\.rawValue).joined(separator: ", "))
        }
        do {
            throw ExitCode(try RoostHost.serve(settings))
        } catch let failure as RoostHost.Failure {
            throw CommandError.hostFailed(failure.description)
        }
    }
}
