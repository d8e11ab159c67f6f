package import Domain

/// One step of a commit. The host has decided it in memory; the registry only refuses what would break its own rules.
package enum Change: Sendable {
    /// Inserts or updates, `$LATEST` included. Raises the name's version counter to `lastPublished`, never lowers it.
    case putFunction(Function)
    /// With its versions and aliases. Its executions, its aliases' history and the name's version counter stay.
    case deleteFunction(Function.ID)
    /// Inserts a published version, and raises the name's version counter to its number. An existing number is refused.
    case putVersion(Function.ID, Version)
    /// Refused while an alias points to it.
    case deleteVersion(Function.ID, Int)
    /// Inserts or updates. `AliasChange.sequence` is ignored and given by the registry.
    case putAlias(Function.ID, Alias, AliasChange)
    case deleteAlias(Function.ID, AliasName, AliasChange)
    /// Inserts or updates, by its qualifier. It goes with its function, version or alias.
    case putEventInvokeConfiguration(Function.ID, EventInvokeConfiguration)
    /// One that is not there is no error.
    case deleteEventInvokeConfiguration(Function.ID, Qualifier)
    /// Inserts or updates, by its qualifier. It goes with its function, version or alias.
    case putProvisionedConcurrency(Function.ID, ProvisionedConcurrency)
    /// One that is not there is no error.
    case deleteProvisionedConcurrency(Function.ID, Qualifier)
    /// Refused when an execution has the same retry key, or one of the function the same name, and when a channel is a
    /// version of a dataset that was removed. That is not asked of an execution that a destination made (`chainDepth`):
    /// it is committed with another's end, which must not fail for it.
    case addExecution(Execution)
    /// Writes what is `var` in `Execution`, by its id. Refused when the stored one has ended: that makes its end, and all
    /// that is committed with it, happen once.
    case updateExecution(Execution)
    /// Appends. `ExecutionEvent.sequence` is ignored and given by the registry. Allowed after the execution's end.
    case addEvents(Execution.ID, [ExecutionEvent])
    /// Deletes executions that ended before a time, with their history: those that ended first, at most so many.
    case deleteEndedExecutions(before: Timestamp, limit: Int)
    /// With its events.
    case deleteExecution(Execution.ID)
    /// Appends what a target is to be told. `Delivery.sequence` is ignored and given by the registry.
    case addDelivery(Delivery, document: [UInt8])
    /// Writes `failures` and `notBefore`, by its sequence number. One that is not there is no error.
    case postponeDelivery(Delivery)
    /// Removes it, and appends the event to its execution, if that is still there.
    case endDelivery(Delivery, ExecutionEvent)
    /// Inserts. An existing number is refused.
    case addDatasetVersion(DatasetVersion)
    /// Removes a version of a dataset, or all of them; their rows stay, with the time. Refused when an execution that has not
    /// ended has one of them as a channel. One that is not there is no error.
    case removeDataset(DatasetReference, at: Timestamp)
    /// Appends. `AuditEntry.sequence` is ignored and given by the registry, which keeps the newest 1,000,000.
    case addAudit(AuditEntry)
}
