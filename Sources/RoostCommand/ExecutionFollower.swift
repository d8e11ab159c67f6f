import ArgumentParser
import Glibc
import JSON

/// Shows an execution on the error stream until it ends.
struct ExecutionFollower {
    /// A host may be restarted while a training runs, which then resumes; so for this long its silence is waited out.
    static let silenceMax = Duration.seconds(120)

    private let host: HostClient
    private let id: String
    private(set) var view: TrainingView
    private var lastSequence: Int64 = 0

    /// - Parameter plot: the metric whose curve is drawn; nil chooses one.
    init(host: HostClient, id: String, plot: String?) {
        view = TrainingView(plot: plot)
        self.host = host
        self.id = id
    }

    /// The execution as it ended; nil when the user pressed Ctrl-C before.
    mutating func run() throws(CommandError) -> JSONValue? {
        let status = StatusLine(isShown: Terminal.isErrorTerminal)
        let style = TextStyle.ofTerminal(environmentVariable)
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
            if !isSilent {
                status.show(
                    view.screen(
                        now: epochSeconds(), columns: Terminal.columns - 1, rows: Terminal.rows, style: style))
            }
            Interrupt.sleep(milliseconds: isSilent ? 1000 : 300)
        }
        return nil
    }

    private mutating func showNewEvents(on status: StatusLine) throws(CommandError) {
        lastSequence = try host.eachEvent(of: id, after: lastSequence) { kind, at, detail in
            let lines = view.take(kind: kind, at: at, detail: detail)
            if !lines.isEmpty { status.clear() }
            for line in lines { Terminal.complain("  " + line) }
        }
    }

    static func isEnded(_ execution: JSONValue) -> Bool {
        !["QUEUED", "RUNNING", "PAUSING", "PAUSED"].contains(execution["Status"]?.stringValue)
    }
}

extension HostClient {
    /// Calls `take` with the kind, time and detail of each event of an execution that follows `sequence`, page by page.
    ///
    /// - Returns: the sequence number of the last.
    func eachEvent(
        of id: String, after sequence: Int64 = 0, take: (String, Double, JSONValue) -> Void
    ) throws(CommandError) -> Int64 {
        var last = sequence
        while true {
            let path = RequestPath.roost(
                "executions", id, "events", query: [("after", String(last)), ("limit", "1000")])
            let events = try json("GET", path, timeout: .seconds(30))["Events"]?.arrayValue ?? []
            for event in events {
                last = max(last, event["Sequence"]?.integerValue ?? 0)
                take(event["Kind"]?.stringValue ?? "", event["At"]?.realValue ?? 0, event["Detail"] ?? .null)
            }
            if events.count < 1000 { return last }
        }
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

/// What one may say of how an execution is shown while it is followed.
struct PlotOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The metric whose curve is drawn on a terminal. Default: loss, or the first that ends in it.",
            valueName: "metric"))
    var plot: String?
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
