internal import Glibc

/// Why the keys could not be read or changed. None of these means that there are no keys.
package enum KeyFileError: Error, Equatable, Sendable, CustomStringConvertible {
    case io(path: String, operation: String, errno: Int32)
    case notAFile(path: String)
    /// Others than the owner may read or write it.
    case tooOpen(path: String, mode: UInt32)
    /// It belongs to neither this process's user nor the owner of the folder.
    case foreignOwner(path: String, uid: UInt32)
    case tooLarge(path: String, bytesMax: Int)
    case damaged(path: String, reason: String)
    /// Another process was changing the keys for the whole of `seconds`.
    case locked(path: String, seconds: Int)
    case tooManyKeys(path: String, limit: Int)
    case duplicateKey(path: String, id: String)
    case unknownKey(path: String, id: String)

    package var description: String {
        switch self {
        case .io(let path, let operation, let errno):
            unsafe "\(path): \(operation): \(strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)")"
        case .notAFile(let path): "\(path): this is no regular file"
        case .tooOpen(let path, let mode):
            "\(path): its mode is 0\(String(mode, radix: 8)), so others than its owner can read or write the secrets in "
                + "it; replace them if somebody may have, and 'chmod 600' it"
        case .foreignOwner(let path, let uid):
            "\(path): it belongs to the user with the number \(uid), who is neither this process's nor the folder's owner"
        case .tooLarge(let path, let bytesMax): "\(path): it is larger than \(bytesMax) bytes"
        case .damaged(let path, let reason): "\(path): it holds no access keys that can be trusted: \(reason)"
        case .locked(let path, let seconds): "\(path): another process has held this lock for \(seconds) s"
        case .tooManyKeys(let path, let limit): "\(path): it has \(limit) keys already, which is the limit; remove some"
        case .duplicateKey(let path, let id): "\(path): it has a key \(id) already"
        case .unknownKey(let path, let id): "\(path): it has no key \(id)"
        }
    }
}
