/// What `-d` takes: JSON, `@FILE`, or `-` for standard input.
enum Payload {
    /// The bytes, as they are; none when the option was not given.
    static func read(_ argument: String?) throws(CommandError) -> [UInt8] {
        switch argument {
        case nil: return []
        case "-": return try Terminal.readInput()
        case let text? where text.hasPrefix("@"):
            do throws(CommandError) {
                return try readFile(String(text.dropFirst()))
            } catch {
                guard case .io(_, _, let number) = error else { throw error }
                throw .usage("\(text.dropFirst()): \(systemMessage(number))")
            }
        case let text?: return Array(text.utf8)
        }
    }
}
