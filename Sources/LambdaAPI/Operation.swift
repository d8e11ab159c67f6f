/// An operation of the Lambda API, with what its path names.
package struct Operation: Equatable, Sendable {
    package enum Name: String, Sendable, CaseIterable {
        case createAlias = "CreateAlias"
        case createFunction = "CreateFunction"
        case deleteAlias = "DeleteAlias"
        case deleteDurableExecution = "DeleteDurableExecution"
        case deleteFunction = "DeleteFunction"
        case deleteFunctionConcurrency = "DeleteFunctionConcurrency"
        case deleteFunctionEventInvokeConfig = "DeleteFunctionEventInvokeConfig"
        case deleteProvisionedConcurrencyConfig = "DeleteProvisionedConcurrencyConfig"
        case getAccountSettings = "GetAccountSettings"
        case getAlias = "GetAlias"
        case getDurableExecution = "GetDurableExecution"
        case getDurableExecutionHistory = "GetDurableExecutionHistory"
        case getFunction = "GetFunction"
        case getFunctionCodeSigningConfig = "GetFunctionCodeSigningConfig"
        case getFunctionConcurrency = "GetFunctionConcurrency"
        case getFunctionConfiguration = "GetFunctionConfiguration"
        case getFunctionEventInvokeConfig = "GetFunctionEventInvokeConfig"
        case getFunctionRecursionConfig = "GetFunctionRecursionConfig"
        case getProvisionedConcurrencyConfig = "GetProvisionedConcurrencyConfig"
        case getRuntimeManagementConfig = "GetRuntimeManagementConfig"
        case invoke = "Invoke"
        case invokeAsync = "InvokeAsync"
        case invokeWithResponseStream = "InvokeWithResponseStream"
        case listAliases = "ListAliases"
        case listDurableExecutionsByFunction = "ListDurableExecutionsByFunction"
        case listFunctionEventInvokeConfigs = "ListFunctionEventInvokeConfigs"
        case listFunctions = "ListFunctions"
        /// At the path of `GetProvisionedConcurrencyConfig`, with the query `List=ALL`.
        case listProvisionedConcurrencyConfigs = "ListProvisionedConcurrencyConfigs"
        case listTags = "ListTags"
        case listVersionsByFunction = "ListVersionsByFunction"
        case pauseDurableExecution = "PauseDurableExecution"
        case publishVersion = "PublishVersion"
        case putFunctionConcurrency = "PutFunctionConcurrency"
        case putFunctionEventInvokeConfig = "PutFunctionEventInvokeConfig"
        case putFunctionRecursionConfig = "PutFunctionRecursionConfig"
        case putProvisionedConcurrencyConfig = "PutProvisionedConcurrencyConfig"
        case putRuntimeManagementConfig = "PutRuntimeManagementConfig"
        case resumeDurableExecution = "ResumeDurableExecution"
        case stopDurableExecution = "StopDurableExecution"
        case tagResource = "TagResource"
        case untagResource = "UntagResource"
        case updateAlias = "UpdateAlias"
        case updateFunctionCode = "UpdateFunctionCode"
        case updateFunctionConfiguration = "UpdateFunctionConfiguration"
        case updateFunctionEventInvokeConfig = "UpdateFunctionEventInvokeConfig"
    }

    package let name: Name
    /// What stands in the path for a function, an execution or what is tagged; empty for the few operations that name none.
    package let resource: String
    /// The alias that the path names.
    package let alias: String

    package init(_ name: Name, resource: String = "", alias: String = "") {
        self.name = name
        self.resource = resource
        self.alias = alias
    }

    /// The operations at a path, by their verbs; empty for paths that we do not know.
    static func at(_ segments: [String]) -> [(method: String, name: Name)] {
        // Dates in the paths are the service's, one for each group of operations.
        guard segments.count >= 2 else { return [] }
        switch (segments[0], segments[1], segments.count) {
        case ("2015-03-31", "functions", 2):
            return [("GET", .listFunctions), ("POST", .createFunction)]
        // `functions/` with a slash at its end is what older clients send.
        case ("2015-03-31", "functions", 3) where segments[2].isEmpty:
            return [("GET", .listFunctions), ("POST", .createFunction)]
        case ("2015-03-31", "functions", 3):
            return [("GET", .getFunction), ("DELETE", .deleteFunction)]
        case ("2015-03-31", "functions", 4):
            switch segments[3] {
            case "invocations": return [("POST", .invoke)]
            case "configuration":
                return [("GET", .getFunctionConfiguration), ("PUT", .updateFunctionConfiguration)]
            case "code": return [("PUT", .updateFunctionCode)]
            case "versions": return [("GET", .listVersionsByFunction), ("POST", .publishVersion)]
            case "aliases": return [("GET", .listAliases), ("POST", .createAlias)]
            default: return []
            }
        case ("2015-03-31", "functions", 5) where segments[3] == "aliases":
            return [("GET", .getAlias), ("PUT", .updateAlias), ("DELETE", .deleteAlias)]
        case ("2014-11-13", "functions", 4) where segments[3] == "invoke-async":
            return [("POST", .invokeAsync)]
        case ("2021-11-15", "functions", 4) where segments[3] == "response-streaming-invocations":
            return [("POST", .invokeWithResponseStream)]
        case ("2016-08-19", "account-settings", 2):
            return [("GET", .getAccountSettings)]
        case ("2020-06-30", "functions", 4) where segments[3] == "code-signing-config":
            return [("GET", .getFunctionCodeSigningConfig)]
        case ("2021-07-20", "functions", 4) where segments[3] == "runtime-management-config":
            return [("GET", .getRuntimeManagementConfig), ("PUT", .putRuntimeManagementConfig)]
        case ("2024-08-31", "functions", 4) where segments[3] == "recursion-config":
            return [("GET", .getFunctionRecursionConfig), ("PUT", .putFunctionRecursionConfig)]
        case ("2017-03-31", "tags", 3):
            return [("GET", .listTags), ("POST", .tagResource), ("DELETE", .untagResource)]
        case ("2017-10-31", "functions", 4) where segments[3] == "concurrency":
            return [("PUT", .putFunctionConcurrency), ("DELETE", .deleteFunctionConcurrency)]
        case ("2019-09-30", "functions", 4) where segments[3] == "concurrency":
            return [("GET", .getFunctionConcurrency)]
        case ("2019-09-25", "functions", 4) where segments[3] == "event-invoke-config":
            return [
                ("GET", .getFunctionEventInvokeConfig), ("PUT", .putFunctionEventInvokeConfig),
                ("POST", .updateFunctionEventInvokeConfig), ("DELETE", .deleteFunctionEventInvokeConfig),
            ]
        case ("2019-09-25", "functions", 5) where segments[3] == "event-invoke-config" && segments[4] == "list":
            return [("GET", .listFunctionEventInvokeConfigs)]
        case ("2019-09-30", "functions", 4) where segments[3] == "provisioned-concurrency":
            return [
                ("GET", .getProvisionedConcurrencyConfig), ("PUT", .putProvisionedConcurrencyConfig),
                ("DELETE", .deleteProvisionedConcurrencyConfig),
            ]
        case ("2025-12-01", "functions", 4) where segments[3] == "durable-executions":
            return [("GET", .listDurableExecutionsByFunction)]
        case ("2025-12-01", "durable-executions", 3):
            return [("GET", .getDurableExecution), ("DELETE", .deleteDurableExecution)]
        case ("2025-12-01", "durable-executions", 4):
            switch segments[3] {
            case "history": return [("GET", .getDurableExecutionHistory)]
            case "stop": return [("POST", .stopDurableExecution)]
            case "pause": return [("POST", .pauseDurableExecution)]
            case "resume": return [("POST", .resumeDurableExecution)]
            default: return []
            }
        default: return []
        }
    }
}

