package import Artifacts
package import Dispatching
internal import Domain
package import Management
package import Registry

extension WireError {
    /// What was asked for, where the words of an error depend on it.
    package enum Context: Sendable {
        case plain
        /// Of an invocation or a concurrency limit: a function without a qualifier is named with `:$LATEST`.
        case qualified
        /// Of a read of an alias.
        case readingAlias
    }

    package init(_ error: ManagementError, _ context: Context = .plain) {
        switch error {
        case .functionNotFound(let name, let qualifier):
            let qualifier = qualifier ?? (context == .qualified ? .version(.latest) : nil)
            self.init(.resourceNotFound, "Function not found: \(ARN.function(name, qualifier))")
        case .functionExists(let name):
            self.init(.resourceConflict, "Function already exist: \(name)")
        case .versionNotFound(let name, let number):
            self.init(.resourceNotFound, "Function not found: \(ARN.function(name, .version(number)))")
        case .aliasNotFound(let name, let alias):
            let arn = ARN.function(name, .alias(alias))
            let text = context == .readingAlias ? "Cannot find alias arn: \(arn)" : "Alias not found: \(arn)"
            self.init(.resourceNotFound, text)
        case .aliasExists(let name, let alias):
            self.init(.resourceConflict, "Alias already exists: \(ARN.function(name, .alias(alias)))")
        case .noEventInvokeConfiguration:
            self.init(.resourceNotFound, error.description)
        case .conflict(let text):
            self.init(.resourceConflict, text)
        case .executionNotFound(let name):
            self.init(.resourceNotFound, "Durable execution not found: \(name)")
        case .datasetNotFound, .datasetRemoved:
            self.init(.resourceNotFound, error.description)
        case .executionExists(let name):
            self.init(
                .durableExecutionAlreadyStarted, "An execution named '\(name)' was started with another payload.")
        case .versionInUse(let name, let number, let alias):
            self.init(
                .resourceConflict, "Version \(number) of \(name) cannot be deleted: alias '\(alias)' points to it.")
        case .latestCannotBeDeleted:
            self = .invalid("$LATEST version cannot be deleted without deleting the function.")
        case .revisionMismatch:
            self.init(
                .preconditionFailed,
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
                    + "retrieve the latest Revision Id")
        case .codeDigestMismatch(let given, let current):
            self = .codeDigestMismatch(
                given: Digest(given).map { Base64.encode($0.bytes) } ?? given,
                current: Digest(current).map { Base64.encode($0.bytes) } ?? current)
        case .invalid(let message):
            self = .invalid(message)
        case .artifact(let error):
            self.init(error)
        case .registry(let error):
            self.init(error)
        case .nothingToRollBack(let name, let alias):
            self.init(
                .nothingToRollBack,
                "Alias '\(alias)' of \(name) has no change left to undo since it was created. Nothing was changed.")
        case .overloaded(let limit):
            self = .busy("\(limit) management requests are waiting, which is the limit.")
        }
    }

    static func codeDigestMismatch(given: String, current: String) -> WireError {
        .invalid(
            "CodeSHA256 (\(given)) is different from current CodeSHA256 in $LATEST (\(current)). Please try again with "
                + "the CodeSHA256 in $LATEST.")
    }

