package import Domain

/// All that routing needs, as read at start.
package struct Snapshot: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        package var function: Function
        /// Published versions, ascending. `$LATEST` is in `function`.
        package var versions: [Version]
        /// By name, ascending.
        package var aliases: [Alias]
        package var eventInvokeConfigurations: [EventInvokeConfiguration] = []
        package var provisionedConcurrency: [ProvisionedConcurrency] = []
    }

    /// By id, ascending.
    package var functions: [Entry]
    /// The highest version number ever published under each name, deleted functions included.
    package var versionCounters: [FunctionName: Int]
    /// The highest function id ever stored, 0 before the first. Ids are never reused, so the next is one more.
    package var functionIDMax: Int64
}
