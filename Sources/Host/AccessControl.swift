internal import Domain
internal import HTTP
internal import LambdaAPI
internal import Loop
internal import Signing

/// Who is let in: holders of the keys in the key file, or, while there are none, everybody on this machine. Lives on the
/// loop.
///
/// The file is looked at once a second at the most, when a request comes; a changed one counts from the next request on.
/// A host that has had keys lets nobody in when the last one goes: removing a key never gives rights.
final class AccessControl {
    /// What the head of a request says of who sends it.
    enum Claim {
        /// There are no keys.
        case anonymous
        case signed(PendingAuthentication)

        /// Believe it only after `AccessControl.settle`.
        var name: String {
            switch self {
            case .anonymous: Caller.anonymousName
            case .signed(let pending): pending.accessKey.id
            }
        }

        var isSigned: Bool { if case .signed = self { true } else { false } }
    }

    private let path: String
    private let isLoopback: Bool
    private let loop: EventLoop
    private let report: (String) -> Void
    private let authenticator: Authenticator
    private var stamp: KeyFile.Stamp?
    private var lookedAt: Instant
    /// The file cannot be read: nobody is let in until it can.
    private var problem: String?
    private var hadKeys: Bool

    /// - Parameter report: for a key file that goes bad while the host runs.
    init(
        keyFile path: String, isLoopback: Bool, loop: EventLoop, report: @escaping (String) -> Void
    ) throws(KeyFileError) {
        self.path = path
        self.isLoopback = isLoopback
        self.loop = loop
        self.report = report
        stamp = try KeyFile.Stamp(of: path)
        authenticator = Authenticator(try KeyFile.load(path))
        lookedAt = loop.now
        hadKeys = !authenticator.isEmpty
    }

    /// Without keys a host must not be reached from elsewhere.
    var hasKeys: Bool { !authenticator.isEmpty }

    /// - Throws: what the head alone makes clear; nothing of the body was read.
    func begin(_ request: HTTPRequest) throws(WireError) -> Claim {
        look()
        if let problem { throw WireError(.accessDenied, problem) }
        guard authenticator.isEmpty else { return try signed(request) }
        guard isLoopback, !hadKeys else {
            throw WireError(
                .accessDenied,
                "This host has no access keys any more, and lets nobody in. Make one with `roost keys create`, or start "
                    + "the host again.")
        }
        return .anonymous
    }

    /// Without keys a host answers nothing that a web page may have sent.
    func refuseForeign(_ request: HTTPRequest) throws(WireError) {
        guard authenticator.isEmpty, OriginGuard.isForeign(request) else { return }
        throw WireError(
            .accessDenied,
            "This host has no access keys: it answers requests to a loopback address that no web page sent. "
                + "Send no Origin header, and a Host of 127.0.0.1, [::1] or localhost.")
    }

    /// The end of what `begin` began, once the body is here.
    ///
    /// - Returns: `nil` on a host without keys.
    func settle(_ claim: Claim, bodyDigest: @autoclosure () -> Digest) throws(WireError) -> AccessKey? {
        guard case .signed(let pending) = claim else {
            look()
            // The first key may have come while the body did.
            if hadKeys || problem != nil { throw WireError(.missingToken) }
            return nil
        }
        do throws(AuthenticationError) {
            let key = try pending.finish(bodyDigest: bodyDigest())
            // A body may have taken its time.
            look()
            try authenticator.requireCurrent(key, at: EventLoop.wallClock)
            return key
        } catch {
            throw WireError(error)
        }
    }

    /// Whether a key that was let in still would be.
    func isCurrent(_ key: AccessKey?) -> Bool {
        look()
        guard let key else { return !hadKeys && problem == nil }
        do throws(AuthenticationError) {
            try authenticator.requireCurrent(key, at: EventLoop.wallClock)
            return problem == nil
        } catch {
            return false
        }
    }

    private func signed(_ request: HTTPRequest) throws(WireError) -> Claim {
        var head = SignedRequestHead(
            method: "\(request.method.name)", rawPath: Array(request.path), rawQuery: Array(request.rawQuery))
        request.forEachHeader { head.add(name: Array($0), value: Array($1)) }
        do throws(AuthenticationError) {
            return .signed(try authenticator.begin(head, at: EventLoop.wallClock))
        } catch {
            throw WireError(error)
        }
    }

    private func look() {
        let now = loop.now
        guard now - lookedAt >= .seconds(1) else { return }
        lookedAt = now
        do throws(KeyFileError) {
            let newest = try KeyFile.Stamp(of: path)
            guard newest != stamp || problem != nil else { return }
            authenticator.replaceKeys(by: try KeyFile.load(path))
            stamp = newest
            problem = nil
            hadKeys = hadKeys || !authenticator.isEmpty
        } catch {
            if problem == nil { report("nobody is let in: \(error)") }
            problem = "The host's key file cannot be read."
        }
    }
}
