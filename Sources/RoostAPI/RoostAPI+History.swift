internal import LambdaAPI

extension RoostAPI {
    /// What has run lately, as a trace: the CSV of docs/SCHEDULING.md. Without invocations it is the header alone.
    func historyTrace() async -> WireResponse {
        let header = "function,arrival_seconds,duration_seconds,memory_mb,cold_start_seconds\n"
        return WireResponse(
            status: 200, headers: [("Content-Type", "text/csv; charset=utf-8")],
            body: Array(header.utf8) + (await history()))
    }
}
