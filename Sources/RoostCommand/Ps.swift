import ArgumentParser
import JSON

struct Ps: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the workers that are alive.")

    @OptionGroup var client: ClientOptions

    func run() throws {
        let answer = try client.host().json("GET", .roost("workers"))
        if client.json { return Terminal.print(answer) }
        var table = Table("FUNCTION", "WORKER", "PROCESS", "STATE", "FOR", "QUEUED")
        var workersCount = 0
        for pool in answer["Pools"]?.arrayValue ?? [] {
            let name = text(pool["FunctionName"]) + ":" + text(pool["Version"])
            let workers = pool["Workers"]?.arrayValue ?? []
            workersCount += workers.count
            for worker in workers {
                let state = text(worker["State"]) + (worker["Provisioned"] == true ? ", provisioned" : "")
                table.add(
                    name, text(worker["Id"]), text(worker["ProcessId"]), state,
                    worker["SinceSeconds"]?.realValue.map { spanText(seconds: $0) } ?? "-", text(pool["Queued"]))
            }
            if workers.isEmpty, pool["Queued"]?.integerValue ?? 0 > 0 {
                table.add(name, "-", "-", "waiting", "-", text(pool["Queued"]))
            }
        }
        Terminal.print(workersCount == 0 ? "no workers; every function sleeps" : table.text)
    }
}