extension LambdaAPI {
    /// Which operation a request means. Cheap, and decided before its body arrives.
    package func route(method: String, segments: [String]) throws(WireError) -> Operation {
        let known = Operation.at(segments)
        guard let found = known.first(where: { $0.method == method }) else {
            // The service knows no 405.
            throw WireError(
                .unknownOperation,
                known.isEmpty
                    ? "Unknown operation: the path names none." : "Unknown operation: the path takes no \(method).")
        }
        let resource = segments.count > 2 ? segments[2] : ""
        return Operation(found.name, resource: resource, alias: segments.count > 4 ? segments[4] : "")
    }

    /// The longest body that an operation takes. Of an invocation this is the longest of any type; its plan knows more.
    package func bodyBytesMax(_ operation: Operation) -> Int {
        switch operation.name {
        case .createFunction, .updateFunctionCode: limits.packageRequestBytesMax
        case .invoke, .invokeAsync, .invokeWithResponseStream: max(limits.requestResponseBytesMax, limits.eventBytesMax)
        default: limits.requestBytesMax
        }
    }

    /// The error for an invocation with a longer body, whatever its type and function.
    package func tooLarge(_ operation: Operation, bytes: Int) -> WireError {
        InvokePlan.tooLarge(bytes, .requestResponse, limit: bodyBytesMax(operation))
    }

    /// The error for a longer body.
    package func tooLarge(_ operation: Operation) -> WireError {
        WireError(.requestEntityTooLarge, "Request must be smaller than \(bodyBytesMax(operation)) bytes")
    }
}
