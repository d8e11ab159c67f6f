internal import Domain

/// One attempt of an execution, as the dispatcher runs it.
struct ExecutionStart {
    /// What a training gets besides its event.
    struct Training {
        var channels: [Execution.Channel]
        /// The base version's model; `nil` when it has none.
        var model: Digest?
    }

    var id: Execution.ID
    /// From 1.
    var attempt: Int
    var request: InvocationRequest
    /// `nil` for a plain asynchronous invocation.
    var training: Training?
}
