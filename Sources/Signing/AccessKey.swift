package import Domain

/// What lets a client in, and what it may do.
package struct AccessKey: Hashable, Sendable {
    /// What a key may do with the functions that it is for.
    package enum Action: String, CaseIterable, Sendable {
        /// Invoke functions and see the executions of these invocations.
        case invoke
        /// Make, change, publish, route and remove functions, and see everything about them.
        case manage
        /// Start trainings, which publish versions.
        case train
    }

    /// What makes a key temporary.
    package struct Session: Hashable, Sendable {
        /// Sent with each request as X-Amz-Security-Token; a secret.
        package let token: String
        package let expiresAt: Timestamp

        package init(token: String, expiresAt: Timestamp) {
            self.token = token
            self.expiresAt = expiresAt
        }
    }

    /// 20 upper-case letters and digits: `RSTK` and 80 random bits. No secret.
    package let id: String
    /// 40 characters of base 64, which are 240 random bits.
    package let secret: String
    /// What it is for, in the words of whoever made it; may be empty.
    package let description: String
    package let createdAt: Timestamp
    /// Nil for a key that is good until it is removed.
    package let session: Session?
    package let functions: [FunctionPattern]
    package let actions: Set<Action>

    package static let descriptionBytesMax = 256
    package static let functionsMax = 100

    /// - Precondition: there is a pattern and an action, and nothing exceeds the limits above.
    package init(
        id: String, secret: String, description: String = "", createdAt: Timestamp, session: Session? = nil,
        functions: [FunctionPattern] = [.all], actions: Set<Action> = Set(Action.allCases)
    ) {
        precondition((1...Self.functionsMax).contains(functions.count) && !actions.isEmpty, "a key without any right")
        precondition(description.utf8.count <= Self.descriptionBytesMax, "the description is too long")
        self.id = id
        self.secret = secret
        self.description = description
        self.createdAt = createdAt
        self.session = session
        self.functions = functions
        self.actions = actions
    }

    /// A new key from the system's random numbers.
    ///
    /// - Parameter expiresAt: makes it a temporary one, with a session token.
    package static func random(
        description: String = "", createdAt: Timestamp, expiresAt: Timestamp? = nil,
        functions: [FunctionPattern] = [.all], actions: Set<Action> = Set(Action.allCases)
    ) -> AccessKey {
        AccessKey(
            id: "RSTK" + randomText(16, base32), secret: randomText(40, base64), description: description,
            createdAt: createdAt, session: expiresAt.map { Session(token: randomText(64, base64), expiresAt: $0) },
            functions: functions, actions: actions)
    }

    /// - Parameter function: nil for what concerns the host as a whole, which only a key for all functions may do.
    package func allows(_ action: Action, _ function: FunctionName?) -> Bool {
        guard actions.contains(action) else { return false }
        guard let function else { return functions.contains { $0.matchesAll } }
        return functions.contains { $0.matches(function) }
    }

    package func isExpired(at now: Timestamp) -> Bool { session.map { now >= $0.expiresAt } ?? false }
}

/// Which functions a key is for: a name in which each `*` stands for any characters, also for none.
package struct FunctionPattern: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package static let all = FunctionPattern(unchecked: "*")

    /// Nil for anything but 1 to 64 letters, digits, `-`, `_` and `*`.
    package init?(_ text: some StringProtocol) {
        // A star between two names takes a character that no name needs.
        guard FunctionName(String(text.map { $0 == "*" ? "-" : $0 })) != nil else { return nil }
        self.text = String(text)
    }

    private init(unchecked text: String) { self.text = text }

    package var description: String { text }

    var matchesAll: Bool { text.utf8.allSatisfy { $0 == UInt8(ascii: "*") } }

    package func matches(_ function: FunctionName) -> Bool {
        let pattern = Array(text.utf8)
        let name = Array(function.text.utf8)
        var at = 0
        var inName = 0
        // The last star, and where what it stands for ends: on a mismatch it takes one character more.
        var star: Int?
        var starEnd = 0
        while inName < name.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = at
                starEnd = inName
                at += 1
            } else if at < pattern.count, pattern[at] == name[inName] {
                at += 1
                inName += 1
            } else if let star {
                starEnd += 1
                at = star + 1
                inName = starEnd
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

private let base32 = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)
private let base64 = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

/// - Parameter digits: their number divides 256, so that none is more likely than another.
private func randomText(_ count: Int, _ digits: [UInt8]) -> String {
    var system = SystemRandomNumberGenerator()
    return String(
        decoding: (0..<count).map { _ in digits[Int(system.next() as UInt8) % digits.count] }, as: UTF8.self)
}
