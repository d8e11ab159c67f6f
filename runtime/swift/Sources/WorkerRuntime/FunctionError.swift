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
