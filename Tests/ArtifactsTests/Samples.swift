import Domain
import Foundation

@testable import Artifacts

/// A directory of one test, removed with it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.path + "/roost-artifacts-" + UUID().uuidString
        try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)  // no test without it
    }

    deinit {
        _ = try? python(
            "import shutil, os, sys\nos.system('chmod -R u+w ' + sys.argv[1]); shutil.rmtree(sys.argv[1])", [path])
    }
}

struct ScriptFailed: Error, CustomStringConvertible {
    var description: String
}

/// Runs a Python script and returns its output.
@discardableResult
func python(_ script: String, _ arguments: [String] = []) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
    process.arguments = ["-c", script] + arguments
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw ScriptFailed(description: script) }
    return String(decoding: text, as: UTF8.self)
}

/// A zip that Python's zipfile writes: `script` adds to the ZipFile `z`.
func zip(_ script: String) throws -> [UInt8] {
    let directory = TemporaryDirectory()
    let path = directory.path + "/package.zip"
    try python(
        """
        import io, os, stat, struct, sys, warnings, zipfile, zlib
        warnings.simplefilter("ignore")
        from zipfile import ZipInfo
        def link(z, name, target):
            info = ZipInfo(name); info.create_system = 3; info.external_attr = (stat.S_IFLNK | 0o777) << 16
            z.writestr(info, target)
        def mode(z, name, mode, data=b"x"):
            info = ZipInfo(name); info.create_system = 3; info.external_attr = mode << 16
            z.writestr(info, data)
        z = zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED)
        \(script)
        z.close()
        """, [path])
    return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
}

func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

func permissions(_ path: String) throws -> Int {
    try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int ?? -1
}

func inode(_ path: String) throws -> Int {
    try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int ?? -1
}

func entries(_ path: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
