import Signing
import Simulator

/// Why a verb could not do what it was asked.
enum CommandError: Error {
    /// The command line cannot mean anything: exit status 2.
    case usage(String)
    /// No answer came from the host.
    case unreachable(endpoint: String, reason: String)
    /// The connection broke before the answer was complete; whether the request took effect is unknown.
    case interrupted(endpoint: String, reason: String)
    /// The host answered with an error.
    case refused(status: Int, type: String, message: String)
    /// The host answered with something that this command does not understand.
    case badAnswer(request: String, reason: String)
    /// The function ran and failed; what it answered has been printed.
    case functionFailed(type: String?, message: String?)
    /// A followed execution ended otherwise than SUCCEEDED.
    case executionEnded(status: String, reason: String?)
    /// What is wrong with a folder to be deployed or uploaded.
    case folder(path: String, reason: String)
    case io(path: String, operation: String, errno: Int32)
    /// A program that a verb needs is missing or failed; `output` is what it printed.
    case program(name: String, reason: String, output: [UInt8])
    /// The file with the access keys.
    case keys(KeyFileError)
    /// A file that should be a trace.
    case trace(path: String, TraceError)
    /// The host has run nothing that could be replayed.
    case emptyHistory
    /// Everything that could be said has been printed.
    case failed
    /// The host could not start, or ended for a reason.
    case hostFailed(String)

    var exitStatus: Int32 {
        switch self {
        case .usage: 2
        case .unreachable, .interrupted, .refused, .badAnswer, .functionFailed, .executionEnded, .folder, .io, .program,
            .keys, .trace, .emptyHistory, .failed, .hostFailed:
            1
        }
    }

    /// One line or more for the standard error stream; nil when there is nothing left to say.
    var message: String? {
        switch self {
        case .usage(let text): text
        case .unreachable(let endpoint, let reason):
            "no host answers at \(endpoint): \(reason); start one with 'roost serve', or name one with --endpoint"
        case .interrupted(let endpoint, let reason): "the connection to the host at \(endpoint) broke: \(reason)"
        case .refused(let status, let type, let message): "\(message) (\(type), HTTP \(status))"
        case .badAnswer(let request, let reason): "the host's answer to \(request) makes no sense: \(reason)"
        case .functionFailed(let type?, let message?): "the function failed: \(type): \(message)"
        case .functionFailed(let type, let message):
            (type ?? message).map { "the function failed: \($0)" } ?? "the function failed"
        case .executionEnded(let status, let reason?): "the execution ended as \(status): \(reason)"
        case .executionEnded(let status, nil): "the execution ended as \(status)"
        case .folder(let path, let reason): "\(path): \(reason)"
        case .io(let path, let operation, let errno): "\(path): \(operation): \(systemMessage(errno))"
        case .program(let name, let reason, let output):
            output.isEmpty
                ? "\(name): \(reason)" : String(decoding: output, as: UTF8.self) + "\n\(name): \(reason)"
        case .keys(let error): error.description
        case .trace(let path, let error): "\(path): \(printable(error.description))"
        case .emptyHistory: "nothing has run on this host in the last 30 days, so there is nothing to replay"
        case .failed: nil
        case .hostFailed(let reason): reason
        }
    }
}
