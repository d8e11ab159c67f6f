import Domain
import JSON
import LambdaAPI
import Management
import Registry
import Testing

@Suite struct TagTests {
    private static let path = "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3A"

    @Test("tags are the function's: set when it is made, changed, listed, and kept by updates and on the disk")
    func life() async throws {
        try await TestHost.run { host in
            #expect(await host.create("m", ["Tags": ["team": "ml", "Größe 1": ""], "Publish": true]).status == 201)
            let added = await host.send("POST", Self.path + "m", ["Tags": ["team": "vision", "b@c": "x/y=z"]])
            #expect(added.status == 204)
            _ = await host.send("PUT", "/2015-03-31/functions/m/configuration", ["Timeout": 9])
            let expected: JSONValue = ["Größe 1": "", "b@c": "x/y=z", "team": "vision"]
            #expect(await host.send("GET", Self.path + "m").json == ["Tags": expected])
            #expect(await host.send("GET", "/2015-03-31/functions/m?Qualifier=1").json["Tags"] == expected)
            let removed = await host.send("DELETE", Self.path + "m?tagKeys=team&tagKeys=b%40c&tagKeys=none")
            #expect(removed.status == 204)
            let stored = try await host.management.registry.load()
            #expect(stored.functions[0].function.tags == ["Größe 1": ""])
            #expect(await host.send("DELETE", Self.path + "m?tagKeys=Gr%C3%B6%C3%9Fe%201").status == 204)
            #expect(await host.send("GET", "/2015-03-31/functions/m").json["Tags"] == nil)
        }
    }

    @Test("tags that cannot be kept, and resources that cannot have any, are refused")
    func refusals() async throws {
        try await TestHost.run { host in
            _ = await host.create("m")
            func refused(_ target: String, _ tags: JSONValue, _ part: String, status: Int = 400) async {
                let answer = await host.send("POST", Self.path + target, tags)
                #expect(answer.status == status)
                let message = answer.json["message"]?.stringValue ?? answer.json["Message"]?.stringValue ?? ""
                #expect(message.contains(part), "\(answer.json.text())")
            }
            var many = JSONObject()
            for index in 0...50 { many["k\(index)"] = "" }
            await refused("m", ["Tags": .object(many)], "Number of tags exceeds")
            many["k50"] = nil
            #expect(await host.send("POST", Self.path + "m", ["Tags": .object(many)]).status == 204)
            await refused("m", ["Tags": ["one more": ""]], "Number of tags exceeds")
            #expect(await host.send("POST", Self.path + "m", ["Tags": ["k3": "new"]]).status == 204)
            await refused("m", ["Tags": ["AWS:x": ""]], "reserved")
            await refused("m", ["Tags": ["": "x"]], "length greater than or equal to 1")
            await refused("m", ["Tags": [.init(repeating: "k", count: 129): "x"]], "length less than or equal to 128")
            await refused("m", ["Tags": ["k": .string(.init(repeating: "v", count: 257))]], "less than or equal to 256")
            await refused("m", ["Tags": ["a*b": ""]], "regular expression")
            await refused("m", [:], "'tags' failed")
            await refused("m", ["Tags": [:]], "at least one")
            await refused("m", ["Tags": ["a": "b"], "More": 1], "More")
            await refused("m%3A1", ["Tags": ["a": "b"]], "aliases and versions are not supported")
            await refused("none", ["Tags": ["a": "b"]], "Function not found", status: 404)
            #expect(await host.send("GET", "/2017-03-31/tags/m").status == 400)
            #expect(
                await host.send("DELETE", Self.path + "m").json["message"]?.stringValue?.contains("tagKeys") == true)
        }
    }
}
