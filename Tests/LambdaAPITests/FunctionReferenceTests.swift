import Domain
import LambdaAPI
import Testing

@Suite struct FunctionReferenceTests {
    @Test(
        "every form of a function's name is read",
        arguments: [
            ("m", "m", nil), ("m:1", "m", "1"), ("m:live", "m", "live"), ("m:$LATEST", "m", "$LATEST"),
            ("function:m", "m", nil), ("function:m:live", "m", "live"), ("000000000000:function:m", "m", nil),
            ("123456789012:function:m:7", "m", "7"),
            ("arn:aws:lambda:us-east-1:000000000000:function:m", "m", nil),
            ("arn:aws:lambda:us-east-1:999999999999:function:m:prod", "m", "prod"), ("function", "function", nil),
        ] as [(String, String, String?)])
    func forms(_ text: String, name: String, qualifier: String?) throws {
        let reference = try FunctionReference(text)
        #expect(reference.name.text == name)
        #expect(reference.qualifier?.description == qualifier)
    }

    @Test(
        "what is no name of a function is refused with the pattern",
        arguments: [
            "", "a b", "m:", ":m", "m:1:2", "m/1", "arn:aws:s3:us-east-1:000000000000:function:m", "é", "m:$LATES",
            "12345:function:m",
        ])
    func malformed(_ text: String) {
        let error = #expect(throws: WireError.self) { try FunctionReference(text) }
        #expect(error?.exception == .validation)
        #expect(error?.status == 400)
        #expect(error?.message.contains("'\(text)' at 'functionName' failed to satisfy constraint") == true)
    }

    @Test("a qualifier in the name and another beside it are refused, the same one is not")
    func conflict() throws {
        #expect(try FunctionReference("m:1", qualifier: "1").qualifier == .version(.published(1)))
        #expect(try FunctionReference("m", qualifier: "live").qualifier?.description == "live")
        let error = #expect(throws: WireError.self) { try FunctionReference("m:1", qualifier: "2") }
        #expect(error?.exception == .invalidParameterValue)
        #expect(
            error?.message
                == "The derived qualifier from the function name does not match the specified qualifier.")
    }

    @Test("an ARN of another region is not found, and the answer says why")
    func region() {
        let error = #expect(throws: WireError.self) {
            try FunctionReference("arn:aws:lambda:eu-west-1:000000000000:function:m")
        }
        #expect(error?.status == 404)
        #expect(
            error?.message == "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')")
    }

    @Test(
        "a name that no function can have is not found rather than malformed",
        arguments: ["my.function", String(repeating: "a", count: 65), "m:0", "m:$LATEST.PUBLISHED"])
    func impossible(_ text: String) {
        let error = #expect(throws: WireError.self) { try FunctionReference(text) }
        #expect(error?.exception == .resourceNotFound)
        #expect(error?.message == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:\(text)")
    }

    @Test("a new function needs a good name without a qualifier")
    func new() throws {
        #expect(try FunctionReference(new: "m").name.text == "m")
        #expect(try FunctionReference(new: "arn:aws:lambda:us-east-1:000000000000:function:m").name.text == "m")
        #expect(throws: WireError.self) { try FunctionReference(new: "m:1") }
        #expect(throws: WireError.self) { try FunctionReference(new: "m.n") }
        let long = #expect(throws: WireError.self) { try FunctionReference(new: String(repeating: "a", count: 65)) }
        #expect(long?.exception == .invalidParameterValue)
    }

    @Test("the ARN of an execution is read back")
    func execution() throws {
        let arn = ARN.execution(
            FunctionName("m-train")!, .published(3), ExecutionName("first")!, Execution.ID("8f5ec6f8-0c3e"))
        let reference = try #require(ExecutionReference(arn))
        #expect(reference.function.text == "m-train")
        #expect(reference.version == .published(3))
        #expect(reference.name.text == "first")
        #expect(reference.id.text == "8f5ec6f8-0c3e")
        #expect(ExecutionReference(ARN.function(FunctionName("m")!)) == nil)
        #expect(ExecutionReference(arn + "/x") == nil)
    }
}
