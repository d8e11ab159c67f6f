internal import Dispatching
internal import Domain
internal import JSON
internal import LambdaAPI
internal import Scheduling

extension HostEvent {
    /// `Event` names the kind; the members after it that it has depend on that.
    var json: JSONValue {
        var document: JSONObject = ["Sequence": .integer(Int64(sequence)), "At": at.json]
        switch kind {
        case .started(let cause):
            document["Event"] = "started"
            document["Cause"] = .string(cause.rawValue)
        case .ready(let coldStart):
            document["Event"] = "ready"
            document["ColdStartMilliseconds"] = .real(coldStart.milliseconds)
        case .stopped(let reason, let beneficiary):
            document["Event"] = "stopped"
            document["Reason"] = .string(reason)
            if let beneficiary { document["For"] = .string("\(beneficiary.function):\(beneficiary.version)") }
        case .crashed(let reason):
            document["Event"] = "crashed"
            document["Reason"] = .string(reason)
        case .initFailed(let reason):
            document["Event"] = "init failed"
            document["Reason"] = .string(reason)
        case .memoryBudget(let megabytes, let before):
            document["Event"] = "memory budget"
            document["Megabytes"] = .integer(Int64(megabytes))
            document["MegabytesBefore"] = .integer(Int64(before))
        }
        if let pool {
            document["FunctionName"] = .string(pool.function.text)
            document["Version"] = .string(pool.version.description)
        }
        if let worker { document["Worker"] = .integer(Int64(worker)) }
        return .object(document)
    }
}
