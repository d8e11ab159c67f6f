import Glibc
import JSON

/// Shows an execution on the error stream until it ends.
struct ExecutionFollower {
    /// A host may be restarted while a training runs, which then resumes; so for this long its silence is waited out.
    static let silenceMax = Duration.seconds(120)

    private let host: HostClient
    private let id: String
    private(set) var view = TrainingView()
    private var lastSequence: Int64 = 0

    init(host: HostClient, id: String) {
        self.host = host
        self.id = id
    }

    /// The execution as it ended; nil when the user pressed Ctrl-C before.
    mutating func run() throws(CommandError) -> JSONValue? {
        let status = StatusLine(isShown: Terminal.isErrorTerminal)
        Interrupt.watch()
        defer {
            Interrupt.unwatch()
            status.clear()
        }
        var lastAnswer = ContinuousClock.now
        var isSilent = false
        while !Interrupt.happened {
            do throws(CommandError) {
                // The state before the events: when it says "ended", the events that follow are complete.
                let execution = try host.json("GET", .roost("executions", id), timeout: .seconds(30))
                try showNewEvents(on: status)
                if ExecutionFollower.isEnded(execution) { return execution }
                lastAnswer = .now
                isSilent = false
            } catch {
                guard error.isSilence, ContinuousClock.now - lastAnswer < Self.silenceMax else { throw error }
                if !isSilent {
                    status.clear()
                    Terminal.complain("the host does not answer; waiting for it")
                }
                isSilent = true
            }
            if !isSilent { status.show(view.statusText(now: epochSeconds(), columns: Terminal.columns - 1)) }
            Interrupt.sleep(milliseconds: isSilent ? 1000 : 300)
        }
        return nil
    }

    private mutating func showNewEvents(on status: StatusLine) throws(CommandError) {
        while true {
            let path = RequestPath.roost(
                "executions", id, "events", query: [("after", String(lastSequence)), ("limit", "1000")])
            let events = try host.json("GET", path, timeout: .seconds(30))["Events"]?.arrayValue ?? []
            for event in events {
                lastSequence = max(lastSequence, event["Sequence"]?.integerValue ?? 0)
                let lines = view.take(
                    kind: event["Kind"]?.stringValue ?? "", at: event["At"]?.realValue ?? 0,
                    detail: event["Detail"] ?? .null)
                if !lines.isEmpty { status.clear() }
                for line in lines { Terminal.complain("  " + line) }
            }
            if events.count < 1000 { return }
        }
    }

    static func isEnded(_ execution: JSONValue) -> Bool {
        !["QUEUED", "RUNNING", "PAUSING", "PAUSED"].contains(execution["Status"]?.stringValue)
    }
}

extension CommandError {
    /// True when the host said nothing at all, as while it is restarted.
    fileprivate var isSilence: Bool {
        switch self {
        case .unreachable, .interrupted: true
        default: false
        }
    }
}

func epochSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// Ctrl-C, taken as a wish instead of an end.
enum Interrupt {
    // Written by the signal handler, read by the one thread there is.
    private nonisolated(unsafe) static var flag: sig_atomic_t = 0

    static var happened: Bool { flag != 0 }

    static func watch() {
        flag = 0
        signal(SIGINT) { _ in Interrupt.flag = 1 }
    }

    static func unwatch() { signal(SIGINT, SIG_DFL) }

    /// Ends early when Ctrl-C is pressed.
    static func sleep(milliseconds: Int) { poll(nil, 0, Int32(milliseconds)) }
}
