package import Domain

/// Why the registry could not do what it was asked. Nothing of a refused commit is stored.
package enum RegistryError: Error, Equatable, Sendable {
    /// A rule that a change would have broken.
    package enum Conflict: Equatable, Sendable {
        /// Another function has this name.
        case functionName(FunctionName)
        case versionNumber(Function.ID, Int)
        /// An alias points to the version.
        case versionInUse(Function.ID, Int)
        /// The alias points to a version that is not there.
        case aliasTarget(Function.ID, AliasName)
        /// The function has an execution of this name; read it with `execution(function:name:)`.
        case executionName(Function.ID, ExecutionName)
        case executionID(Execution.ID)
        /// Another try of the same call made an execution; read it with `execution(retryKey:)`.
        case executionRetry(String)
        case datasetVersion(DatasetName, Int)
        /// A channel of the execution, which has not ended.
        case datasetInUse(DatasetReference, by: Execution.ID)
        case datasetRemoved(DatasetReference)
    }

    /// What a change named and the registry does not have.
    package enum Missing: Equatable, Sendable {
        case function(Function.ID)
        case version(Function.ID, Int)
        case alias(Function.ID, AliasName)
        case execution(Execution.ID)
    }

    case conflict(Conflict)
    case missing(Missing)
    /// The stored execution has ended and can no longer change.
    case executionEnded(Execution.ID)
    /// As many commits as allowed are waiting for the disk. A retry helps when it has caught up.
    case overloaded(limit: Int)
    /// Another process serves this directory; `pid` is `nil` when it left no legible trace.
    case dataDirectoryInUse(path: String, pid: Int32?)
    /// The database was written by a newer Roost. `unknown` names the migrations that this one does not have.
    case newerDatabase(path: String, unknown: [String])
    /// A retry helps when there is space again.
    case diskFull(detail: String)
    /// The file is no database, or holds what no Roost writes.
    case corrupt(detail: String)
    case io(detail: String)
    /// The registry was closed before the commit was taken up.
    case closed
}

extension RegistryError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .conflict(.functionName(let name)): "a function named '\(name)' exists"
        case .conflict(.versionNumber(let id, let number)): "function \(id.value) has a version \(number)"
        case .conflict(.versionInUse(let id, let number)):
            "version \(number) of function \(id.value) is in use by an alias"
        case .conflict(.aliasTarget(let id, let alias)):
            "alias '\(alias)' of function \(id.value) would point to a version that does not exist"
        case .conflict(.executionName(let id, let name)): "function \(id.value) has an execution named '\(name)'"
        case .conflict(.executionID(let id)): "an execution with the id \(id) exists"
        case .conflict(.executionRetry(let key)): "an earlier try of call \(key) made an execution"
        case .conflict(.datasetVersion(let name, let number)): "dataset '\(name)' has a version \(number)"
        case .conflict(.datasetInUse(let dataset, let id)): "\(dataset) is a channel of execution \(id)"
        case .conflict(.datasetRemoved(let dataset)): "\(dataset) was removed"
        case .missing(.function(let id)): "there is no function \(id.value)"
        case .missing(.version(let id, let number)): "function \(id.value) has no version \(number)"
        case .missing(.alias(let id, let alias)): "function \(id.value) has no alias '\(alias)'"
        case .missing(.execution(let id)): "there is no execution \(id)"
        case .executionEnded(let id): "execution \(id) has ended"
        case .overloaded(let limit): "\(limit) commits are waiting for the disk"
        case .dataDirectoryInUse(let path, let pid):
            "the data directory \(path) is in use by another process" + (pid.map { " (pid \($0))" } ?? "")
        case .newerDatabase(let path, let unknown):
            "\(path) was written by a newer Roost (migrations \(unknown.joined(separator: ", ")))"
        case .diskFull(let detail): "the disk is full: \(detail)"
        case .corrupt(let detail): "the registry is corrupt: \(detail)"
        case .io(let detail): "the registry cannot be read or written: \(detail)"
        case .closed: "the registry is closed"
        }
    }
}
