package import Domain

/// A function as a client names it: by name, partial ARN or ARN, each with or without a qualifier.
package struct FunctionReference: Equatable, Sendable {
    package let name: FunctionName
    /// `nil` when unqualified.
    package let qualifier: Qualifier?

    /// - Parameter text: `name`, `function:name`, `account:function:name` or
    ///   `arn:aws:lambda:region:account:function:name`; each may end in `:qualifier`. Any account is taken.
    /// - Parameter separate: the query parameter `Qualifier`.
    package init(_ text: String, qualifier separate: String? = nil) throws(WireError) {
        var violations = Violations()
        let parts = Self.parts(of: text)
        violations.check(text, at: "functionName", length: 1...256)
        violations.check(text, at: "functionName", pattern: Self.pattern, parts != nil)
        if let separate {
            violations.check(separate, at: "qualifier", length: 1...128)
            violations.check(
                separate, at: "qualifier", pattern: #"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"#,
                isQualifier(separate))
        }
        try violations.refuse()
        let (region, written, inName) = parts!
        if let region, region != ARN.region {
            throw WireError(
                .resourceNotFound,
                "Functions from '\(region)' are not reachable in this region ('\(ARN.region)')")
        }
        if let inName, let separate, inName != separate {
            throw .invalid("The derived qualifier from the function name does not match the specified qualifier.")
        }
        let chosen = separate ?? inName.map(String.init)
        let qualifier = chosen.flatMap { Qualifier($0) }
        // Well-formed at AWS, but nothing here can have such a name.
        guard let name = FunctionName(written), chosen == nil || qualifier != nil else {
            let suffix = chosen.map { ":" + $0 } ?? ""
            throw WireError(
                .resourceNotFound,
                "Function not found: arn:aws:lambda:\(ARN.region):\(ARN.account):function:\(written)\(suffix)")
        }
        self.name = name
        self.qualifier = qualifier
    }

    /// For operations on functions alone.
    package init(unqualified text: String) throws(WireError) {
        try self.init(text)
        guard qualifier == nil else {
            throw .invalid(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
                    + "operation. Please specify either a function name or an unqualified function ARN.")
        }
    }

    /// The name of a function to be made, which must be a good one.
    package init(new text: String) throws(WireError) {
        var violations = Violations()
        let parts = Self.parts(of: text)
        violations.check(text, at: "functionName", length: 1...256)
        violations.check(text, at: "functionName", pattern: Self.pattern, parts != nil)
        if let parts, parts.name.contains(".") {
            violations.check(text, at: "functionName", pattern: "[a-zA-Z0-9-_]+", false)
        }
        try violations.refuse()
        if let parts, parts.name.utf8.count > FunctionName.lengthMax {
            throw .invalid("Function name '\(parts.name)' is longer than \(FunctionName.lengthMax) characters.")
        }
        try self.init(unqualified: text)
    }

    static let pattern =
        #"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"#
        + #"(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"#

    private typealias Parts = (region: Substring?, name: Substring, qualifier: Substring?)

    /// `nil` when `text` does not match the pattern. What could be read in two ways is read as the pattern does: every part
    /// before the name is optional by itself, and taken when it is there.
    private static func parts(of text: String) -> Parts? {
        var rest = text.split(separator: ":", omittingEmptySubsequences: false)[...]
        var region: Substring?
        if rest.count >= 4, rest[0] == "arn", rest[1].isEmpty || rest[1].hasPrefix("aws"), rest[2] == "lambda" {
            rest = rest.dropFirst(3)
        }
        if rest.count >= 2, isRegion(rest.first!) { region = rest.removeFirst() }
        if rest.count >= 2, isAccount(rest.first!) { rest.removeFirst() }
        if rest.count >= 2, rest.first == "function" { rest.removeFirst() }
        guard let name = rest.popFirst(), isName(name) else { return nil }
        let qualifier = rest.popFirst()
        guard rest.isEmpty else { return nil }
        if let qualifier, !isQualifier(qualifier) { return nil }
        return (region, name, qualifier)
    }

    private static func isName(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { isWordByte($0) || $0 == UInt8(ascii: ".") }
    }

    private static func isAccount(_ text: Substring) -> Bool {
        text.utf8.count == 12 && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    private static func isRegion(_ text: Substring) -> Bool {
        var parts = text.split(separator: "-", omittingEmptySubsequences: false)[...]
        if parts.first == "eusc" { parts.removeFirst() }
        let isPartitioned =
            parts.count == 4 && (parts[parts.startIndex + 1] == "gov" || parts[parts.startIndex + 1].hasPrefix("iso"))
        guard parts.count == 3 || isPartitioned, let country = parts.first, let number = parts.last else {
            return false
        }
        let isLetters = parts.dropLast().allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { (0x61...0x7A).contains($0) }
        }
        return isLetters && country.utf8.count == 2 && number.utf8.count == 1
            && (0x30...0x39).contains(number.utf8.first!)
    }
}

private func isQualifier(_ text: some StringProtocol) -> Bool {
    text == "$LATEST" || text == "$LATEST.PUBLISHED" || (!text.isEmpty && text.utf8.allSatisfy(isWordByte))
}

func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
    default: false
    }
}
