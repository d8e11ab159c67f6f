package import Domain
package import Management

/// One asynchronous invocation, as an API hands it in.
package struct ExecutionRequest {
    package var route: Catalog.Route
    /// As the client wrote it; `nil` when unqualified.
    package var qualifier: Qualifier?
    /// `nil` names the execution after its id.
    package var name: ExecutionName?
    /// The event's bytes, checked to be JSON.
    package var payload: [UInt8]
    package var caller: Caller
    /// What the tries of one client call have in common; `nil` when there is nothing that tells them.
    package var retryKey: String?
    /// As in `Execution`.
    package var priority: Int

    package init(
        route: Catalog.Route, qualifier: Qualifier?, name: ExecutionName?, payload: [UInt8], caller: Caller,
        retryKey: String? = nil, priority: Int = 0
    ) {
        self.route = route
        self.qualifier = qualifier
        self.name = name
        self.payload = payload
        self.caller = caller
        self.retryKey = retryKey
        self.priority = priority
    }
}
