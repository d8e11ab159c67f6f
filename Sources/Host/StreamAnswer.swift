internal import Dispatching
internal import Domain
internal import HTTP
internal import LambdaAPI

/// A streamed answer on its way to its client, each piece in a frame of its own. Lives on the loop.
///
/// A client that does not read makes the worker wait; one that goes away ends the stream.
final class StreamAnswer: StreamConsumer {
    private let plan: InvokePlan
    private let exchange: HTTPExchange
    private let lambda: LambdaAPI
    private let requestID: String
    private var hasBegun = false
    private(set) lazy var stream = ResponseStream(consumer: self)

    init(_ plan: InvokePlan, exchange: HTTPExchange, lambda: LambdaAPI, requestID: String) {
        self.plan = plan
        self.exchange = exchange
        self.lambda = lambda
        self.requestID = requestID
    }

    func streamBegan() {
        hasBegun = true
        exchange.begin(200) { headers in
            for (name, value) in lambda.streamHeaders(plan) { headers.add(name: name, value: value) }
            headers.add("x-amzn-RequestId", requestID)
        }
        if exchange.isOpen { exchange.connection.onDrain = { [unowned self] in stream.resume() } }
    }

    func streamReceived(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var frame: [UInt8] = []
        EventStream.appendPayloadChunk(bytes, to: &frame)
        // Without a client there is nothing to wait for: `clientLeft` has said so.
        return exchange.write(frame) || !exchange.isOpen
    }

    func ended(_ outcome: InvocationOutcome) {
        if case .refused(let refusal) = outcome.result {
            return exchange.respond(lambda.refusalResponse(refusal, outcome, plan), requestID: requestID)
        }
        let end = lambda.streamEnd(outcome, plan)
        if hasBegun {
            exchange.write(end)
            exchange.end()
        } else {
            exchange.respond(
                WireResponse(status: 200, headers: lambda.streamHeaders(plan), body: end), requestID: requestID)
        }
    }

    func clientLeft() { stream.abandon() }
}
