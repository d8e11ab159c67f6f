/// What a connection tells about its requests. Every call comes on the loop's thread, in this order for each request: head,
/// body (any number of times), ended; or aborted in place of what is missing. The answer may be given in any of these
/// calls or later; a call that follows the end of the answer does not come.
package protocol HTTPConnectionDelegate: AnyObject {
    /// The head is in `connection.request`. Here the delegate may set `bodyBytesMax` and `collectsBody`, or answer at once.
    func requestHeadReceived(_ connection: HTTPConnection)
    /// The next bytes of the body, valid until the call returns.
    func requestBodyReceived(_ connection: HTTPConnection, _ bytes: UnsafeRawBufferPointer)
    /// The request is whole.
    func requestEnded(_ connection: HTTPConnection)
    /// The exchange breaks off. For `.refused` the delegate may still answer, in this call only; if it does not, and no
    /// answer was begun, the connection answers for it.
    func requestAborted(_ connection: HTTPConnection, _ reason: HTTPAbort)
    /// A head was not acceptable, and the connection has answered so. No request was begun.
    func headRefused(_ connection: HTTPConnection, _ refusal: HTTPRefusal)
    /// Adds fields to an answer that the connection or the server gives for the delegate, with this status.
    func addFields(to headers: HTTPHeaderWriter, ofRefusal status: Int)
    /// The last call. The connection is closed already.
    func connectionClosed(_ connection: HTTPConnection)
}

extension HTTPConnectionDelegate {
    package func requestBodyReceived(_ connection: HTTPConnection, _ bytes: UnsafeRawBufferPointer) {}
    package func requestAborted(_ connection: HTTPConnection, _ reason: HTTPAbort) {}
    package func headRefused(_ connection: HTTPConnection, _ refusal: HTTPRefusal) {}
    package func addFields(to headers: HTTPHeaderWriter, ofRefusal status: Int) {}
    package func connectionClosed(_ connection: HTTPConnection) {}
}

/// Why an exchange broke off after its head and before the end of its answer.
package enum HTTPAbort: Equatable, Sendable {
    /// The client ended its side, or the network failed.
    case disconnected
    /// The client took nothing of the answer for too long, or the delegate wrote on when told to stop.
    case notReading
    /// The rest of the request is not acceptable: too large, too slow, or badly framed.
    case refused(HTTPRefusal)
    /// Cut off by us: the drain ran out of time, or the owner closed the connection.
    case shutDown
}
