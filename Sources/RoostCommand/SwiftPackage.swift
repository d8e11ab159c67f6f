import JSON

/// A Swift package with the one executable that a function is.
struct SwiftPackage {
    /// The folder of its `Package.swift`.
    let path: String

    /// Builds the executable, with the standard library inside it so that a worker needs no toolchain, and returns it
    /// as `bootstrap`, with the resource bundles of its targets.
    func build(workspace: TemporaryDirectory) throws(CommandError) -> FileSet {
        guard let swift = Program.find("swift") else {
            throw .program(
                name: "swift", reason: "there is no Swift toolchain in PATH, which a function with runtime swift needs",
                output: [])
        }
        let place = ["--package-path", path, "--scratch-path", path + "/.build"]
        let product = try executableProduct(of: try run(swift, ["package"] + place + ["describe", "--type", "json"]))
        let build = ["build"] + place + ["-c", "release", "--static-swift-stdlib", "--product", product]
        _ = try run(swift, build)
        let answer = try run(swift, build + ["--show-bin-path"])
        let directory = String(decoding: answer, as: UTF8.self).split(whereSeparator: \.isNewline).last.map(String.init)
        guard let directory else { throw .program(name: "swift", reason: "'--show-bin-path' says nothing", output: []) }

        var set = FileSet()
        try set.add(file: try stripped("\(directory)/\(product)", workspace), as: "bootstrap")
        for name in try directoryEntries(directory) where name.hasSuffix(".resources") {
            for file in try FileSet(folder: directory + "/" + name).files {
                try set.add(file: file.source, as: name + "/" + file.path)
            }
        }
        return set
    }

    /// The one executable product in what `swift package describe` says.
    func executableProduct(of description: [UInt8]) throws(CommandError) -> String {
        // Notes of the package manager may stand before the object.
        let start = description.firstIndex(of: UInt8(ascii: "{")) ?? description.endIndex
        guard let document = try? JSONValue.parse(Array(description[start...])) else {
            throw .program(name: "swift package describe", reason: "its answer is no JSON", output: description)
        }
        let names = (document["products"]?.arrayValue ?? []).filter { $0["type"]?["executable"] != nil }
            .compactMap { $0["name"]?.stringValue }
        guard names.count == 1 else {
            throw .folder(
                path: path,
                reason: names.isEmpty
                    ? "the package has no executable product; a function needs exactly one"
                    : "the package has several executable products (\(names.joined(separator: ", "))); "
                        + "a function needs exactly one")
        }
        return names[0]
    }

    /// A copy without symbols, a fraction of the size; the file itself where there is no `strip`.
    private func stripped(_ binary: String, _ workspace: TemporaryDirectory) throws(CommandError) -> String {
        guard let strip = Program.find("strip") else { return binary }
        let copy = workspace.path + "/bootstrap"
        return try Program.run(strip, ["-o", copy, binary]).status == 0 ? copy : binary
    }

    private func run(_ swift: String, _ arguments: [String]) throws(CommandError) -> [UInt8] {
        let outcome = try Program.run(swift, arguments)
        guard outcome.status == 0 else {
            throw .program(
                name: "swift \(arguments[0])", reason: "it failed with status \(outcome.status)",
                output: outcome.output + outcome.errors)
        }
        return outcome.output
    }
}
