package import Domain

/// Invocations of the past, or made up: what a simulation replays.
package struct Trace: Sendable {
    package struct Function: Equatable, Sendable {
        package let name: String
        /// What one worker of it counts for.
        package var memoryMegabytes: Int

        package init(name: String, memoryMegabytes: Int) {
            self.name = name
            self.memoryMegabytes = memoryMegabytes
        }
    }

    /// 24 bytes: a trace may have 50 million of them.
    package struct Invocation: Equatable, Sendable {
        package var arrivalNanoseconds: Int64
        package var durationNanoseconds: Int64
        /// Index into `Trace.functions`.
        package var function: UInt32
        /// How long a worker's start takes when this is the newest invocation of its function.
        package var coldStartMicroseconds: UInt32

        /// All within `Limit`.
        package init(arrival: Interval, function: Int, duration: Interval, coldStart: Interval) {
            arrivalNanoseconds = arrival.nanoseconds
            durationNanoseconds = duration.nanoseconds
            self.function = UInt32(function)
            coldStartMicroseconds = UInt32(coldStart.nanoseconds / 1000)
        }
    }

    package private(set) var functions: [Function]
    /// By arrival; those of one instant in the order in which they were given.
    package private(set) var invocations: [Invocation]

    /// - Parameter invocations: in any order.
    package init(functions: [Function], invocations: [Invocation]) {
        self.functions = functions
        self.invocations = invocations
        var isSorted = true
        for index in self.invocations.indices.dropFirst()
        where self.invocations[index].arrivalNanoseconds < self.invocations[index - 1].arrivalNanoseconds {
            isSorted = false
            break
        }
        // The library's sort is stable.
        if !isSorted { self.invocations.sort { $0.arrivalNanoseconds < $1.arrivalNanoseconds } }
    }

    /// The columns of a trace as a file, in the order in which they are written.
    package enum Column: String, CaseIterable, Sendable {
        case function
        case arrival = "arrival_seconds"
        case duration = "duration_seconds"
        case memory = "memory_mb"
        case coldStart = "cold_start_seconds"
    }

    package static let header = Column.allCases.map(\.rawValue).joined(separator: ",")

    /// What is refused beyond: together they keep every sum of the scheduler and of the simulation within 64 bits.
    package enum Limit {
        package static let rows = 50_000_000
        package static let functions = 100_000
        package static let lineBytes = 4096
        package static let nameBytes = 256
        /// Unix times are fine: the simulation counts from the first arrival.
        package static let arrivalSeconds = 4_000_000_000
        package static let spanDays = 366
        package static let durationSeconds = 1_000_000
        package static let coldStartSeconds = 3600
        package static let memoryMegabytes = 16_777_216
    }
}
