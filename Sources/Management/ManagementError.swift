package import Artifacts
package import Domain
package import Registry

/// Why a request about functions, versions, aliases or executions was refused. Each API gives these their wire form.
package enum ManagementError: Error, Sendable {
    /// Also when the function exists and the version or alias does not.
    case functionNotFound(FunctionName, Qualifier?)
    case functionExists(FunctionName)
    case versionNotFound(FunctionName, VersionNumber)
    case aliasNotFound(FunctionName, AliasName)
    case aliasExists(FunctionName, AliasName)
    /// The qualifier of the function has no `EventInvokeConfiguration`.
    case noEventInvokeConfiguration(FunctionName, Qualifier)
    case executionNotFound(String)
    /// There is no such dataset, or it has no version of that number.
    case datasetNotFound(DatasetReference)
    /// It was there; of a dataset without a number, all of its versions.
    case datasetRemoved(DatasetReference)
    /// Things are in a state in which this cannot be done; the text says which.
    case conflict(String)
    /// The name was used for another payload.
    case executionExists(ExecutionName)
    case versionInUse(FunctionName, Int, by: AliasName)
    case latestCannotBeDeleted
    case revisionMismatch
    case codeDigestMismatch(given: String, current: String)
    /// A value that cannot be taken; the text says which, why, and what is allowed.
    case invalid(String)
    case artifact(ArtifactError)
    case registry(RegistryError)
    /// There is no alias change left to undo; nothing was changed.
    case nothingToRollBack(FunctionName, AliasName)
    /// Too many management requests wait for each other.
    case overloaded(limit: Int)
}

extension ManagementError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .functionNotFound(let name, let qualifier): "Function not found: \(ARN.function(name, qualifier))"
        case .functionExists(let name): "Function already exist: \(name)"
        case .versionNotFound(let name, let version):
            "Function not found: \(ARN.function(name, .version(version)))"
        case .aliasNotFound(let name, let alias): "Cannot find alias arn: \(ARN.function(name, .alias(alias)))"
        case .aliasExists(let name, let alias): "Alias already exists: \(ARN.function(name, .alias(alias)))"
        case .noEventInvokeConfiguration(let name, let qualifier):
            "The function \(ARN.function(name, qualifier)) doesn't have an EventInvokeConfig"
        case .conflict(let text): text
        case .executionNotFound(let id): "Execution not found: \(id)"
        case .datasetNotFound(let reference): "Dataset not found: \(reference)"
        case .datasetRemoved(let reference): "Dataset not found: \(reference) was removed"
        case .executionExists(let name):
            "The execution name '\(name)' was used before, for another event"
        case .versionInUse(let name, let version, let alias):
            "Version \(version) of \(name) is in use by its alias '\(alias)'"
        case .latestCannotBeDeleted: "$LATEST version cannot be deleted without deleting the function."
        case .revisionMismatch: "The revision id is not that of the latest update"
        case .codeDigestMismatch(let given, let current): "The code's SHA-256 is \(current), not \(given)"
        case .invalid(let text): text
        case .artifact(let error): "\(error)"
        case .registry(let error): "\(error)"
        case .nothingToRollBack(let name, let alias):
            "Alias '\(alias)' of \(name) has no earlier change to undo; nothing was changed"
        case .overloaded(let limit): "\(limit) requests are waiting already"
        }
    }
}
