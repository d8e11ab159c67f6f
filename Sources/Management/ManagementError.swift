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
    case executionNotFound(String)
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
