package import Dispatching
package import Domain
package import JSON
package import Loop
package import Management

/// The AWS Lambda API: wire request in, verbs of management and executions, wire response out. Lives on the loop.
///
/// It decides nothing about functions; it reads what clients mean, refuses what cannot be honoured, and gives answers and
/// errors the form that AWS clients know.
package final class LambdaAPI {
    package struct Limits: Sendable {
        /// Of a body that carries a package, which is a third longer than the zip. Default 512 MiB.
        package var packageRequestBytesMax = 512 << 20
        /// Of any other body but events. Default 1 MiB.
        package var requestBytesMax = 1 << 20
        /// Of the event of a synchronous invocation. Default 6 MiB.
        package var requestResponseBytesMax = 6 << 20
        /// Of the event of an asynchronous invocation. Default 1 MiB.
        package var eventBytesMax = 1 << 20
        /// Of the event of the older `InvokeAsync`. Default 256 KiB.
        package var invokeAsyncBytesMax = 256 << 10
        package init() {}
    }

    package let management: Management
    let executions: any ExecutionService
    let loop: EventLoop
    package let limits: Limits
    package let rules: ConfigurationRules
    /// What there is of the workers that are provisioned for a version.
    package var provision: (Function.ID, Version) -> ProvisionReport = { _, _ in ProvisionReport() }

    /// - Parameters:
    ///   - pythonMinor: N of the machine's Python 3.N; `nil` when it has none.
    ///   - targets: what the host's configuration has as targets of deliveries.
    package init(
        management: Management, executions: any ExecutionService, loop: EventLoop, pythonMinor: Int?,
        targets: Set<TargetARN> = [],
        limits: Limits = .init()
    ) {
        self.management = management
        self.executions = executions
        self.loop = loop
        self.limits = limits
        rules = ConfigurationRules(pythonMinor: pythonMinor, targets: targets)
    }

    /// Runs any operation but invocations, which are planned.
    package func perform(_ operation: Operation, _ request: WireRequest) async -> WireResponse {
        do throws(WireError) { return try await answer(operation, request) } catch { return error.response }
    }

    private func answer(_ operation: Operation, _ request: WireRequest) async throws(WireError) -> WireResponse {
        switch operation.name {
        case .createFunction: try await createFunction(request)
        case .getFunction: try getFunction(operation.resource, request)
        case .getFunctionConfiguration: try getFunctionConfiguration(operation.resource, request)
        case .listFunctions: try listFunctions(request)
        case .updateFunctionCode: try await updateFunctionCode(operation.resource, request)
        case .updateFunctionConfiguration: try await updateFunctionConfiguration(operation.resource, request)
        case .deleteFunction: try await deleteFunction(operation.resource, request)
        case .publishVersion: try await publishVersion(operation.resource, request)
        case .listVersionsByFunction: try listVersions(operation.resource, request)
        case .createAlias: try await createAlias(operation.resource, request)
        case .getAlias: try getAlias(operation.resource, operation.alias)
        case .listAliases: try listAliases(operation.resource, request)
        case .updateAlias: try await updateAlias(operation.resource, operation.alias, request)
        case .deleteAlias: try await deleteAlias(operation.resource, operation.alias, request)
        case .listTags: try listTags(operation.resource)
        case .tagResource: try await tagResource(operation.resource, request)
        case .untagResource: try await untagResource(operation.resource, request)
        case .putFunctionConcurrency: try await putConcurrency(operation.resource, request)
        case .getFunctionConcurrency: try getConcurrency(operation.resource)
        case .deleteFunctionConcurrency: try await deleteConcurrency(operation.resource, request)
        case .putFunctionEventInvokeConfig: try await putEventInvokeConfig(operation.resource, request)
        case .updateFunctionEventInvokeConfig: try await updateEventInvokeConfig(operation.resource, request)
        case .getFunctionEventInvokeConfig: try getEventInvokeConfig(operation.resource, request)
        case .deleteFunctionEventInvokeConfig: try await deleteEventInvokeConfig(operation.resource, request)
        case .listFunctionEventInvokeConfigs: try listEventInvokeConfigs(operation.resource, request)
        case .getDurableExecution: try await getExecution(operation.resource, request)
        case .getDurableExecutionHistory: try await executionHistory(operation.resource, request)
        case .listDurableExecutionsByFunction: try await listExecutions(operation.resource, request)
        case .stopDurableExecution: try await stopExecution(operation.resource, request)
        case .pauseDurableExecution: try await pauseExecution(operation.resource, request)
        case .resumeDurableExecution: try await resumeExecution(operation.resource, request)
        case .deleteDurableExecution: try await deleteExecution(operation.resource, request)
        case .putProvisionedConcurrencyConfig: try await putProvisioned(operation.resource, request)
        case .deleteProvisionedConcurrencyConfig: try await deleteProvisioned(operation.resource, request)
        case .getProvisionedConcurrencyConfig where request.query("List") != nil,
            .listProvisionedConcurrencyConfigs:
            try listProvisioned(operation.resource, request)
        case .getProvisionedConcurrencyConfig: try getProvisioned(operation.resource, request)
        case .getAccountSettings: getAccountSettings()
        case .getFunctionCodeSigningConfig: try getCodeSigningConfig(operation.resource)
        case .getFunctionRecursionConfig: try getRecursionConfig(operation.resource)
        case .putFunctionRecursionConfig: try await putRecursionConfig(operation.resource, request)
        case .getRuntimeManagementConfig: try getRuntimeManagement(operation.resource, request)
        case .putRuntimeManagementConfig: try await putRuntimeManagement(operation.resource, request)
        case .invoke, .invokeAsync, .invokeWithResponseStream:
            preconditionFailure("an invocation is planned, not performed")
        }
    }

    // MARK: - Parts of every operation

    /// Runs a verb of management and gives its errors their wire form.
    func verb<Answer>(
        _ context: WireError.Context = .plain, _ body: () async throws(ManagementError) -> Answer
    ) async throws(WireError) -> Answer {
        do throws(ManagementError) { return try await body() } catch { throw WireError(error, context) }
    }

    func entry(_ name: FunctionName, _ context: WireError.Context = .plain) throws(WireError) -> Catalog.Entry {
        do throws(ManagementError) { return try management.catalog.entry(name) } catch {
            throw WireError(error, context)
        }
    }

    /// The members of a body. No body is an empty object. Large ones are parsed on the thread pool.
    package func object(_ body: [UInt8]) async throws(WireError) -> JSONObjectReader {
        if body.isEmpty { return JSONObjectReader(JSONObject()) }
        let value: JSONValue
        do {
            value =
                body.count <= Self.bytesOnLoopMax
                ? try JSONValue.parse(body) : try await loop.offload { try JSONValue.parse(body) }
        } catch let error as JSONParseError {
            throw WireError(error)
        } catch {
            preconditionFailure("parsing throws JSONParseError only: \(error)")
        }
        return try read { () throws(JSONReadError) in try JSONObjectReader(value, named: "the request body") }
    }

    /// What is longer is read off the loop: 25 ns a byte would hold it for more than 2 ms.
    static let bytesOnLoopMax = 64 << 10
}

/// Reads members and gives their errors the wire form.
package func read<Value>(_ body: () throws(JSONReadError) -> Value) throws(WireError) -> Value {
    do throws(JSONReadError) { return try body() } catch { throw WireError(error) }
}

extension WireResponse {
    package static func json(_ value: JSONValue, status: Int = 200) -> WireResponse {
        WireResponse(status: status, body: value.encoded())
    }
    static let noContent = WireResponse(status: 204)
}
