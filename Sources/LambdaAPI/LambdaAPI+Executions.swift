internal import Domain
internal import JSON
internal import Management
internal import Registry

extension LambdaAPI {
    func getExecution(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse { fatalError() }
    func executionHistory(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse { fatalError() }
    func listExecutions(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse { fatalError() }
    func stopExecution(_ resource: String, _ request: WireRequest) async throws(WireError) -> WireResponse { fatalError() }
}
