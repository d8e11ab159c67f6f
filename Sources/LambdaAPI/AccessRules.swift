package import Domain
internal import Management
package import Signing

/// Which operations a key may use. A host without keys lets everybody on the machine use all of them.
///
/// Reading about a function takes any right on it. What concerns the host as a whole takes `manage` on all functions.
extension LambdaAPI {
    /// Whether the key may do what the head of a request asks for. `CreateFunction` names its function in the body, and
    /// asks again.
    ///
    /// - Parameter key: `nil` on a host without keys.
    package func authorize(_ operation: Operation, _ key: AccessKey?) throws(WireError) {
        guard let key else { return }
        switch operation.name.access {
        case .body:
            guard key.actions.contains(.manage) else {
                throw WireError(
                    .notAuthorized(keyID: key.id, operation: operation.name.rawValue, resource: "*"))
            }
        case .host: try key.require([.manage], nil, operation.name.rawValue)
        case .reading:
            let function = try Self.function(of: operation)
            try key.require(Set(AccessKey.Action.allCases), function, operation.name.rawValue)
        case .managing:
            let function = try Self.function(of: operation)
            try key.require([.manage], function, operation.name.rawValue)
            // The code and the handler of a training function make the versions of the one that it trains.
            if operation.name == .updateFunctionCode || operation.name == .updateFunctionConfiguration,
                let trained = management.catalog.entries[function]?.function.latest.configuration.settings.trains
            {
                try key.require([.manage], trained, operation.name.rawValue)
            }
        case .invoking:
            // Which of them it takes depends on the version, which is told to those only who may do one.
            try key.require([.invoke, .train], try Self.function(of: operation), operation.name.rawValue)
        case .executing:
            let execution = ExecutionReference(operation.resource)
            let function = try Self.function(of: operation)
            let isTraining = isTraining(function, execution?.version ?? .latest)
            try key.require([.manage, isTraining ? .train : .invoke], function, operation.name.rawValue)
        }
    }

    /// Whether the key may run what a plan has found: a training takes `train` on its function and on the one that it
    /// publishes a version of.
    package func authorize(_ plan: InvokePlan, _ operation: Operation, _ key: AccessKey?) throws(WireError) {
        guard let key else { return }
        let trained = plan.route.version.configuration.settings.trains
        try key.require([trained == nil ? .invoke : .train], plan.route.function.name, operation.name.rawValue)
        if let trained { try key.require([.train], trained, operation.name.rawValue) }
    }

    /// Naming the function that another one trains is a way to change it.
    func requireTrained(
        _ configuration: ConfigurationPatch, _ request: WireRequest, _ operation: Operation.Name
    ) throws(WireError) {
        guard let trained = configuration.trained else { return }
        try request.require([.manage], trained, operation.rawValue)
    }

    /// For who has a function invoked in their name, whichever version that will be.
    func requireInvoking(_ function: FunctionName, _ request: WireRequest) throws(WireError) {
        let versions = management.catalog.entries[function]?.allVersions ?? []
        let trained = Set(versions.compactMap(\.configuration.settings.trains))
        try request.require([.manage, trained.isEmpty ? .invoke : .train], function, "InvokeFunction")
        for name in trained { try request.require([.manage, .train], name, "InvokeFunction") }
    }

    package func isTraining(_ function: FunctionName, _ version: VersionNumber) -> Bool {
        management.catalog.entries[function]?.version(version)?.configuration.settings.trains != nil
    }

    private static func function(of operation: Operation) throws(WireError) -> FunctionName {
        if let execution = ExecutionReference(operation.resource) { return execution.function }
        return try FunctionReference(operation.resource).name
    }
}

extension AccessKey {
    /// - Parameter actions: any of these is enough.
    /// - Parameter function: `nil` for what concerns the host as a whole.
    package func require(
        _ actions: Set<Action>, _ function: FunctionName?, _ operation: String
    ) throws(WireError) {
        if actions.contains(where: { allows($0, function) }) { return }
        let resource = function.map { ARN.function($0) } ?? "*"
        throw WireError(.notAuthorized(keyID: id, operation: operation, resource: resource))
    }
}

extension WireRequest {
    /// As `AccessKey.require`; everything is allowed on a host without keys.
    package func require(
        _ actions: Set<AccessKey.Action>, _ function: FunctionName?, _ operation: String
    ) throws(WireError) {
        try key?.require(actions, function, operation)
    }
}

extension WireError {
    package init(_ error: AuthenticationError) {
        let exception: Exception =
            switch error {
            case .missingToken: .missingAuthenticationToken
            case .malformed: .incompleteSignature
            case .unknownKey: .unrecognizedClient
            case .expiredSession: .expiredToken
            case .wrongSignature, .bodyNotAsDeclared, .unsignedPayload, .tooOld, .notYetCurrent, .wrongRegion,
                .wrongService, .wrongDate:
                .invalidSignature
            case .notAuthorized: .accessDenied
            }
        self.init(exception, error.message)
    }
}

extension Operation.Name {
    fileprivate enum Access {
        /// The body names the function.
        case body
        case host, reading, managing, invoking
        /// Changes what an invocation made.
        case executing
    }

    fileprivate var access: Access {
        switch self {
        case .createFunction: .body
        case .getAccountSettings, .listFunctions: .host
        case .getAlias, .getDurableExecution, .getDurableExecutionHistory, .getFunction, .getFunctionConcurrency,
            .getFunctionCodeSigningConfig, .getFunctionConfiguration, .getFunctionEventInvokeConfig,
            .getFunctionRecursionConfig, .getProvisionedConcurrencyConfig, .listProvisionedConcurrencyConfigs,
            .getRuntimeManagementConfig, .listAliases, .listDurableExecutionsByFunction,
            .listFunctionEventInvokeConfigs, .listTags, .listVersionsByFunction:
            .reading
        case .createAlias, .deleteAlias, .deleteFunction, .deleteFunctionConcurrency,
            .deleteFunctionEventInvokeConfig, .publishVersion, .putFunctionConcurrency,
            .putFunctionEventInvokeConfig, .putFunctionRecursionConfig, .putProvisionedConcurrencyConfig,
            .deleteProvisionedConcurrencyConfig,
            .putRuntimeManagementConfig, .tagResource,
            .untagResource, .updateAlias, .updateFunctionCode,
            .updateFunctionConfiguration, .updateFunctionEventInvokeConfig:
            .managing
        case .invoke, .invokeAsync, .invokeWithResponseStream: .invoking
        case .deleteDurableExecution, .pauseDurableExecution, .resumeDurableExecution, .stopDurableExecution: .executing
        }
    }
}