    package init(_ error: ArtifactError) {
        switch error {
        case .digestMismatch(let expected, let actual):
            self.init(.digestMismatch, "The bytes received have the digest \(actual), not \(expected).")
        case .sizeMismatch(let expected, let actual):
            self.init(.digestMismatch, "\(actual) bytes were received, not \(expected).")
        case .fileTooLarge(let limit):
            self.init(.requestEntityTooLarge, "A file may have \(limit) bytes.")
        case .notFound(let digest):
            self.init(.resourceNotFound, "Artifact not found: \(digest)")
        case .damaged(let digest):
            self.init(.service, "The stored artifact \(digest) is damaged.")
        case .damagedFile, .unreadableRoot:
            self.init(.service, "\(error)")
        case .badManifest(let line, let reason):
            self = .invalid("Line \(line) of the manifest: \(reason)")
        case .missingFiles(let count, let first):
            let rest = count > first.count ? " and \(count - first.count) more" : ""
            self.init(
                .missingFiles,
                "\(count) files of the manifest are not stored: "
                    + first.map(\.description).joined(separator: ", ") + rest)
        case .badPath(let path, let fault):
            self = .badPackage("the path '\(path)' \(fault.rawValue).")
        case .unsupportedEntry(let path, let kind):
            self = .badPackage("'\(path)' is \(kind.rawValue), which a package may not hold.")
        case .tooManyFiles(let limit):
            self = .badPackage("it has more than \(limit) files.")
        case .tooManyBytes(let limit):
            self = .badPackage("Unzipped size must be smaller than \(limit) bytes.")
        case .corruptPackage(let entry, let reason):
            self = .badPackage("\(reason)\(entry.map { " (at '\($0)')" } ?? "").")
        case .encryptedPackage(let entry):
            self = .badPackage("'\(entry)' is encrypted.")
        case .empty:
            self = .badPackage("Uploaded file must be a non-empty zip")
        case .diskFull:
            self.init(.service, "The disk is full.")
        case .io(let path, let operation, let errno):
            self.init(.service, "The artifact store failed: \(operation) of \(path), error \(errno).")
        }
    }

    private static func badPackage(_ detail: String) -> WireError {
        .invalid("Could not unzip uploaded file. Please check your file, then try to upload again: " + detail)
    }

    package init(_ error: RegistryError) {
        switch error {
        // The host decides before it commits, so these are its own races; a repetition meets the new state.
        case .conflict, .missing, .executionEnded:
            self.init(.resourceConflict, "The operation cannot be performed at this time: \(error).")
        case .overloaded(let limit):
            self = .busy("\(limit) changes are waiting for the disk, which is the limit.")
        case .diskFull, .corrupt, .io, .closed, .dataDirectoryInUse, .newerDatabase:
            self.init(.service, "The registry failed: \(error).")
        }
    }

    private static func busy(_ detail: String) -> WireError {
        WireError(
            .tooManyRequests, "Rate Exceeded.", fields: ["Reason": "CallerRateLimitExceeded", "Detail": detail],
            retryAfter: .seconds(1))
    }

    /// - Parameter isReserved: whether the function has a concurrency limit of its own.
    package init(_ refusal: InvocationRefusal, isReserved: Bool) {
        func tenths(_ interval: Interval) -> Double { (interval.seconds * 10).rounded() / 10 }
        func throttled(_ detail: String, _ after: Interval) -> WireError {
            let reason =
                isReserved ? "ReservedFunctionConcurrentInvocationLimitExceeded" : "ConcurrentInvocationLimitExceeded"
            return WireError(
                .tooManyRequests, "Rate Exceeded.", fields: ["Reason": reason, "Detail": detail], retryAfter: after)
        }
        switch refusal {
        case .noConcurrency:
            self = throttled("The function's reserved concurrency is 0.", .seconds(60))
        case .queueFull(let limit):
            self = throttled("\(limit) invocations of the function are waiting, which is the limit.", .seconds(1))
        case .waitedTooLong(let limit):
            self = throttled("No worker became free within \(tenths(limit)) s.", .seconds(1))
        case .wouldWaitTooLong(let wait, let limit):
            // By then the queue is as short as it may be.
            self = throttled(
                "The invocation would wait for \(tenths(wait)) s, and may wait for \(tenths(limit)) s.",
                .seconds(wait.seconds - limit.seconds))
        case .startsPaused(let retryAfter):
            self = throttled("Workers of the function fail to start; the next is started later.", retryAfter)
        case .shuttingDown:
            self.init(.service, "The host is shutting down.", status: 503, retryAfter: .seconds(1))
        }
    }
}
