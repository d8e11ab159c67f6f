package import Domain
internal import Registry

extension Management {
    /// Replaces the configuration of a qualifier, `$LATEST` for invocations that name none.
    package func putEventInvokeConfiguration(
        _ name: FunctionName, _ configuration: EventInvokeConfiguration, by caller: Caller
    ) async throws(ManagementError) -> EventInvokeConfiguration {
        let qualifier = configuration.qualifier
        return try await perform(
            "PutFunctionEventInvokeConfig", name, subject: qualifier.description, by: caller
        ) { () async throws(ManagementError) -> ([Change], EventInvokeConfiguration) in
            let entry = try catalog.entry(name)
            guard entry.has(qualifier) else { throw .functionNotFound(name, qualifier) }
            var new = configuration
            new.modifiedAt = now
            return ([.putEventInvokeConfiguration(entry.function.id, new)], new)
        }
    }

    /// - Parameter transform: makes the new configuration from the current one.
    package func updateEventInvokeConfiguration(
        _ name: FunctionName, _ qualifier: Qualifier, by caller: Caller,
        _ transform: (inout EventInvokeConfiguration) -> Void
    ) async throws(ManagementError) -> EventInvokeConfiguration {
        try await perform("UpdateFunctionEventInvokeConfig", name, subject: qualifier.description, by: caller) {
            () async throws(ManagementError) -> ([Change], EventInvokeConfiguration) in
            let entry = try catalog.entry(name)
            guard var new = entry.eventInvokeConfigurations[qualifier] else {
                throw .noEventInvokeConfiguration(name, qualifier)
            }
            transform(&new)
            new.modifiedAt = now
            return ([.putEventInvokeConfiguration(entry.function.id, new)], new)
        }
    }

    package func deleteEventInvokeConfiguration(
        _ name: FunctionName, _ qualifier: Qualifier, by caller: Caller
    ) async throws(ManagementError) {
        try await perform("DeleteFunctionEventInvokeConfig", name, subject: qualifier.description, by: caller) {
            () async throws(ManagementError) -> ([Change], Void) in
            guard let entry = catalog.entries[name], entry.eventInvokeConfigurations[qualifier] != nil else {
                throw .noEventInvokeConfiguration(name, qualifier)
            }
            return ([.deleteEventInvokeConfiguration(entry.function.id, qualifier)], ())
        }
    }
}
