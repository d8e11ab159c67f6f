internal import Crypto
package import Domain

/// What signs the webhooks of a host, by the scheme of Standard Webhooks (standardwebhooks.com), symmetric, version 1.
///
/// A receiver that has the same secret takes HMAC-SHA256 of `ID.TIMESTAMP.BODY`, compares, and looks whether the time
/// is near enough to its own.
package struct WebhookSecret: Equatable, Sendable, CustomStringConvertible {
    package static let prefix = "whsec_"
    /// Without prefix and base 64.
    package static let bytesAllowed = 24...64
    /// More than any secret in a file has, with the white space around it.
    private static let fileBytesMax = 1024

    private let key: SymmetricKey

    /// - Parameter text: `whsec_` and the base 64, with its padding, of 24 to 64 bytes; nothing around it.
    package init(_ text: String) throws(WebhookSecretError) {
        guard text.hasPrefix(Self.prefix) else { throw .noPrefix }
        guard let bytes = Base64.decode(String(text.dropFirst(Self.prefix.count))) else { throw .notBase64 }
        guard Self.bytesAllowed.contains(bytes.count) else { throw .wrongSize(bytes: bytes.count) }
        key = SymmetricKey(data: bytes)
    }

    /// The secret in the file at `path`, white space around it left out. Blocks.
    ///
    /// The file must be a regular one that is its owner's alone, and the owner this process's user or the folder's.
    package init(file path: String) throws(WebhookSecretFileError) {
        let contents: [UInt8]?
        do throws(KeyFileError) {
            contents = try KeyFile.contents(ofSecret: path, bytesMax: Self.fileBytesMax)
        } catch {
            throw .unreadable(error)
        }
        guard let contents else { throw .missing(path: path) }
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        let trimmed = contents.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
        do throws(WebhookSecretError) {
            try self.init(String(decoding: trimmed, as: UTF8.self))
        } catch {
            throw .malformed(path: path, error)
        }
    }

    /// Never the secret.
    package var description: String { "\(Self.prefix)..." }

    /// The value of `webhook-signature`: `v1,` and the base 64 of the HMAC.
    ///
    /// - Parameters:
    ///   - id: the value of `webhook-id`; the same for every try of one message.
    ///   - timestamp: of this try; whole seconds count, as in `webhook-timestamp`.
    /// - Precondition: `id` has no `.`, which would let one signature stand for two messages.
    package func signature(id: String, timestamp: Timestamp, body: [UInt8]) -> String {
        precondition(!id.utf8.contains(UInt8(ascii: ".")), "the id of a webhook has a '.'")
        var hmac = HMAC<SHA256>(key: key)
        hmac.update(data: Array("\(id).\(Self.seconds(timestamp)).".utf8))
        hmac.update(data: body)
        return "v1,\(Base64.encode(Array(hmac.finalize())))"
    }

    /// The three header fields of a signed webhook. As `signature`.
    package func headers(id: String, timestamp: Timestamp, body: [UInt8]) -> [(name: String, value: String)] {
        [
            ("webhook-id", id), ("webhook-timestamp", "\(Self.seconds(timestamp))"),
            ("webhook-signature", signature(id: id, timestamp: timestamp, body: body)),
        ]
    }

    private static func seconds(_ timestamp: Timestamp) -> Int64 { timestamp.millisecondsSince1970 / 1000 }
}

/// Why a text is no secret for webhooks. Says nothing of what is in it.
package enum WebhookSecretError: Error, Equatable, Sendable, CustomStringConvertible {
    case noPrefix
    case notBase64
    case wrongSize(bytes: Int)

    package var description: String {
        switch self {
        case .noPrefix: "a webhook secret begins with '\(WebhookSecret.prefix)'"
        case .notBase64: "what follows '\(WebhookSecret.prefix)' is not base 64 with its padding"
        case .wrongSize(let bytes):
            "a webhook secret has \(WebhookSecret.bytesAllowed.lowerBound) to \(WebhookSecret.bytesAllowed.upperBound) "
                + "bytes, not \(bytes)"
        }
    }
}

/// Why a file gave no secret for webhooks.
package enum WebhookSecretFileError: Error, Equatable, Sendable, CustomStringConvertible {
    case missing(path: String)
    /// Others can read it, among other reasons.
    case unreadable(KeyFileError)
    case malformed(path: String, WebhookSecretError)

    package var description: String {
        switch self {
        case .missing(let path): "\(path): there is no such file"
        case .unreadable(let error): "\(error)"
        case .malformed(let path, let error): "\(path): \(error)"
        }
    }
}
