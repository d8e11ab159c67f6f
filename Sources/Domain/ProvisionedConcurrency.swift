/// Invocations for which a version or an alias has workers ready before anybody calls.
package struct ProvisionedConcurrency: Equatable, Sendable {
    /// A published version, or an alias: then they are of the version that it points to, and follow it.
    package let qualifier: Qualifier
    /// Invocations at once, 1 or more; a worker with several slots counts for as many.
    package var requested: Int
    package var modifiedAt: Timestamp

    package init(qualifier: Qualifier, requested: Int, modifiedAt: Timestamp) {
        self.qualifier = qualifier
        self.requested = requested
        self.modifiedAt = modifiedAt
    }
}
