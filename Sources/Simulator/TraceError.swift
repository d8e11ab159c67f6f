/// Why a text is no trace.
package struct TraceError: Error, Equatable, CustomStringConvertible {
    package enum Problem: Equatable, Sendable {
        case empty
        case noRows
        case unknownColumn(String)
        case missingColumn(Trace.Column)
        case repeatedColumn(Trace.Column)
        case emptyLine
        case lineTooLong
        case fieldCount(Int)
        case quote
        case nameEmpty
        case nameTooLong
        case nameNotUTF8
        case notANumber(Trace.Column, String)
        case negative(Trace.Column, String)
        case tooLarge(Trace.Column, String, limit: Int)
        case noMemory(String)
        case tooManyRows
        case tooManyFunctions
        case spanTooLong
    }

    package let problem: Problem
    /// From 1, the header; `nil` when it is the text as a whole.
    package let line: Int?

    package init(_ problem: Problem, line: Int?) {
        self.problem = problem
        self.line = line
    }

    package var description: String { (line.map { "line \($0): " } ?? "") + text }

    private var text: String {
        let columns = Trace.Column.allCases.count
        return switch problem {
        case .empty: "there is nothing in it; a trace begins with the header \(Trace.header)"
        case .noRows: "there is a header and no invocation"
        case .unknownColumn(let name): "there is no column '\(name)'; the header is \(Trace.header), in any order"
        case .missingColumn(let column): "the header lacks \(column.rawValue); it is \(Trace.header), in any order"
        case .repeatedColumn(let column): "the header has \(column.rawValue) twice"
        case .emptyLine: "the line is empty"
        case .lineTooLong: "the line has more than \(Trace.Limit.lineBytes) bytes"
        case .fieldCount(let count): "\(count) \(count == 1 ? "field" : "fields") where the header has \(columns)"
        case .quote: "there is a quotation mark; fields are not quoted"
        case .nameEmpty: "the function has no name"
        case .nameTooLong: "the function's name has more than \(Trace.Limit.nameBytes) bytes"
        case .nameNotUTF8: "the function's name is not UTF-8"
        case .notANumber(let column, let text): "\(column.rawValue) is '\(text)', which is no number"
        case .negative(let column, let text): "\(column.rawValue) is '\(text)'; it cannot be negative"
        case .tooLarge(let column, let text, let limit): "\(column.rawValue) is '\(text)'; it is at most \(limit)"
        case .noMemory(let text): "memory_mb is '\(text)'; it is above 0"
        case .tooManyRows: "there are more than \(Trace.Limit.rows) invocations"
        case .tooManyFunctions: "there are more than \(Trace.Limit.functions) functions"
        case .spanTooLong: "first and last arrival are more than \(Trace.Limit.spanDays) days apart"
        }
    }
}
