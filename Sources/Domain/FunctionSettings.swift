/// The settings of a function that the Lambda API has no field for.
///
/// Their durable form is environment variables named `ROOST_...`, so that any client can set them; `init(environment:)`
/// reads them, and refuses a name it does not know.
package struct FunctionSettings: Equatable, Sendable {
    /// When an idle worker is stopped.
    package enum KeepAlive: Equatable, Sendable {
        /// The host chooses.
        case learned
        /// Counted from the end of the worker's last invocation; 0 stops it as soon as it is idle.
        case seconds(Double)
    }

    /// `ROOST_KEEP_ALIVE`: `learned` or seconds, 0 to 86400.
    package var keepAlive: KeepAlive = .learned
    /// `ROOST_INIT_TIMEOUT`: from the start of the process to its first `next`, in seconds, 1 to 3600.
    package var initTimeoutSeconds = 30
    /// `ROOST_WORKER_CONCURRENCY`: invocations one worker takes at once, 1 to 64.
    package var workerConcurrency = 1
    /// `ROOST_NETWORK`: `true` gives workers the host's network; else they have a loopback of their own.
    package var isNetworkAllowed = false
    /// `ROOST_TRAINS`: the function that a successful execution of this one publishes a version of.
    package var trains: FunctionName?
    /// `ROOST_METRICS`: what to look for in the output of a training script. Lines `NAME=REGEX`; default none.
    package var metrics: [MetricDefinition] = []

    package init() {}

    package static let prefix = "ROOST_"
    package static let names = [
        "ROOST_KEEP_ALIVE", "ROOST_INIT_TIMEOUT", "ROOST_WORKER_CONCURRENCY", "ROOST_NETWORK", "ROOST_TRAINS",
        "ROOST_METRICS",
    ]

    /// Why an environment cannot be taken; the text names the variable, its value and what is allowed.
    package struct Invalid: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    package init(environment: [String: String]) throws(Invalid) {
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix(Self.prefix) {
            switch name {
            case "ROOST_KEEP_ALIVE":
                if value == "learned" {
                    keepAlive = .learned
                } else if let seconds = Double(value), (0...86400).contains(seconds) {
                    keepAlive = .seconds(seconds)
                } else {
                    throw Invalid(description: "\(name) is '\(value)'; allowed are 'learned' and 0 to 86400 seconds")
                }
            case "ROOST_INIT_TIMEOUT":
                initTimeoutSeconds = try Self.integer(name, value, in: 1...3600)
            case "ROOST_WORKER_CONCURRENCY":
                workerConcurrency = try Self.integer(name, value, in: 1...64)
            case "ROOST_NETWORK":
                guard value == "true" || value == "false" else {
                    throw Invalid(description: "\(name) is '\(value)'; allowed are 'true' and 'false'")
                }
                isNetworkAllowed = value == "true"
            case "ROOST_TRAINS":
                guard let function = FunctionName(value) else {
                    throw Invalid(description: "\(name) is '\(value)', which is not a function name")
                }
                trains = function
            case "ROOST_METRICS":
                metrics = try MetricDefinition.list(value)
            default:
                throw Invalid(
                    description: "\(name) is no setting of a function; there are \(Self.names.joined(separator: ", "))")
            }
        }
    }

    private static func integer(_ name: String, _ value: String, in range: ClosedRange<Int>) throws(Invalid) -> Int {
        guard let number = Int(value), range.contains(number) else {
            throw Invalid(
                description:
                    "\(name) is '\(value)'; allowed is a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
