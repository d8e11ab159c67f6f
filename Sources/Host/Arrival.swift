internal import Crypto
internal import Domain
internal import HTTP
internal import JSON
internal import LambdaAPI
internal import RoostAPI

/// A request from its head to the end of its body: what it asks for, by whom, and what is gathered while it comes.
final class Arrival {
    enum AnyOperation {
        case lambda(Operation)
        case roost(RoostOperation)
    }

    enum Subject {
        case invocation(InvokePlan, Operation)
        case operation(AnyOperation, segments: [String], tooLarge: WireError)
        /// A fault of the head that only those learn who are who they say.
        case refused(WireError, Operation)
    }

    let subject: Subject
    let claim: AccessControl.Claim
    let requestID: String
    /// What the client's library calls this call; all its tries have it in common.
    let callID: String?
    /// The event of an invocation that becomes an execution.
    var payload: [UInt8] = []
    private var scanner = JSONScanner()
    private(set) var fault: JSONSyntaxError?
    /// Of the body, when a signature or a further try may have to be compared with it.
    private var hash: SHA256?

    init(_ subject: Subject, claim: AccessControl.Claim, requestID: String, request: HTTPRequest) {
        self.subject = subject
        self.claim = claim
        self.requestID = requestID
        callID = request.method == .get || request.method == .head ? nil : Self.callID(request)
        if claim.isSigned || callID != nil { hash = SHA256() }
    }

    private static func callID(_ request: HTTPRequest) -> String? {
        guard let text = request.headerText("amz-sdk-invocation-id"), (1...128).contains(text.utf8.count) else {
            return nil
        }
        return text
    }

    func receive(_ bytes: UnsafeRawBufferPointer) {
        hash?.update(bufferPointer: bytes)
        guard case .invocation = subject, fault == nil else { return }
        do throws(JSONSyntaxError) { try scanner.scan(bytes) } catch { fault = error }
    }

    /// Once: what waits for an execution's end must not hold its event.
    func takePayload() -> [UInt8] {
        var taken: [UInt8] = []
        swap(&taken, &payload)
        return taken
    }

    func finishScan() {
        guard fault == nil else { return }
        do throws(JSONSyntaxError) { try scanner.finish() } catch { fault = error }
    }

    var bodyDigest: Domain.Digest { Domain.Digest(bytes: Array((hash ?? SHA256()).finalize())) }

    /// - Parameter caller: who it was found to be.
    func retryKey(_ request: HTTPRequest, caller: String) -> RetryKey? {
        guard let callID else { return nil }
        var hash = SHA256()
        hash.update(data: Array("\(caller)\n\(callID)\n\(request.method.name) ".utf8))
        hash.update(bufferPointer: request.target)
        hash.update(data: Array("\n\(bodyDigest.hex)".utf8))
        return RetryKey(digest: Domain.Digest(bytes: Array(hash.finalize())))
    }
}
