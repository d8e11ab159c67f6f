import JSON
import Testing

@Suite struct JSONValueTests {
    @Test(
        "a text parses and is written back compactly",
        arguments: [
            ("null", "null"), (" [ 1 , 2.5 ] ", "[1,2.5]"),
            (#"{"b":1,"a":[true,false,null]}"#, #"{"b":1,"a":[true,false,null]}"#),
            (#""\u0000\u001f\"\\\/\n\u00e9""#, #""\u0000\u001f\"\\/\né""#), ("1.0", "1.0"), ("1e3", "1000.0"),
            ("-0.0", "-0.0"),
            ("9223372036854775807", "9223372036854775807"), ("-9223372036854775808", "-9223372036854775808"),
            ("0.1", "0.1"),
            ("1e300", "1e+300"), ("5e-324", "5e-324"), ("\"\u{7F}\"", #""\u007f""#), ("\"中文😀\"", "\"中文😀\""),
            ("{}", "{}"), ("[]", "[]"),
            ("\"\\ud83d\\ude00\"", "\"😀\""),
        ])
    func roundTrip(_ text: String, expected: String) throws {
        let value = try JSONValue.parse(text)
        #expect(value.text() == expected)
        #expect(try JSONValue.parse(value.encoded()) == value)
        try JSONScanner.check(value.encoded())
    }

    @Test("doubles read back as the same bits")
    func doubles() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("JSONValueTests.doubles: seed \(seed)")
        var generator = SplitMix64(state: seed)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            let text = JSONValue.real(value).encoded()
            try JSONScanner.check(text)
            let back = try JSONValue.parse(text)
            #expect(back.realValue?.bitPattern == value.bitPattern)
        }
        #expect(JSONValue.real(.nan).text() == "null")
        #expect(JSONValue.real(-.infinity).text() == "null")
    }

    @Test("keys can be sorted by their bytes")
    func sortedKeys() {
        let value: JSONValue = ["b": 1, "a": ["z": nil, "y": 2], "é": 3, "B": true]
        #expect(value.text(sortedKeys: true) == #"{"B":true,"a":{"y":2,"z":null},"b":1,"é":3}"#)
        #expect(value.text() == #"{"b":1,"a":{"z":null,"y":2},"é":3,"B":true}"#)
    }

    @Test(
        "a parse error says where",
        arguments: [
            ("{\n  \"a\": x}", 2), ("[1,\n2,\n]", 3), (#"{"a":1,"a":2}"#, 1), ("", 1), ("99999999999999999999", 1),
        ])
    func parseError(_ text: String, line: Int) {
        let error = #expect(throws: JSONParseError.self) { try JSONValue.parse(text) }
        #expect(error?.line == line)
        #expect(error?.text.isEmpty == false)
    }

    @Test("a large object is found by key, and keeps its order through removal")
    func largeObject() {
        var object = JSONObject()
        for index in 0..<1000 { object["key\(index)"] = .integer(Int64(index)) }
        object["key500"] = nil
        object["key0"] = "changed"
        #expect(object.count == 999)
        #expect(object["key999"] == 999)
        #expect(object["key500"] == nil)
        #expect(object.keys.first == "key0" && object["key0"] == "changed" && object.keys[500] == "key501")
    }

    @Test("keys that differ only in Unicode normalisation are different keys")
    func normalisation() throws {
        let value = try JSONValue.parse("{\"\u{E9}\":1,\"e\u{301}\":2}")
        #expect(value["\u{E9}"] == 1)
        #expect(value["e\u{301}"] == 2)
    }

    @Test("the deepest text that parses does not exhaust the stack")
    func deep() throws {
        let depth = 2000
        let value = try JSONValue.parse(String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
        #expect(value.encoded().count == 2 * depth)
        #expect(throws: JSONParseError.self) {
            try JSONValue.parse(String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000))
        }
    }

    @Test("a writer puts commas where they belong")
    func writer() throws {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("a", 1)
        writer.member("b", "x\"y")
        writer.key("c")
        writer.beginArray()
        writer.real(1)
        writer.null()
        writer.beginObject()
        writer.endObject()
        writer.value(["k": 1])
        writer.text("[0]".utf8)
        writer.endArray()
        writer.member("d", true)
        writer.endObject()
        #expect(
            String(decoding: writer.finish(), as: UTF8.self)
                == #"{"a":1,"b":"x\"y","c":[1.0,null,{},{"k":1},[0]],"d":true}"#)
    }
}

@Suite struct JSONObjectReaderTests {
    private let document: JSONValue = [
        "name": "sentiment", "memory": 256, "ratio": 0.5, "whole": 3.0, "gone": nil, "tags": ["a", "b"],
        "environment": ["KEY": "value"], "training": ["handler": "train", "timeout": "long"],
        "channels": [["name": "x"], ["nom": "y"]],
    ]

    @Test("members are read by type, and null counts as absent")
    func reads() throws {
        let reader = try JSONObjectReader(document)
        #expect(try reader.required("name", as: String.self) == "sentiment")
        #expect(try reader.required("memory", in: 128...512) == 256)
        #expect(try reader.required("ratio", as: Double.self) == 0.5)
        #expect(try reader.required("memory", as: Double.self) == 256)
        #expect(try reader.required("whole", as: Int.self) == 3)
        #expect(try reader.optional("gone", as: Int.self) == nil)
        #expect(try reader.optional("absent", as: Int.self) == nil)
        #expect(try reader.required("tags", as: [String].self) == ["a", "b"])
        #expect(try reader.required("environment", as: [String: String].self) == ["KEY": "value"])
        #expect(try reader.requiredObject("training").required("handler", as: String.self) == "train")
        #expect(try reader.objects("channels").count == 2)
        try reader.refuseUnknown()
    }

    @Test("an error names the path, what was expected and what was found")
    func errors() throws {
        let reader = try JSONObjectReader(document)
        func message(_ body: () throws -> Void) -> String {
            do { try body() } catch { return "\(error)" }
            return "no error"
        }
        #expect(
            message { _ = try reader.required("handler", as: String.self) }
                == "handler is missing: a string is required")
        #expect(message { _ = try reader.required("gone", as: Bool.self) } == "gone is missing: a boolean is required")
        #expect(message { _ = try reader.required("name", as: Int.self) } == "name must be an integer, not a string")
        #expect(message { _ = try reader.required("ratio", as: Int.self) } == "ratio must be an integer, not a number")
        #expect(
            message { _ = try reader.required("tags", as: [Int].self) } == "tags[0] must be an integer, not a string")
        #expect(message { _ = try reader.required("memory", in: 1...128) } == "memory must be from 1 to 128, not 256")
        #expect(
            message { _ = try reader.requiredObject("training").optional("timeout", as: Int.self) }
                == "training.timeout must be an integer, not a string")
        #expect(
            message { _ = try reader.objects("channels")[1].required("name", as: String.self) }
                == "channels[1].name is missing: a string is required")
        #expect(message { throw reader.notAllowed("name", "is taken") } == "name is taken")
        #expect(message { try reader.refuseUnknown() } == "unknown keys: whole, environment")
        #expect(
            message { _ = try JSONObjectReader(3, named: "the request body") }
                == "the request body must be an object, not an integer")
    }
}
