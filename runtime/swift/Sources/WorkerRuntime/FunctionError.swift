/// An error that a function gives to whoever invoked it: the `errorType` and `errorMessage` of the answer.
///
/// Any other `Error` that `init`, `infer` or `train` throws is reported too, with its Swift type's name as the type
/// and its description as the message.
public struct FunctionError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A short name that programs may compare, such as `BadInput` or `Model.Missing`.
    public var type: String
    /// A sentence for people. It may name limits and what was found, never secrets.
    public var message: String

    public init(type: String, message: String) {
        self.type = type
        self.message = message
    }

    public var description: String { "\(type): \(message)" }

    /// What is reported for `error`.
    init(reporting error: any Error) {
        self = (error as? FunctionError) ?? FunctionError(type: "\(Swift.type(of: error))", message: "\(error)")
    }

    /// The Runtime API's error document.
    var document: [UInt8] {
        let document: JSONValue = [
            "errorMessage": .string(message), "errorType": .string(type), "stackTrace": [],
        ]
        return document.encoded
    }

    /// The document for a stream's trailers, of which the host takes 64 KiB in base64: a long one has a shorter message.
    var shortDocument: [UInt8] {
        let document = document
        if document.count <= 32 << 10 { return document }
        // At most six bytes for each scalar, when it is escaped.
        return FunctionError(type: Self.start(of: type, 200), message: Self.start(of: message, 2000)).document
    }

    private static func start(of text: String, _ scalars: Int) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(scalars)))
    }
}

extension [UInt8] {
    /// RFC 4648, section 4.
    var base64: String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((count + 2) / 3 * 4)
        for start in stride(from: 0, to: count, by: 3) {
            let length = Swift.min(3, count - start)
            var bits = 0
            for index in 0..<3 { bits = bits << 8 | (index < length ? Int(self[start + index]) : 0) }
            for index in 0..<4 {
                text.append(index <= length ? alphabet[bits >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// A system call that failed.
public struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The call and what it was made on, such as `open /opt/model/model.bin`.
    public var operation: String
    /// The value of `errno` after the call.
    public var code: Int32

    public init(operation: String, code: Int32) {
        self.operation = operation
        self.code = code
    }
}
