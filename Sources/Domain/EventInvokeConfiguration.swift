/// What becomes of the asynchronous invocations of a function that name one qualifier. Nothing is inherited: an alias,
/// the version it points to and `$LATEST` each have their own, or none.
package struct EventInvokeConfiguration: Equatable, Sendable {
    /// Who hears of an execution's end.
    package struct Destination: Equatable, Sendable {
        package enum Receiver: Equatable, Sendable {
            /// Another function of this host, which is invoked with a record of it; the qualifier is `nil` when unqualified.
            case function(FunctionName, Qualifier?)
            /// A place that the host's configuration names, which gets the record.
            case target(TargetARN)
        }

        /// As the client wrote it.
        package let text: String
        package let receiver: Receiver

        package init(text: String, _ receiver: Receiver) {
            self.text = text
            self.receiver = receiver
        }
    }

    /// As invoked; `$LATEST` for invocations that name none.
    package let qualifier: Qualifier
    /// Attempts after the first, 0 to 2; `nil` leaves it to the host.
    package var retriesMax: Int?
    /// From acceptance to the start of the last attempt, 60 to 21600; `nil` is `ageSecondsDefault`.
    package var ageSecondsMax: Int?
    package var onSuccess: Destination?
    package var onFailure: Destination?
    package var modifiedAt: Timestamp

    package static let ageSecondsDefault = 21_600

    package init(
        qualifier: Qualifier, retriesMax: Int? = nil, ageSecondsMax: Int? = nil, onSuccess: Destination? = nil,
        onFailure: Destination? = nil, modifiedAt: Timestamp
    ) {
        self.qualifier = qualifier
        self.retriesMax = retriesMax
        self.ageSecondsMax = ageSecondsMax
        self.onSuccess = onSuccess
        self.onFailure = onFailure
        self.modifiedAt = modifiedAt
    }
}
