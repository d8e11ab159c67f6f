import Domain
import Scheduling
import Testing

@testable import Simulator

@Suite("Other rules for more workers")
struct ScaleUpTests {
    private let burst = (0..<5).map { _ in Call(at: 0, runs: 0.1, coldStart: 2) }

    @Test("the host's rule waits for the first start, Lambda's starts one for each call at once")
    func lambda() {
        let aware = simulate(trace(burst))
        #expect(aware.starts.text == "first 1")
        #expect(aware.waits.maxSeconds == 2.4)
        let lambda = simulate(trace(burst)) { $0.scaleUp = .lambda }
        #expect(lambda.starts.text == "first 1, scaleUp 4")
        #expect(lambda.waits.maxSeconds == 2)
        #expect(lambda.coldStarts.total == 5)
    }

    @Test("Lambda's rule counts the slots of workers that are starting")
    func lambdaSlots() {
        let report = simulate(trace(burst)) {
            $0.scaleUp = .lambda
            $0.concurrency = 4
        }
        #expect(report.starts.text == "first 1, scaleUp 1")
    }

    @Test("Knative starts two for a first call, because one is more than 70 % of one, and only then fewer")
    func knativeFirst() {
        var autoscaler = KnativeAutoscaler(slots: 1)
        autoscaler.change(by: 1, at: .zero)
        #expect(autoscaler.tick(at: .zero, ready: 0) == 2)
        autoscaler.change(by: -1, at: at(1))
        // In panic until a stable window has passed; then by half, because of the rate; then the grace.
        var desired: [Int] = []
        for seconds in stride(from: 2, through: 94, by: 2) {
            desired.append(autoscaler.tick(at: at(seconds), ready: seconds <= 62 ? 2 : 1))
        }
        #expect(desired == Array(repeating: 2, count: 30) + Array(repeating: 1, count: 16 - 1) + [1, 0])
    }

    @Test("a worker of ten slots has room for seven before there are two", arguments: [(7, 1), (8, 2)])
    func knativeSlots(calls: Int, workers: Int) {
        var autoscaler = KnativeAutoscaler(slots: 10)
        autoscaler.change(by: calls, at: .zero)
        #expect(autoscaler.tick(at: .zero, ready: 0) == workers)
    }

    @Test("a steady load has the workers that its average needs")
    func knativeSteady() {
        var autoscaler = KnativeAutoscaler(slots: 1)
        autoscaler.change(by: 7, at: .zero)
        for seconds in stride(from: 0, through: 300, by: 2) { _ = autoscaler.tick(at: at(seconds), ready: 10) }
        #expect(autoscaler.desired == 10)
    }

    @Test(
        "a surge of less than twice what is ready is averaged over the stable window, a larger one over the panic window"
    )
    func knativeSurge() {
        func desired(extra: Int, after seconds: Int) -> Int {
            var autoscaler = KnativeAutoscaler(slots: 1)
            autoscaler.change(by: 7, at: .zero)
            for seconds in stride(from: 0, through: 300, by: 2) { _ = autoscaler.tick(at: at(seconds), ready: 10) }
            autoscaler.change(by: extra, at: at(300))
            for seconds in stride(from: 302, through: 300 + seconds, by: 2) {
                _ = autoscaler.tick(at: at(seconds), ready: 10)
            }
            return autoscaler.desired
        }
        // 7 + 6 for a tenth of the window.
        #expect(desired(extra: 6, after: 6) == 11)
        #expect(desired(extra: 6, after: 60) == 19)
        #expect(desired(extra: 21, after: 6) == 40)
    }

    @Test("Knative's workers take calls, and stop when its windows are empty")
    func knativeReplay() {
        let calls = [Call(at: 0, coldStart: 2), Call(at: 10, coldStart: 2), Call(at: 200, coldStart: 2)]
        let report = simulate(trace(calls)) {
            $0.scaleUp = .knative
            $0.keepAlive = .seconds(3600)
        }
        #expect(report.finished == 3)
        #expect(report.coldStarts.text == "first 1, keepAlivePassed 1")
        #expect(report.starts.total == 4)
        #expect(report.workersPeak == 2)
        // One of two until 62, the other until 72, when the last call is 60 s back, and 30 s; of that 2 s busy. Then to 262 and
        // to 294, 1 s busy.
        #expect(report.idle.seconds == (60 + 98) + (60 + 91))
    }

    @Test("Knative's autoscaler survives failing workers, and a function that fits nowhere")
    func knativeFaults() {
        let calls = (0..<500).map { Call(function: $0 % 2, at: Double($0), runs: 3) }
        let report = simulate(trace(calls, memory: [512, 9000])) {
            $0.scaleUp = .knative
            $0.faultRate = 0.1
            $0.limits.memoryMegabytesMax = 2048
        }
        #expect(report.refused.neverFits == 250)
        #expect(report.crashes > 0 && report.initFailures > 0)
        #expect(report.memoryMegabytesPeak <= 2048)
    }

    private func at(_ seconds: Int) -> Instant { .zero + .seconds(seconds) }
}
