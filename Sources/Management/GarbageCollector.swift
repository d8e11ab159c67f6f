package import Artifacts
package import Domain
internal import Loop
internal import Registry

/// Removes artifacts that nothing refers to: once a day, and when asked. Lives on the loop; what it does to files, it does
/// on the thread pool, in steps.
///
/// What refers to artifacts, but for the last with their manifests and all files of these:
///
/// - each version, `$LATEST` included: its package and its model. So what an alias can be rolled back to is kept.
/// - each version of a dataset that was not removed
/// - each execution that has not ended: its channels. Its base model is that of a version.
/// - each pool that has workers or may start some: whatever they run on, since its version may be gone meanwhile
/// - each execution, until it is deleted: its event and its answer, where these are files
///
/// A verb that stores artifacts, or finds them there, and lets something refer to them in a later commit, does all of that
/// within one `ArtifactStore.beginUse`. See GarbageCollection.swift for why that suffices.
package final class GarbageCollector {
    /// From the host's start to the first collection, so that hosts that do not run for a day have theirs, too.
    private static let firstAfter = Interval.seconds(3600)
    private static let interval = Interval.seconds(86_400)

    private let management: Management
    package let grace: Interval
    private let inUse: () -> [Digest]
    private let report: (Result<GarbageCollection.Count, ManagementError>) -> Void
    private var timer: LoopTimer?
    private var isRunning = false
    private var isStopping = false
    private var onStop: CheckedContinuation<Void, Never>?

    /// - Parameters:
    ///   - grace: what was used within this time is kept.
    ///   - inUse: what workers run on now, or would if they were started.
    ///   - report: hears what came of a collection that nobody asked for.
    package init(
        management: Management, grace: Interval, inUse: @escaping () -> [Digest],
        report: @escaping (Result<GarbageCollection.Count, ManagementError>) -> Void
    ) {
        self.management = management
        self.grace = grace
        self.inUse = inUse
        self.report = report
    }

    /// Begins the daily collections. `close` ends them.
    package func start() {
        timer = LoopTimer(loop: management.loop) { [unowned self] in timerFired() }
        timer?.start(after: Self.firstAfter)
    }

    private func timerFired() {
        timer?.start(after: Self.interval)
        // One that somebody asked for does as well.
        guard !isRunning, !isStopping else { return }
        management.loop.spawn { await self.collectDaily() }
    }

    private func collectDaily() async {
        do throws(ManagementError) {
            report(.success(try await run(isDryRun: false)))
        } catch {
            if !isStopping { report(.failure(error)) }
        }
    }

    /// Removes what nothing refers to; on a dry run, counts it.
    ///
    /// - Throws: `conflict` while another one runs; `artifact` when it ended early: what was removed until then is gone.
    package func collect(isDryRun: Bool, by caller: Caller) async throws(ManagementError) -> GarbageCollection.Count {
        guard !isRunning else { throw .conflict("Artifacts are being collected already.") }
        if isDryRun { return try await run(isDryRun: true) }
        return try await run(
            isDryRun: false,
            audit: AuditEntry(at: now, caller: caller, operation: "CollectArtifacts", function: nil, subject: ""))
    }

    /// - Parameter audit: stored before anything is removed.
    private func run(
        isDryRun: Bool, audit: AuditEntry? = nil
    ) async throws(ManagementError) -> GarbageCollection.Count {
        isRunning = true
        defer {
            isRunning = false
            onStop?.resume()
            onStop = nil
        }
        do throws(RegistryError) {
            if let audit { try await management.registry.commit([.addAudit(audit)]) }
        } catch {
            throw .registry(error)
        }
        // In this order, and without a wait in between: see invariant 1 of GarbageCollection.
        let collection = management.artifacts.beginCollection(grace: grace, isDryRun: isDryRun)
        collection.add(inUse().map { .init(name: "what workers run", manifest: $0) })
        for entry in management.catalog.entries.values {
            for version in [entry.function.latest] + entry.versions.values {
                let name = "\(entry.function.name):\(version.number)"
                collection.add([.init(name: "\(name) (package)", manifest: version.package)])
                if let model = version.model { collection.add([.init(name: "\(name) (model)", manifest: model)]) }
            }
        }
        do throws(RegistryError) {
            collection.add(
                try await management.registry.referredArtifacts().map { .init(name: $0.by, manifest: $0.artifact) })
            collection.add(files: try await management.registry.payloadFiles())
        } catch {
            throw .registry(error)
        }
        while try await management.stored({ _ throws(ArtifactError) in try collection.step() }) {
            if isStopping { throw .conflict("The host is shutting down.") }
        }
        return collection.count
    }

    /// Lets a collection that runs end soon.
    package func stop() { isStopping = true }

    /// Returns when none runs any more.
    package func close() async {
        stop()
        timer?.close()
        if isRunning { await withCheckedContinuation { onStop = $0 } }
    }
}
