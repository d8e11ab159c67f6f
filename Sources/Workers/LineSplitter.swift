/// Splits what a worker writes into lines. A value; bounded: a line that is longer than `lineBytesMax` is cut into several.
package struct LineSplitter {
    package static let lineBytesMax = 16 * 1024

    private var rest: [UInt8] = []

    package init() {}

    /// - Parameter line: called with each whole line, without its line feed; a carriage return at its end is dropped.
    package mutating func split(_ bytes: UnsafeRawBufferPointer, line: ([UInt8]) -> Void) {
        var start = 0
        for index in 0..<bytes.count {
            let isEnd = unsafe bytes[index] == 0x0A
            guard isEnd || rest.count + index - start + 1 >= Self.lineBytesMax else { continue }
            rest.append(contentsOf: unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<(isEnd ? index : index + 1)]))
            if isEnd, rest.last == 0x0D { rest.removeLast() }
            line(rest)
            rest.removeAll(keepingCapacity: rest.count <= 4096)
            start = index + 1
        }
        rest.append(contentsOf: unsafe UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }

    /// The last line, when the output did not end with a line feed.
    package mutating func finish(line: ([UInt8]) -> Void) {
        if !rest.isEmpty { line(rest) }
        rest = []
    }
}
