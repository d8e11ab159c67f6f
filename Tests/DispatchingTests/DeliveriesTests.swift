import Artifacts
import Dispatching
import Domain
import Foundation
import Loop
import Registry
import TestSupport
import Testing

@Suite("Deliveries")
struct DeliveriesTests {
    private let place = FileManager.default.temporaryDirectory.appendingPathComponent("deliveries-\(UUID())").path
    private let target = TargetARN("arn:aws:sqs:us-east-1:000000000000:spool")!

    @Test("one that is stored while the registry is read is told at once, whenever the others' time comes")
    func added() async throws {
        let (place, target) = (place, target)
        try FileManager.default.createDirectory(atPath: place + "/spool", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: place) }
        try await withLoop { loop in
            let registry = try Registry(directory: place)
            var settings = Deliveries.Settings()
            settings.batchMax = 50_000  // so that reading takes longer than storing
            let deliveries = Deliveries(
                loop: loop, registry: registry,
                targets: [.init(name: target, place: .directory(try SpoolDirectory(place + "/spool")))],
                metrics: Metrics(), settings: settings, report: { Issue.record("\($0)") })
            loop.spawn {
                let now = EventLoop.wallClock
                let later = Timestamp(millisecondsSince1970: now.millisecondsSince1970 + 240_000)
                func delivery(_ name: String, _ notBefore: Timestamp) -> Delivery {
                    Delivery(
                        execution: Execution.ID(name), content: .record, target: target, createdAt: now,
                        notBefore: notBefore)
                }
                do {
                    try await registry.commit(
                        (1...50_000).map { .addDelivery(delivery("later-\($0)", later), document: [1]) })
                    try await deliveries.start()
                    let new = delivery("new", now)
                    try await registry.commit([.addDelivery(new, document: [2])])
                    deliveries.added(new)
                    let end = loop.now + .seconds(30)
                    while !FileManager.default.fileExists(atPath: place + "/spool/new.json"), loop.now < end {
                        try await loop.offload { _ = usleep(1000) }
                    }
                } catch {
                    Issue.record(error)
                }
                await deliveries.close()
                registry.close()
                loop.stop()
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: place + "/spool") == ["new.json"])
    }
}
