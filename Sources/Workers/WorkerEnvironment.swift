internal import Domain

/// The environment of a worker, as runtime/PROTOCOL.md, section 8, lists it.
enum WorkerEnvironment {
    /// `NAME=VALUE` entries. What the platform sets wins over the function's own variables.
    static func entries(
        for start: WorkerStart, directories: WorkerDirectories, runtimeDescriptors: [CInt]?, logStream: String,
        endpoint: String?
    ) -> [String] {
        let configuration = start.version.configuration
        var platform = [
            "_HANDLER": configuration.handler,
            "LAMBDA_TASK_ROOT": directories.package,
            "LAMBDA_RUNTIME_DIR": "/opt/roost",
            "AWS_LAMBDA_FUNCTION_NAME": start.functionName.text,
            "AWS_LAMBDA_FUNCTION_VERSION": start.version.number.description,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": String(configuration.memoryMegabytes),
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/\(start.functionName)",
            "AWS_LAMBDA_LOG_STREAM_NAME": logStream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": start.isProvisioned ? "provisioned-concurrency" : "on-demand",
            "AWS_EXECUTION_ENV": "AWS_Lambda_\(configuration.runtime)",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TZ": ":UTC",
            "LANG": "C.UTF-8",
            "TMPDIR": "/tmp",
        ]
        if let runtimeDescriptors {
            platform["ROOST_RUNTIME_FDS"] = runtimeDescriptors.map { String($0) }.joined(separator: ",")
        } else if configuration.settings.workerConcurrency > 1 {
            platform["AWS_LAMBDA_MAX_CONCURRENCY"] = String(configuration.settings.workerConcurrency)
        }
        platform["ROOST_MODEL_DIR"] = directories.model
        // Only a worker on the host's network can reach it.
        if configuration.settings.isNetworkAllowed { platform["AWS_ENDPOINT_URL_LAMBDA"] = endpoint }
        if let training = start.training {
            platform["ROOST_ATTEMPT"] = String(training.attempt)
            platform["ROOST_CHECKPOINT_DIR"] = directories.checkpoint
            platform["ROOST_OUTPUT_DIR"] = directories.output
            platform["ROOST_ML_DIR"] = directories.ml
            for channel in directories.channels {
                platform["ROOST_CHANNEL_\(channel.name.uppercased())"] = channel.path
            }
        }
        var all = ["PATH": "/usr/local/bin:/usr/bin:/bin"]
        all.merge(configuration.environment) { _, own in own }
        all.merge(platform) { _, platform in platform }
        return all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    /// What runs in the sandbox: the command and its arguments.
    static func command(for runtime: Runtime, taskRoot: String, runtimes: String, interpreter: String) -> [String] {
        switch runtime {
        case .swift, .provided: [taskRoot + "/bootstrap"]
        case .python3: [interpreter, "-s", runtimes + "/python/bootstrap.py"]
        }
    }
}
