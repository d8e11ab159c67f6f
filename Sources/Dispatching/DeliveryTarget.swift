package import Artifacts
package import Domain
package import Signing

/// A place outside of this host's functions that is told of executions' ends. Only the host's configuration makes one.
package struct DeliveryTarget: Sendable {
    package enum Place: Sendable {
        /// Each delivery becomes a file `NAME.json`, where the name is the delivery's.
        case directory(SpoolDirectory)
        case webhook(Webhook)
    }

    /// Each delivery is a POST of its document, signed as Standard Webhooks has it, with the delivery's name as its id. An
    /// answer of 200 to 299 says that it has come.
    package struct Webhook: Sendable {
        package var url: String
        package var secret: WebhookSecret
        /// PEM file of the certificates that are trusted in place of the system's.
        package var caFile: String?
        /// Of one try.
        package var timeout: Interval

        package init(url: String, secret: WebhookSecret, caFile: String? = nil, timeout: Interval) {
            self.url = url
            self.secret = secret
            self.caFile = caFile
            self.timeout = timeout
        }
    }

    package let name: TargetARN
    package let place: Place

    package init(name: TargetARN, place: Place) {
        self.name = name
        self.place = place
    }
}
