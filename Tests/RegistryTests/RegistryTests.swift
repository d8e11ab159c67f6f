import Domain
import Foundation
import GRDB
import Testing

@testable import Registry

@Suite struct RegistryTests {
    let directory = TemporaryDirectory()
    let id = Function.ID(1)

    func open() throws -> Registry { try Registry(directory: directory.path) }

    func refusal(_ registry: Registry, _ changes: [Change]) async -> RegistryError? {
        do throws(RegistryError) {
            try await registry.commit(changes)
            return nil
        } catch {
            return error
        }
    }

    @Test("what was committed is read back the same, also after the file is opened again")
    func roundTrip() async throws {
        var registry = try open()
        let latest = function(1, "echo", lastPublished: 2, reserved: 4)
        let one = version(.published(1))
        let two = version(.published(2), revision: "r2", model: digest("d"))
        let live = target("live", 2, weight: .init(version: 1, weight: 0.1))
        try await registry.commit([
            .putFunction(latest), .putVersion(id, one), .putVersion(id, two),
            .putAlias(id, live, change("live", from: nil, to: 2, .created)), .putFunction(function(7, "other")),
        ])
        for isReopened in [false, true] {
            if isReopened {
                registry.close()
                registry = try open()
            }
            let snapshot = try await registry.load()
            #expect(
                snapshot
                    == Snapshot(
                        functions: [
                            .init(function: latest, versions: [one, two], aliases: [live]),
                            .init(function: function(7, "other"), versions: [], aliases: []),
                        ], versionCounters: [name("echo"): 2, name("other"): 0], functionIDMax: 7))
        }
        registry.close()
    }

    @Test("a dataset's versions are read back, newest first, and a number is given once")
    func datasets() async throws {
        let registry = try open()
        func dataset(_ text: String, _ number: Int, _ artifact: Character) -> DatasetVersion {
            DatasetVersion(
                name: DatasetName(text)!, number: number, artifact: digest(artifact), filesCount: number, sizeBytes: 7,
                createdAt: at(Int64(number)), createdBy: "anonymous")
        }
        let all = [dataset("b", 1, "1"), dataset("b", 2, "2"), dataset("a", 1, "3"), dataset("b", 3, "1")]
        try await registry.commit(all.map { .addDatasetVersion($0) })
        let b = DatasetName("b")!
        #expect(try await registry.datasets() == [all[2], all[3]])
        #expect(try await registry.datasets(after: DatasetName("a")) == [all[3]])
        #expect(try await registry.versions(of: b) == [all[3], all[1], all[0]])
        #expect(try await registry.versions(of: b, before: 3, limit: 1) == [all[1]])
        #expect(try await registry.dataset(DatasetReference(name: b, number: nil)) == all[3])
        #expect(try await registry.dataset(DatasetReference(name: b, number: 2)) == all[1])
        #expect(try await registry.dataset(DatasetReference(name: b, number: 4)) == nil)
        #expect(
            await refusal(registry, [.addDatasetVersion(dataset("b", 3, "9"))]) == .conflict(.datasetVersion(b, 3)))
        registry.close()
    }

    func dataset(_ number: Int) -> DatasetVersion {
        DatasetVersion(
            name: DatasetName("more")!, number: number, artifact: digest("d"), filesCount: 1, sizeBytes: 7,
            createdAt: at(1), createdBy: "anonymous")
    }

    @Test("a removed version of a dataset is not listed, keeps its number, and is told from one that never was")
    func removedDatasets() async throws {
        let registry = try open()
        let more = DatasetName("more")!
        try await registry.commit([1, 2, 3].map { .addDatasetVersion(dataset($0)) })
        try await registry.commit([.removeDataset(DatasetReference(name: more, number: 3), at: at(9))])
        #expect(try await registry.versions(of: more).map(\.number) == [2, 1])
        #expect(try await registry.datasets().map(\.number) == [2])
        #expect(try await registry.dataset(DatasetReference(name: more, number: nil))?.number == 2)
        #expect(try await registry.dataset(DatasetReference(name: more, number: 3))?.removedAt == at(9))
        #expect(try await registry.lastVersion(of: more) == 3)
        #expect(await refusal(registry, [.addDatasetVersion(dataset(3))]) == .conflict(.datasetVersion(more, 3)))
        try await registry.commit([.removeDataset(DatasetReference(name: more, number: nil), at: at(10))])
        #expect(try await registry.versions(of: more).isEmpty)
        #expect(try await registry.datasets().isEmpty)
        // The time is that of the removal, not of a later one.
        #expect(try await registry.dataset(DatasetReference(name: more, number: nil))?.removedAt == at(9))
        #expect(try await registry.dataset(DatasetReference(name: DatasetName("never")!, number: nil)) == nil)
        registry.close()
    }

    @Test("a version of a dataset is not removed under an execution that has not ended, nor used after its removal")
    func datasetsInUse() async throws {
        let registry = try open()
        let two = DatasetReference("dataset:more@2")!
        let all = DatasetReference(name: two.name, number: nil)
        try await registry.commit([1, 2].map { .addDatasetVersion(dataset($0)) })
        // Its channel is `dataset:more@2`.
        var training = execution("training")
        try await registry.commit([.addExecution(training)])
        for status in [Execution.Status.queued, .running, .pausing, .paused] {
            training.status = status
            try await registry.commit([.updateExecution(training)])
            for reference in [two, all] {
                #expect(
                    await refusal(registry, [.removeDataset(reference, at: at(9))])
                        == .conflict(.datasetInUse(two, by: training.id)))
            }
        }
        try await registry.commit([.removeDataset(DatasetReference("dataset:more@1")!, at: at(9))])
        training.status = .succeeded
        training.endedAt = at(20)
        try await registry.commit([.updateExecution(training), .removeDataset(two, at: at(21))])
        #expect(await refusal(registry, [.addExecution(execution("late"))]) == .conflict(.datasetRemoved(two)))
        #expect(try await registry.execution(Execution.ID("late")) == nil)
        registry.close()
    }

    @Test("of a removal and an execution that race, exactly one is refused")
    func removalRaces() async throws {
        let registry = try open()
        let more = DatasetName("more")!
        for round in 1...50 {
            try await registry.commit([.addDatasetVersion(dataset(round))])
            let reference = DatasetReference(name: more, number: round)
            let training = Execution(
                id: Execution.ID("e\(round)"), name: ExecutionName("e\(round)")!, function: id,
                functionName: name("echo"), qualifier: nil, version: .latest, input: .inline([]),
                baseVersion: .latest, channels: [.init(name: "train", artifact: digest("d"), dataset: reference)],
                acceptedAt: at(1))
            async let removal = refusal(registry, [.removeDataset(reference, at: at(9))])
            async let acceptance = refusal(registry, [.addExecution(training)])
            switch await (removal, acceptance) {
            case (nil, .conflict(.datasetRemoved(reference))), (.conflict(.datasetInUse(reference, training.id)), nil):
                break
            case let both: Issue.record("\(both)")
            }
        }
        registry.close()
    }

    @Test("a deleted function leaves its version counter, its id and its aliases' history behind")
    func deletion() async throws {
        let registry = try open()
        try await registry.commit([
            .putFunction(function(1, "echo")), .putVersion(id, version(.published(1))),
            .putVersion(id, version(.published(2))),
            .putAlias(id, target("live", 2), change("live", from: nil, to: 2, .created)),
            .addExecution(execution("e1")),
        ])
        try await registry.commit([.deleteFunction(id)])
        let snapshot = try await registry.load()
        #expect(snapshot.functions.isEmpty)
        #expect(snapshot.versionCounters == [name("echo"): 2])
        #expect(snapshot.functionIDMax == 1)
        #expect(try await registry.aliasHistory(function: id, alias: alias("live")).count == 1)
        #expect(try await registry.execution(Execution.ID("e1")) == execution("e1"))
        #expect(await refusal(registry, [.deleteFunction(id)]) == .missing(.function(id)))
        try await registry.commit([.putFunction(function(2, "echo"))])
        #expect(try await registry.load().functions.first?.function.lastPublished == 2)
        registry.close()
    }

    @Test("what would break a rule is refused, and nothing of its commit is stored")
    func conflicts() async throws {
        let registry = try open()
        try await registry.commit([
            .putFunction(function(1, "echo")), .putVersion(id, version(.published(1))),
            .putAlias(id, target("live", 1), change("live", from: nil, to: 1, .created)),
            .addExecution(execution("e1", name: "train-1")),
        ])
        let before = try await registry.load()
        let marker = Change.putFunction(function(9, "marker"))
        let nine = Function.ID(9)
        let cases: [(Change, RegistryError)] = [
            (.putFunction(function(2, "echo")), .conflict(.functionName(name("echo")))),
            (.putVersion(id, version(.published(1))), .conflict(.versionNumber(id, 1))),
            (.putVersion(Function.ID(8), version(.published(1))), .missing(.function(Function.ID(8)))),
            (.deleteVersion(id, 1), .conflict(.versionInUse(id, 1))),
            (.deleteVersion(id, 5), .missing(.version(id, 5))),
            (.deleteVersion(id, 0), .missing(.version(id, 0))),
            (
                .putAlias(id, target("x", 3), change("x", from: nil, to: 3, .created)),
                .conflict(.aliasTarget(id, alias("x")))
            ),
            (
                .putAlias(
                    id, target("x", 1, weight: .init(version: 4, weight: 0.5)),
                    change("x", from: nil, to: 1, .created)), .conflict(.aliasTarget(id, alias("x")))
            ),
            (
                .deleteAlias(id, alias("x"), change("x", from: 1, to: nil, .deleted)),
                .missing(.alias(id, alias("x")))
            ),
            (
                .addExecution(execution("e2", name: "train-1")),
                .conflict(.executionName(id, ExecutionName("train-1")!))
            ),
            (.addExecution(execution("e1", name: "train-2")), .conflict(.executionID(Execution.ID("e1")))),
            (.updateExecution(execution("e9")), .missing(.execution(Execution.ID("e9")))),
            (
                .addEvents(Execution.ID("e9"), [.init(kind: .ended, at: at(1))]),
                .missing(.execution(Execution.ID("e9")))
            ),
            (.deleteExecution(Execution.ID("e9")), .missing(.execution(Execution.ID("e9")))),
            (.deleteFunction(nine), .missing(.function(nine))),
        ]
        for (change, error) in cases.dropLast() {
            #expect(await refusal(registry, [marker, change]) == error)
        }
        #expect(await refusal(registry, [cases.last!.0, marker]) == cases.last!.1)
        #expect(try await registry.load() == before)
        #expect(registry.statistics.failures == cases.count)
        registry.close()
    }

    @Test("an execution of the same name under another function is another execution")
    func executionNamesPerFunction() async throws {
        let registry = try open()
        try await registry.commit([
            .addExecution(execution("e1", function: 1, name: "n")),
            .addExecution(execution("e2", function: 2, name: "n")),
        ])
        let found = try await registry.execution(function: Function.ID(2), name: ExecutionName("n")!)
        #expect(found?.id == Execution.ID("e2"))
        registry.close()
    }

    @Test("an execution that has ended can no longer change, and what is committed with the second end is undone")
    func exactlyOnce() async throws {
        let registry = try open()
        try await registry.commit([.putFunction(function(1, "echo")), .addExecution(execution("e1"))])
        var running = execution("e1")
        running.status = .running
        running.attempt = 1
        running.startedAt = at(12)
        running.progress = #"{"epoch":1}"#
        running.promotion = #"{"moved":true}"#
        try await registry.commit([.updateExecution(running)])
        var ended = running
        ended.status = .succeeded
        ended.endedAt = at(13)
        ended.result = .inline(Array("null".utf8))
        ended.publishedVersion = 1
        ended.failure = .init(type: "T", message: "with \0 inside", data: "{}")
        let publish: [Change] = [.updateExecution(ended), .putVersion(id, version(.published(1)))]
        try await registry.commit(publish)
        #expect(try await registry.execution(Execution.ID("e1")) == ended)

        let again: [Change] = [.putVersion(id, version(.published(2))), .updateExecution(ended)]
        #expect(await refusal(registry, again) == .executionEnded(ended.id))
        #expect(await refusal(registry, [.updateExecution(running)]) == .executionEnded(ended.id))
        #expect(try await registry.load().functions[0].versions.map(\.number) == [.published(1)])
        #expect(try await registry.execution(Execution.ID("e1")) == ended)
        registry.close()
    }

    @Test("live executions are the queued and running ones, oldest first")
    func live() async throws {
        let registry = try open()
        for index in 1...5 { try await registry.commit([.addExecution(execution("e\(index)"))]) }
        for (index, status) in [(1, Execution.Status.stopped), (3, .running), (4, .failed)] {
            var changed = execution("e\(index)")
            changed.status = status
            try await registry.commit([.updateExecution(changed)])
        }
        let live = try await registry.liveExecutions()
        #expect(live.map(\.id.text) == ["e2", "e3", "e5"])
        #expect(live.map(\.status) == [.queued, .running, .queued])
        #expect(live[0] == ExecutionHead(execution("e2")))
        registry.close()
    }

    @Test("executions are filtered, and pages neither repeat nor skip")
    func listing() async throws {
        let registry = try open()
        try await registry.commit(
            (1...25).map { index in
                .addExecution(
                    execution(
                        "e\(index)", function: index % 5 == 0 ? 2 : 1, version: .published(index % 2 + 1),
                        qualifier: index % 2 == 0 ? .alias(alias("live")) : nil, acceptedAt: Int64(index)))
            })
        func list(_ query: ExecutionQuery) async throws -> [Int] {
            try await registry.executions(query).executions.map { Int($0.id.text.dropFirst())! }
        }
        #expect(try await list(.init(function: nil, limit: 100)) == (1...25).reversed())
        #expect(try await list(.init(function: Function.ID(2), isNewestFirst: false)) == [5, 10, 15, 20, 25])
        #expect(try await list(.init(function: nil, versions: [.published(2)], limit: 3)) == [25, 23, 21])
        #expect(try await list(.init(function: nil, versions: [])) == [])
        #expect(try await list(.init(function: nil, qualifier: .alias(alias("live")), limit: 2)) == [24, 22])
        #expect(try await list(.init(function: nil, statuses: [.running])) == [])
        #expect(try await list(.init(function: nil, statuses: [.running, .queued], limit: 1)) == [25])
        #expect(try await list(.init(function: nil, acceptedAfter: at(3), acceptedBefore: at(5))) == [5, 4, 3])
        #expect(try await list(.init(function: nil, name: ExecutionName("e7")!)) == [7])
        for isNewestFirst in [true, false] {
            var query = ExecutionQuery(function: nil, isNewestFirst: isNewestFirst, limit: 10)
            var seen: [String] = []
            var pages = 0
            repeat {
                let page = try await registry.executions(query)
                seen += page.executions.map(\.id.text)
                query.after = page.next
                pages += 1
                // What comes or goes meanwhile moves nothing else.
                if isNewestFirst { try await registry.commit([.addExecution(execution("new\(pages)"))]) }
            } while query.after != nil
            let first = seen.prefix(25)
            #expect(Set(first).count == 25)
            #expect(pages == 3)
        }
        registry.close()
    }

    @Test("events are numbered from 1 within their execution and go with it")
    func events() async throws {
        let registry = try open()
        let one = Execution.ID("e1")
        try await registry.commit([
            .addExecution(execution("e1")), .addExecution(execution("e2")),
            .addEvents(one, [.init(kind: .accepted, at: at(1)), .init(kind: .attemptStarted, at: at(2))]),
            .addEvents(Execution.ID("e2"), [.init(kind: .accepted, at: at(1))]),
        ])
        try await registry.commit([.addEvents(one, [.init(kind: .progress, at: at(3), detail: #"{"loss":0.5}"#)])])
        #expect(try await registry.events(of: one).map(\.sequence) == [1, 2, 3])
        #expect(try await registry.events(of: one, isNewestFirst: true, limit: 1).map(\.kind) == [.progress])
        #expect(try await registry.events(of: one, isNewestFirst: true, after: 3).map(\.sequence) == [2, 1])
        #expect(try await registry.events(of: one, after: 2).map(\.detail) == [#"{"loss":0.5}"#])
        try await registry.commit([.deleteExecution(one)])
        #expect(try await registry.events(of: one).isEmpty)
        #expect(try await registry.execution(one) == nil)
        registry.close()
    }

    @Test("an alias's history keeps every change, with numbers that ascend")
    func history() async throws {
        let registry = try open()
        let changes = [
            change("live", from: nil, to: 1, .created), change("live", from: 1, to: 2, .updated),
            change("live", from: 2, to: 1, .rolledBack, undoes: 2),
        ]
        try await registry.commit([
            .putFunction(function(1, "echo")), .putVersion(id, version(.published(1))),
            .putVersion(id, version(.published(2))),
        ])
        for change in changes {
            try await registry.commit([
                .putAlias(id, target("live", change.to!.version == .published(1) ? 1 : 2), change)
            ])
        }
        try await registry.commit([.deleteAlias(id, alias("live"), change("live", from: 1, to: nil, .deleted))])
        let stored = try await registry.aliasHistory(function: id, alias: alias("live"), isNewestFirst: false)
        #expect(stored.map(\.cause) == [.created, .updated, .rolledBack, .deleted])
        #expect(stored.map(\.sequence) == stored.map(\.sequence).sorted())
        var third = changes[2]
        third.sequence = stored[2].sequence
        #expect(stored[2] == third)
        #expect(stored[3].to == nil)
        #expect(
            try await registry.aliasHistory(function: id, alias: alias("live"), limit: 1).map(\.cause) == [.deleted])
        registry.close()
    }
}
