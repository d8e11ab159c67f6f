internal import Domain

/// One attempt of an execution, as the dispatcher runs it.
struct ExecutionStart {
    let id: Execution.ID
    let attempt: Int
    let functionARN: String
    let payload: [UInt8]
    /// What a training gets besides its event; `nil` for a plain asynchronous invocation.
    let training: Training?

    struct Training {
        let channels: [Execution.Channel]
        /// The base version's model; `nil` when it has none.
        let model: Digest?
    }
}
