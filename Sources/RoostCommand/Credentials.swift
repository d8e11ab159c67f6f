import Domain
import Glibc
import Signing

/// The access key that signs the requests, found as the `aws` command finds it.
struct Credentials: Equatable {
    let keyID: String
    let secret: String
    let sessionToken: String?
    let region: String

    var signer: Signer { Signer(keyID: keyID, secret: secret, sessionToken: sessionToken, region: region) }

    /// Of the first that there is: the profile that was asked for; the key in the environment; the profile named there;
    /// the profile `default`. Nil when there is none, so that requests go without a signature.
    ///
    /// - Parameter variable: the environment; nil for empty variables.
    static func find(
        profile: String?, variable: (String) -> String?
    ) throws(CommandError) -> Credentials? {
        if profile == nil, let credentials = try inEnvironment(variable) { return credentials }
        let chosen = profile ?? variable("AWS_PROFILE")
        guard let file = try CredentialsFile.find(variable) else {
            guard let chosen else { return nil }
            throw .usage("there is no profile '\(chosen)', because there is no file ~/.aws/credentials")
        }
        let name = chosen ?? "default"
        guard let values = file.profiles[name] else {
            guard chosen != nil else { return nil }
            throw .usage("there is no profile '\(name)' in \(file.path)")
        }
        let place = "profile '\(name)' in \(file.path)"
        if chosen == nil, values["aws_access_key_id"] == nil, values["aws_secret_access_key"] == nil { return nil }
        guard let keyID = values["aws_access_key_id"] else { throw .usage("\(place) has no aws_access_key_id") }
        guard let secret = values["aws_secret_access_key"] else {
            throw .usage("\(place) has no aws_secret_access_key")
        }
        return try Credentials(
            keyID: keyID, secret: secret, sessionToken: values["aws_session_token"],
            region: environmentRegion(variable) ?? values["region"], place: place)
    }

    private static func inEnvironment(_ variable: (String) -> String?) throws(CommandError) -> Credentials? {
        let keyID = variable("AWS_ACCESS_KEY_ID")
        let secret = variable("AWS_SECRET_ACCESS_KEY")
        let sessionToken = variable("AWS_SESSION_TOKEN")
        guard let keyID else {
            guard secret == nil else { throw .usage("AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not") }
            guard sessionToken == nil else { throw .usage("AWS_SESSION_TOKEN is set, but AWS_ACCESS_KEY_ID is not") }
            return nil
        }
        guard let secret else { throw .usage("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not") }
        return try Credentials(
            keyID: keyID, secret: secret, sessionToken: sessionToken, region: environmentRegion(variable),
            place: "the environment")
    }

    private static func environmentRegion(_ variable: (String) -> String?) -> String? {
        variable("AWS_REGION") ?? variable("AWS_DEFAULT_REGION")
    }

    /// - Parameters:
    ///   - region: nil takes the one that hosts have.
    ///   - place: where it all comes from, for messages.
    private init(
        keyID: String, secret: String, sessionToken: String?, region: String?, place: String
    ) throws(CommandError) {
        func isVisible(_ text: String) -> Bool { text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } && !text.isEmpty }
        guard isVisible(keyID), !keyID.contains(where: { "/,=;".contains($0) }) else {
            throw .usage("the access key id of \(place) is not one: it has characters that none can have")
        }
        // Neither is ever shown.
        guard isVisible(secret) else {
            throw .usage("the secret access key of \(place) is empty, or has characters that none can have")
        }
        if let sessionToken, !isVisible(sessionToken) {
            throw .usage("the session token of \(place) is empty, or has characters that none can have")
        }
        let region = region ?? ARN.region
        guard !region.isEmpty,
            region.utf8.allSatisfy({ (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D })
        else { throw .usage("'\(printable(region))' is no region; hosts have '\(ARN.region)'") }
        self.keyID = keyID
        self.secret = secret
        self.sessionToken = sessionToken
        self.region = region
    }
}

/// AWS's file of access keys: sections of `name = value`, one for each profile.
struct CredentialsFile {
    let path: String
    /// Settings by profile; their names are in lower case.
    let profiles: [String: [String: String]]

    /// $AWS_SHARED_CREDENTIALS_FILE, which must exist, or ~/.aws/credentials; nil when there is none.
    static func find(_ variable: (String) -> String?) throws(CommandError) -> CredentialsFile? {
        let home = variable("HOME")
        let named = variable("AWS_SHARED_CREDENTIALS_FILE")
        guard var path = named ?? home.map({ $0 + "/.aws/credentials" }) else { return nil }
        if path.hasPrefix("~/"), let home { path = home + path.dropFirst() }
        if named == nil, access(path, F_OK) != 0, errno == ENOENT || errno == ENOTDIR { return nil }
        let text: [UInt8]
        do throws(CommandError) {
            text = try readFile(path)
        } catch {
            throw .usage(error.message ?? path)
        }
        return try CredentialsFile(path: path, text: text)
    }

    init(path: String, text: [UInt8]) throws(CommandError) {
        var profiles: [String: [String: String]] = [:]
        var section: String?
        for (index, line) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            func wrong(_ reason: String) -> CommandError { .usage("\(path), line \(index + 1): \(reason)") }
            guard let line = String(validating: line, as: UTF8.self) else { throw wrong("this is no UTF-8 text") }
            let content = trimmed(line[...])
            if content.isEmpty || content.hasPrefix("#") || content.hasPrefix(";") { continue }
            if content.hasPrefix("[") {
                guard content.hasSuffix("]"), content.count > 2 else { throw wrong("this is no [profile]") }
                let name = String(content.dropFirst().dropLast())
                guard profiles.updateValue([:], forKey: name) == nil else {
                    throw wrong("profile '\(name)' is there twice")
                }
                section = name
                continue
            }
            guard let section else { throw wrong("this belongs to no [profile]") }
            // Settings below a setting, which an indented line is, are for other programs.
            if line.first == " " || line.first == "\t" { continue }
            guard let equals = content.firstIndex(where: { $0 == "=" || $0 == ":" }), equals > content.startIndex else {
                throw wrong("this is neither 'name = value' nor [profile]")
            }
            let name = trimmed(content[..<equals]).lowercased()
            let value = String(trimmed(content[content.index(after: equals)...]))
            guard profiles[section]?.updateValue(value, forKey: name) == nil else {
                throw wrong("'\(name)' is there twice in profile '\(section)'")
            }
        }
        self.path = path
        self.profiles = profiles
    }
}

private func trimmed(_ text: Substring) -> Substring {
    var text = text.drop { $0.isWhitespace }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
}
