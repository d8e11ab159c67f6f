package import Dispatching
package import Domain
package import JSON
package import Management

/// What an invocation is, as its head says it; made before its body arrives.
package struct InvokePlan {
    package enum Kind: String, Sendable, CaseIterable {
        case requestResponse = "RequestResponse"
        case event = "Event"
        case dryRun = "DryRun"
    }

    /// The operation that asked for it; they differ in the form of the answer.
    package enum Form: Sendable {
        case buffered
        /// `InvokeWithResponseStream`.
        case stream
        /// The older `InvokeAsync`.
        case async
    }

    package let kind: Kind
    package let form: Form
    /// The version that it runs, drawn once.
    package let route: Catalog.Route
    package let qualifier: Qualifier?
    package let wantsLogTail: Bool
    /// Decoded.
    package let clientContext: [UInt8]?
    package let executionName: ExecutionName?
    /// Of an event: as in `Execution`.
    package let priority: Int
    package let traceID: String
    package let bodyBytesMax: Int
    /// What to answer when the body is in order: faults of the head that come after those of the body.
    package let lateRefusal: WireError?

    /// For a body that is longer than `bodyBytesMax`, with its length as far as it is known.
    package func tooLarge(_ bytes: Int) -> WireError {
        Self.tooLarge(bytes, kind == .event ? .event : .requestResponse, limit: bodyBytesMax)
    }

    static func tooLarge(_ bytes: Int, _ type: Kind, limit: Int) -> WireError {
        WireError(
            .requestTooLarge,
            "\(bytes) byte payload is too large for the \(type.rawValue) invocation type (limit \(limit) bytes)")
    }

    /// For a body that is no JSON.
    package func notJSON(_ error: JSONSyntaxError) -> WireError {
        WireError(
            .invalidRequestContent,
            "Could not parse request body into json: Could not parse payload into json: \(error)")
    }

    /// The invocation, once its body was found to be JSON. No body is the event `{}`.
    package func request(id: String, payload: [UInt8], stream: ResponseStream? = nil) -> InvocationRequest {
        InvocationRequest(
            route: route, qualifier: qualifier, requestID: id, payload: Self.event(payload),
            clientContext: clientContext, wantsLogTail: wantsLogTail, traceID: traceID, stream: stream)
    }

    static func event(_ payload: [UInt8]) -> [UInt8] { payload.isEmpty ? Array("{}".utf8) : payload }
}
