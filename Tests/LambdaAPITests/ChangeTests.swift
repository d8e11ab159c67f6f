import JSON
import LambdaAPI
import Testing

@Suite struct ChangeTests {
    @Test("another runtime is taken only if the package has what it starts with")
    func runtimes() async throws {
        try await TestHost.run { host in
            let made = await host.create("m")
            let refused = await host.send("PUT", "/2015-03-31/functions/m/configuration", ["Runtime": "provided"])
            #expect(refused.status == 400)
            #expect(refused.json["message"]?.stringValue?.contains("bootstrap") == true)
            let same = await host.send("GET", "/2015-03-31/functions/m/configuration")
            #expect(same.json == made.json)
            let code = ["ZipFile": .string(TestHost.zip("bootstrap", "#!/bin/sh\n"))] as JSONValue
            #expect(await host.send("PUT", "/2015-03-31/functions/m/code", code).status == 200)
            let taken = await host.send("PUT", "/2015-03-31/functions/m/configuration", ["Runtime": "provided"])
            #expect(taken.json["Runtime"] == "provided")
        }
    }

    @Test("a dry run of new code answers what it would be, and changes nothing")
    func dryRun() async throws {
        try await TestHost.run { host in
            let made = await host.create("m", ["Publish": true])
            let code =
                ["ZipFile": .string(TestHost.zip("m.py", "x = 1\n")), "DryRun": true, "Publish": true] as JSONValue
            let dry = await host.send("PUT", "/2015-03-31/functions/m/code", code)
            #expect(dry.status == 200)
            let latest = await host.send("GET", "/2015-03-31/functions/m/configuration")
            #expect(dry.json["CodeSha256"] != made.json["CodeSha256"])
            #expect(dry.json["RevisionId"] == latest.json["RevisionId"])
            #expect(dry.json["Version"] == "$LATEST")
            #expect(latest.json["CodeSha256"] == made.json["CodeSha256"])
            let versions = await host.send("GET", "/2015-03-31/functions/m/versions")
            #expect(versions.json["Versions"]?.arrayValue?.count == 2)
        }
    }

    @Test("what cannot be deleted is named as the client named it")
    func deletions() async throws {
        try await TestHost.run { host in
            let gone = await host.send("DELETE", "/2015-03-31/functions/none?Qualifier=3")
            #expect(gone.status == 404)
            #expect(gone.json["Message"]?.stringValue?.hasSuffix(":function:none:3") == true)
            _ = await host.create("m")
            #expect(await host.send("DELETE", "/2015-03-31/functions/m?Qualifier=3").status == 204)
            let alias = await host.send("DELETE", "/2015-03-31/functions/m?Qualifier=live")
            #expect(alias.json["message"] == "Deletion of aliases is not currently supported.")
            #expect(await host.send("GET", "/2015-03-31/functions/m").status == 200)
        }
    }
}
