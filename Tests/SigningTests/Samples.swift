import Crypto
import Domain
import Signing

/// The key of AWS's documentation.
let exampleID = "AKIDEXAMPLE"
let exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
let exampleToken = "c2Vzc2lvbi10b2tlbg+/example=="
let noon = Timestamp(basicText: Array("20261123T120000Z".utf8))!

func exampleKey(token: String? = nil, expiresAt: Timestamp = noon + 3600) -> AccessKey {
    AccessKey(
        id: exampleID, secret: exampleSecret, createdAt: noon,
        session: token.map { AccessKey.Session(token: $0, expiresAt: expiresAt) })
}

func + (left: Timestamp, seconds: Int64) -> Timestamp {
    Timestamp(millisecondsSince1970: left.millisecondsSince1970 + seconds * 1000)
}

func digest(_ text: String) -> Domain.Digest { Domain.Digest(bytes: Array(SHA256.hash(data: Array(text.utf8)))) }

/// A request whose parts a test can spoil after it was signed.
struct Request {
    var method = "POST"
    var target = "/2015-03-31/functions/m/invocations"
    var fields: [(name: String, value: String)] = [("Host", "127.0.0.1:7070"), ("X-Amz-Log-Type", "Tail")]
    var body = #"{"x":1}"#

    /// - Parameter declaresBody: as `Signer.sign` takes it.
    func signed(
        by signer: Signer = Signer(keyID: exampleID, secret: exampleSecret), at time: Timestamp = noon,
        declaresBody: Bool = false
    ) -> Request {
        var signed = self
        signed.fields += signer.sign(
            method, target: target, fields: fields, bodyDigest: digest(body), declaresBody: declaresBody, at: time)
        return signed
    }

    subscript(name: String) -> String {
        get { fields.first { $0.name == name }!.value }
        set { fields[fields.firstIndex { $0.name == name }!].value = newValue }
    }

    mutating func replace(_ part: String, by other: String, in name: String = "Authorization") {
        precondition(self[name].contains(part), "\(self[name]) has no \(part)")
        let pieces = self[name].split(separator: part, maxSplits: 1, omittingEmptySubsequences: false)
        self[name] = pieces[0] + other + pieces[1]
    }

    mutating func remove(_ name: String) { fields.removeAll { $0.name == name } }

    /// As a host would check it.
    func authenticate(
        _ keys: [AccessKey] = [exampleKey()], at now: Timestamp = noon
    ) throws(AuthenticationError) -> AccessKey {
        let pending = try Authenticator(keys).begin(
            SignedRequestHead(method: method, target: target, fields: fields), at: now)
        return try pending.finish(bodyDigest: digest(body))
    }
}
