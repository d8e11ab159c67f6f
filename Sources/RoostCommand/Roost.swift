import ArgumentParser
import Glibc

/// The `roost` command: the host (`serve`) and its client verbs.
@main
struct Roost: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "roost",
        abstract: "A serverless-style function host for machine-learning models.",
        discussion: """
            A model is a function: it sleeps until somebody calls it, wakes in milliseconds, is trained by an \
            asynchronous invocation, and is updated and rolled back by moving an alias between versions.

            Exit status: 0 done, 1 the function or the request failed, 2 wrong usage.
            """,
        groupedSubcommands: [
            CommandGroup(
                name: "The host",
                subcommands: [
                    Serve.self, Keys.self, Ps.self, Audit.self, Doctor.self, CollectArtifacts.self, Simulate.self,
                ]),
            CommandGroup(
                name: "Functions",
                subcommands: [
                    Deploy.self, Invoke.self, Train.self, Datasets.self, Executions.self, Functions.self, Logs.self,
                ]),
            CommandGroup(
                name: "Versions and aliases",
                subcommands: [Versions.self, Diff.self, Publish.self, Alias.self, Rollback.self]),
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as CommandError {
            if let message = error.message { Terminal.complain("roost: \(message)") }
            Glibc.exit(error.exitStatus)
        } catch {
            let code = exitCode(for: error)
            let message = fullMessage(for: error)
            if code == .success {
                if !message.isEmpty { Terminal.print(message) }
                Glibc.exit(0)
            }
            if !message.isEmpty { Terminal.complain(message) }
            Glibc.exit(code == .validationFailure ? 2 : code.rawValue)
        }
    }
}

/// What every client verb takes.
struct ClientOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the host is. Default: $ROOST_ENDPOINT, else http://127.0.0.1:7070.", valueName: "url"))
    var endpoint: String?

    @Option(
        help: ArgumentHelp(
            "Sign with the access key of this profile of the AWS credentials file. Default: the key in "
                + "$AWS_ACCESS_KEY_ID, else the profile $AWS_PROFILE, else the profile 'default' if there is one.",
            valueName: "name"))
    var profile: String?

    @Flag(help: "Print JSON instead of text for people.")
    var json = false

    /// The host that the verb talks to.
    func host() throws(CommandError) -> HostClient {
        let endpoint = try Endpoint(endpoint ?? environmentVariable("ROOST_ENDPOINT") ?? "http://127.0.0.1:7070")
        let credentials = try Credentials.find(profile: profile, variable: environmentVariable)
        return HostClient(HTTPClient(endpoint, signer: credentials?.signer))
    }
}

/// Nil also when it is empty.
func environmentVariable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
}
