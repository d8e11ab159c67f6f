import Domain
import Glibc
import JSON
import Manifests

/// A folder with a `function.json`: what `deploy` reads, checks and packages.
struct FunctionFolder {
    /// Without a slash at its end.
    let path: String
    /// `function.json` as it is, which the host gets and reads once more.
    let document: JSONValue
    let manifest: FunctionManifest

    init(path given: String) throws(CommandError) {
        var path = given
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        var status = stat()
        guard stat(path, &status) == 0 else { throw .usage("\(path): \(systemMessage(errno))") }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .usage("\(path) is not a folder") }
        let file = path + "/" + FunctionManifest.fileName
        guard access(file, F_OK) == 0 else {
            throw .folder(path: path, reason: "there is no function.json in it, so this is no function folder")
        }
        self.path = path
        let text = try readFile(file)
        do throws(FunctionManifest.Invalid) {
            manifest = try FunctionManifest(text: text)
        } catch {
            throw .folder(path: path, reason: "\(error)")
        }
        guard let value = try? JSONValue.parse(text) else { throw .folder(path: file, reason: "this is no JSON") }
        document = value
    }

    var name: FunctionName { manifest.function.name }
    var runtime: Runtime { manifest.function.configuration.runtime }

    /// What runs the function: for Swift the built executable, else the folder's files.
    ///
    /// - Parameter workspace: where files made on the way are left; must live until they are uploaded.
    func package(workspace: TemporaryDirectory) throws(CommandError) -> FileSet {
        if runtime == .swift { return try SwiftPackage(path: path).build(workspace: workspace) }
        let model = manifest.model
        let set = try FileSet(folder: path) { FunctionFolder.isLeftOut($0, isDirectory: $1, model: model) }
        guard !set.files.isEmpty else { throw .folder(path: path, reason: "there is no file to package in it") }
        if let training = manifest.training?.configuration, training.isScript,
            !set.files.contains(where: { $0.path == training.handler })
        {
            throw .folder(path: path, reason: "the training's script '\(training.handler)' is not in it")
        }
        if case .provided = runtime {
            guard let bootstrap = set.files.first(where: { $0.path == "bootstrap" }) else {
                throw .folder(path: path, reason: "runtime \(runtime) needs an executable named 'bootstrap' in it")
            }
            guard bootstrap.isExecutable else {
                throw .folder(path: bootstrap.source, reason: "this must be executable; run 'chmod +x' on it")
            }
        }
        return set
    }

    /// The files of the model's folder; nil when the folder brings none.
    func modelFiles() throws(CommandError) -> FileSet? {
        guard let model = manifest.model else { return nil }
        let directory = path + "/" + model
        guard access(directory, F_OK) == 0 else {
            throw .folder(path: path, reason: "the model folder '\(model)' is not there")
        }
        let set = try FileSet(folder: directory)
        guard !set.files.isEmpty else { throw .folder(path: directory, reason: "there is no file of a model in it") }
        return set
    }

    /// Files that belong to the folder's author, not to its workers. Hidden files never come this far.
    static func isLeftOut(_ path: String, isDirectory: Bool, model: String?) -> Bool {
        if path == model { return true }
        let name = path.split(separator: "/").last ?? ""
        if isDirectory { return name == "__pycache__" || path == "tests" }
        return [FunctionManifest.fileName, "event.json", "expected.json"].contains(path)
            || (path.hasPrefix("README") && !path.contains("/"))
    }
}
