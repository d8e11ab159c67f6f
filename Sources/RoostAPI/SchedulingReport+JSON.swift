internal import Dispatching
internal import Domain
internal import JSON
internal import Scheduling

extension SchedulingReport {
    var json: JSONValue {
        [
            "Pools": .array(pools.map(\.json)),
            "Host": [
                "Workers": .integer(Int64(host.workers)), "WorkersMax": .integer(Int64(limits.workersMax)),
                "MemoryMegabytes": .integer(Int64(host.memoryMegabytes)),
                "MemoryMegabytesBudget": .integer(Int64(host.memoryMegabytesMax)),
                "MemoryMegabytesMax": .integer(Int64(limits.memoryMegabytesMax)),
                "StartsInFlight": .integer(Int64(host.startsInFlight)),
                "StartsInFlightMax": .integer(Int64(limits.startsInFlightMax)),
                "Queued": .integer(Int64(host.queued)),
                "PoolsWaitingForStart": .integer(Int64(host.poolsWaitingForStart)),
            ],
            "NextEviction": nextEviction?.json ?? .null,
        ]
    }
}

extension SchedulingReport.NextEviction {
    var json: JSONValue {
        [
            "FunctionName": .string(function.text), "Version": .string(version.description),
            "Worker": .integer(Int64(status.worker.value)), "IdleSeconds": .real(idleSeconds),
            "Training": .bool(status.isTraining), "Priority": .real(status.priority), "Clock": .real(status.clock),
            "UsesPerDay": .real(status.uses), "ColdCostSeconds": .real(status.coldCostSeconds),
            "MemoryMegabytes": .integer(Int64(status.memoryMegabytes)),
        ]
    }
}

extension PoolReport {
    var json: JSONValue {
        var document: JSONObject = [
            "FunctionName": .string(function.text), "Version": .string(version.description),
            "Queued": .integer(Int64(status.queued)), "Running": .integer(Int64(status.running)),
            "Starting": .integer(Int64(status.starting)), "Idle": .integer(Int64(status.idle)),
            "Busy": .integer(Int64(status.busy)), "Stopping": .integer(Int64(status.stopping)),
            "Draining": .bool(status.isDraining),
            "MemoryMegabytes": .integer(workers.reduce(0) { $0 + Int64($1.status.memoryMegabytes) }),
            "DeclaredMegabytes": .integer(Int64(status.settings.memoryMegabytes)),
            "Workers": .array(workers.map(\.json)),
        ]
        if status.provisioned > 0 { document["Provisioned"] = .integer(Int64(status.provisioned)) }
        if let execution { document["Execution"] = .string(execution.text) }
        return .object(document)
    }
}

extension PoolReport.Worker {
    var json: JSONValue {
        let state =
            switch status.state {
            case .starting: "starting"
            case .idle: "idle"
            case .busy: "busy"
            case .draining, .stopping: "stopping"
            }
        var document: JSONObject = [
            "Id": .integer(Int64(status.id.value)),
            "ProcessId": processIdentifier.map { .integer(Int64($0)) } ?? .null, "State": .string(state),
            "SinceSeconds": .real(sinceSeconds), "AgeSeconds": .real(ageSeconds),
            "Cause": .string(status.cause.rawValue), "MemoryMegabytes": .integer(Int64(status.memoryMegabytes)),
            "Measured": .bool(status.isMeasured),
        ]
        if status.isKept { document["Provisioned"] = true }
        return .object(document)
    }
}
