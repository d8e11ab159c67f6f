import Testing
import WorkerRuntime

@Suite("JSON values")
struct JSONValueTests {
    @Test(
        "a text that was read is written the same, members in their order",
        arguments: [
            "null", "true", "[]", "{}", "-0.5", "0.1", "1e+300", "9223372036854775807", #""a\"b\\c\n\u0001é中😀""#,
            #"{"b":1,"a":[1.5,"x",{"c":null}],"é":false}"#, #""nul\u0000inside""#,
        ])
    func roundTrip(text: String) throws {
        #expect(String(decoding: try JSONValue(parsing: text).encoded, as: UTF8.self) == text)
    }

    @Test(
        "what is no JSON is refused with its place",
        arguments: [
            "", " ", "{", "[1,]", "nul", "{\"a\":1}x", "\"\u{1}\"", "{'a':1}", "NaN",
        ])
    func refusals(text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test("bytes that are not UTF-8 are refused")
    func invalidUTF8() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22]) }
    }

    @Test("a number beyond 64 bits is read as floating point")
    func largeNumbers() throws {
        let value = try JSONValue(parsing: "[18446744073709551616,1]")
        #expect(value.array?[0].number == 18_446_744_073_709_551_616)
        #expect(value.array?[1].integer == 1)
    }

    @Test("of two members with one key the later wins")
    func repeatedKey() throws {
        #expect(try JSONValue(parsing: #"{"a":1,"a":2}"#)["a"]?.integer == 2)
    }

    @Test("typed access converts nothing but whole numbers")
    func typedAccess() {
        let value: JSONValue = ["whole": 3.0, "half": 3.5, "text": "3", "yes": true, "huge": 1e300]
        #expect(value["whole"]?.integer == 3)
        #expect(value["half"]?.integer == nil)
        #expect(value["huge"]?.integer == nil)
        #expect(value["half"]?.number == 3.5)
        #expect(value["text"]?.integer == nil)
        #expect(value["text"]?.string == "3")
        #expect(value["yes"]?.number == nil)
        #expect(value["none"] == nil)
        #expect(value.integer == nil)
    }

    @Test("infinities and NaN are written as null")
    func notFinite() {
        let value: JSONValue = [.number(.infinity), .number(.nan), .number(1)]
        #expect(String(decoding: value.encoded, as: UTF8.self) == "[null,null,1.0]")
    }
}
