package import Domain
package import Scheduling

/// Something that the scheduler decided or that happened to a worker, for `roost ps --events`.
package struct HostEvent: Sendable {
    package enum Kind: Sendable {
        case started(StartCause)
        /// - Parameter coldStart: from the start until its init was done.
        case ready(coldStart: Interval)
        /// - Parameter for: whose start needs the room; `nil` when it is nobody's.
        case stopped(reason: String, for: Pool?)
        /// It ended by itself, or was killed for what it did; the text says how.
        case crashed(String)
        case initFailed(String)
        /// Memory pressure lowered what workers may take together, or its end raised it.
        case memoryBudget(megabytes: Int, before: Int)
    }

    /// What the workers of a pool run.
    package struct Pool: Equatable, Sendable {
        package let function: FunctionName
        package let version: VersionNumber

        package init(function: FunctionName, version: VersionNumber) {
            self.function = function
            self.version = version
        }
    }

    /// Ascending, from 1.
    package let sequence: UInt64
    package let at: Timestamp
    package let kind: Kind
    /// Of whose worker; `nil` for the host's own events, as is `worker`.
    package let pool: Pool?
    package let worker: UInt64?
}

/// The newest events; older ones are overwritten.
package struct EventRing {
    package static let capacity = 1000

    private var events: [HostEvent] = []
    private var count: UInt64 = 0

    package init() {}

    package mutating func append(
        _ kind: HostEvent.Kind, of pool: HostEvent.Pool? = nil, worker: UInt64? = nil, at: Timestamp
    ) {
        let event = HostEvent(sequence: count + 1, at: at, kind: kind, pool: pool, worker: worker)
        if events.count < Self.capacity {
            events.append(event)
        } else {
            events[Int(count % UInt64(Self.capacity))] = event
        }
        count += 1
    }

    /// The newest at the end.
    package func newest(_ limit: Int) -> [HostEvent] {
        let oldest = events.count < Self.capacity ? 0 : Int(count % UInt64(Self.capacity))
        return Array((events[oldest...] + events[..<oldest]).suffix(limit))
    }
}

extension StopReason {
    /// For people.
    var text: String {
        switch self {
        case .keepAlivePassed: "keep-alive passed"
        case .evicted: "evicted"
        case .overBudget: "evicted, over the memory budget"
        case .yielded: "gave way"
        case .reservedConcurrencyLowered: "reserved concurrency lowered"
        case .poolDrained: "not needed any more"
        case .shutdown: "shutdown"
        }
    }

    /// For whose start.
    var beneficiary: PoolID? {
        switch self {
        case .evicted(let pool), .yielded(let pool): pool
        case .keepAlivePassed, .overBudget, .reservedConcurrencyLowered, .poolDrained, .shutdown: nil
        }
    }
}
