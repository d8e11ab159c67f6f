import ArgumentParser
import Domain
import JSON

struct Deploy: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create or update the function of a folder.",
        discussion: """
            The folder holds a function.json. A Swift function is built in release mode first; of other runtimes the \
            folder's files are taken, less function.json, the model's folder, hidden files, __pycache__, tests, \
            README*, event.json and expected.json. Files that the host has already are not sent again.
            """)

    @Argument(help: "The function's folder.", completion: .directory)
    var folder: String

    @Flag(help: "Publish the result as a new version.")
    var publish = false

    @OptionGroup var client: ClientOptions

    func run() throws {
        let host = try client.host()
        let folder = try FunctionFolder(path: folder)
        let workspace = try TemporaryDirectory()
        let status = StatusLine(isShown: Terminal.isErrorTerminal)
        defer { status.clear() }

        if folder.runtime == .swift { status.show("building \(folder.name) ...") }
        let files = try folder.package(workspace: workspace)
        let modelFiles = try folder.modelFiles()
        let package = try host.upload(files, progress: status.upload)
        let model = try modelFiles.map { try host.upload($0, progress: status.upload) }
        var request = JSONObject()
        request["Manifest"] = folder.document
        request["Package"] = .string(package.manifest.description)
        if let model { request["Model"] = .string(model.manifest.description) }
        request["Publish"] = .bool(publish)
        let answer = try host.json("POST", .roost("deployments"), .object(request))
        status.clear()

        if client.json { return Terminal.print(answer) }
        let version = answer["Function"]?["Version"]?.stringValue ?? "$LATEST"
        var line = "deployed \(folder.name):\(version) (\(folder.runtime), \(package.text)"
        if let model { line += "; model: \(model.text)" }
        Terminal.print(line + ")")
        if let training = answer["Training"]?.stringValue {
            Terminal.print(
                "start a training of it with: roost train \(folder.name) --channel train=PATH  (\(training))")
        }
    }
}

extension StatusLine {
    func upload(_ file: String, _ bytesSent: Int, _ bytesTotal: Int) {
        show("sending \(file), \(sizeText(bytesSent)) of \(sizeText(bytesTotal)) done")
    }
}
