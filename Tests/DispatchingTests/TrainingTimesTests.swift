import Dispatching
import Domain
import Testing

@Suite("Training times")
struct TrainingTimesTests {
    private static func at(_ seconds: Double) -> Timestamp { Timestamp(millisecondsSince1970: Int64(seconds * 1000)) }

    private static func times(
        lastStart: Double, lastRun: Double, _ earlier: [(ExecutionEvent.Kind, Double)] = []
    ) -> TrainingTimes {
        TrainingTimes(
            acceptedAt: at(100), lastStart: at(lastStart), lastRun: .seconds(lastRun),
            earlier: earlier.map { ExecutionEvent(kind: $0, at: at($1)) })
    }

    @Test("one attempt waits until it starts, and takes as long as it ran")
    func one() {
        let times = Self.times(lastStart: 103, lastRun: 7.5)
        #expect(times.queuedSeconds == 3)
        #expect(times.trainingSeconds == 7.5)
    }

    @Test("earlier attempts count from their starts to their ends, and not the pauses between them")
    func several() {
        let times = Self.times(
            lastStart: 500, lastRun: 1,
            [
                (.attemptStarted, 102), (.attemptEnded, 112), (.attemptStarted, 200), (.interrupted, 205),
                (.attemptStarted, 500),
            ])
        #expect(times.queuedSeconds == 2)
        #expect(times.trainingSeconds == 16)
    }

    @Test("an end without a start, and a clock that was set back, count nothing")
    func odd() {
        let times = Self.times(
            lastStart: 90, lastRun: 1, [(.interrupted, 101), (.attemptStarted, 95), (.attemptEnded, 94)])
        #expect(times.queuedSeconds == 0)
        #expect(times.trainingSeconds == 1)
    }
}
