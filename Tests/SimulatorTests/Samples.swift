import Domain
import Scheduling

@testable import Simulator

/// One invocation of a trace, in seconds.
struct Call {
    var function = 0
    var at: Double
    var runs: Double = 1
    var coldStart: Double = 1
}

/// A trace whose functions have these megabytes.
func trace(_ calls: [Call], memory: [Int] = [1024]) -> Trace {
    Trace(
        functions: memory.enumerated().map { Trace.Function(name: "f\($0.offset)", memoryMegabytes: $0.element) },
        invocations: calls.map {
            Trace.Invocation(
                arrival: .seconds($0.at), function: $0.function, duration: .seconds($0.runs),
                coldStart: .seconds($0.coldStart))
        })
}

/// Workers that are told to stop are gone at once, unless the test says otherwise.
func simulate(_ trace: Trace, _ change: (inout Simulation.Settings) -> Void = { _ in }) -> SimulationReport {
    var settings = Simulation.Settings()
    settings.exitTime = .zero
    change(&settings)
    return Simulation.run(trace, settings)
}

extension CauseCounts {
    /// Those that occurred.
    var text: String {
        StartCause.allCases.filter { self[$0] > 0 }.map { "\($0) \(self[$0])" }.joined(separator: ", ")
    }
}

extension WorkerTime {
    var seconds: Double { (hours * 3600 * 1e6).rounded() / 1e6 }
    var gigabyteSeconds: Double { (gigabyteHours * 3600 * 1e6).rounded() / 1e6 }
}
