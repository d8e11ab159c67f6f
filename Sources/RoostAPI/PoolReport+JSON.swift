internal import Dispatching
internal import Domain
internal import JSON
internal import Scheduling

extension PoolReport {
    var json: JSONValue {
        var document: JSONObject = [
            "FunctionName": .string(function.text), "Version": .string(version.description),
            "Queued": .integer(Int64(status.queued)), "Running": .integer(Int64(status.running)),
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
            "SinceSeconds": .real(sinceSeconds),
        ]
        if status.isKept { document["Provisioned"] = true }
        return .object(document)
    }
}
