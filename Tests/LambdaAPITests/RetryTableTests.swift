import Domain
import LambdaAPI
import Testing

/// Time is passed in; a waiter is a number.
@Suite struct RetryTableTests {
    typealias Table = RetryTable<Int>

    func key(_ number: Int) -> RetryKey {
        RetryKey(digest: Digest(bytes: (0..<32).map { UInt8(truncatingIfNeeded: number >> ($0 % 4 * 8)) }))
    }

    func answer(_ status: Int = 200, bytes: Int = 10) -> Table.Answer {
        .init(response: WireResponse(status: status, body: Array(repeating: 0x20, count: bytes)), requestID: "r")
    }

    func at(_ seconds: Double) -> Instant { .zero + .seconds(seconds) }

    func kind(_ arrival: Table.Arrival) -> String {
        switch arrival {
        case .first: "first"
        case .untracked: "untracked"
        case .waits: "waits"
        case .replay: "replay"
        case .tooManyTries: "tooManyTries"
        }
    }

    @Test func triesThatComeMeanwhileWait() {
        var table = Table()
        #expect(kind(table.arrive(key(1), 1, at: at(0))) == "first")
        #expect(kind(table.arrive(key(1), 2, at: at(60))) == "waits")
        #expect(kind(table.arrive(key(2), 3, at: at(60))) == "first")
        #expect(table.finish(key(1), answer(), isDelivered: false, at: at(61)) == [2])
        #expect(kind(table.arrive(key(1), 4, at: at(61))) == "replay")
        #expect(table.finish(key(2), answer(), isDelivered: true, at: at(61)) == [])
    }

    @Test func anAnswerIsRememberedForFiveMinutes() {
        var table = Table()
        _ = table.arrive(key(1), 1, at: at(0))
        _ = table.finish(key(1), answer(), isDelivered: true, at: at(10))
        #expect(table.nextExpiry == at(310))
        #expect(kind(table.arrive(key(1), 2, at: at(309.9))) == "replay")
        #expect(kind(table.arrive(key(1), 3, at: at(310))) == "first")
    }

    @Test(arguments: [429, 500, 503]) func whatDidNotHappenIsTriedAgain(status: Int) {
        var table = Table()
        _ = table.arrive(key(1), 1, at: at(0))
        _ = table.arrive(key(1), 2, at: at(0))
        #expect(table.finish(key(1), answer(status), isDelivered: true, at: at(1)) == [2])
        #expect(kind(table.arrive(key(1), 3, at: at(1))) == "first")
    }

    @Test func tooManyTriesOfOneCallAreRefused() {
        var table = Table()
        for waiter in 0...16 { _ = table.arrive(key(1), waiter, at: at(0)) }
        #expect(kind(table.arrive(key(1), 17, at: at(0))) == "tooManyTries")
        // Those who have gone make room.
        #expect(kind(table.arrive(key(1), 18, at: at(0), isOpen: { $0 > 3 })) == "waits")
        #expect(table.finish(key(1), answer(), isDelivered: true, at: at(1)) == Array(4...16) + [18])
    }

    @Test func whatHasProbablyArrivedIsForgottenFirst() {
        var limits = Table.Limits()
        limits.callsMax = 4
        var table = Table(limits: limits)
        for call in 1...4 { _ = table.arrive(key(call), 0, at: at(0)) }
        _ = table.finish(key(1), answer(), isDelivered: false, at: at(1))
        _ = table.finish(key(2), answer(), isDelivered: true, at: at(2))
        #expect(kind(table.arrive(key(5), 0, at: at(3))) == "first")
        #expect(kind(table.arrive(key(1), 0, at: at(3))) == "replay")
        #expect(table.count == 4)
        // 3, 4 and 5 run, and 1 makes room for 6; 7 finds none, and is not entered.
        #expect(kind(table.arrive(key(6), 0, at: at(3))) == "first")
        #expect(kind(table.arrive(key(7), 0, at: at(3))) == "untracked")
        #expect(table.finish(key(7), answer(), isDelivered: true, at: at(3)) == [] && table.count == 4)
    }

    @Test func itsBytesAreBounded() {
        var limits = Table.Limits()
        limits.bytesMax = 1 << 20
        var table = Table(limits: limits)
        for call in 1...100 {
            _ = table.arrive(key(call), 0, at: at(0))
            _ = table.finish(key(call), answer(bytes: 100 << 10), isDelivered: true, at: at(0))
        }
        #expect(table.count == 10)
        // A single one that is too large to keep displaces nothing.
        _ = table.arrive(key(101), 0, at: at(0))
        _ = table.finish(key(101), answer(bytes: 1 << 20), isDelivered: true, at: at(0))
        #expect(table.count == 10 && kind(table.arrive(key(101), 0, at: at(0))) == "first")
    }
}

@Suite struct EventStreamTests {
    /// The frame of "hi" that AWS's clients were measured to read.
    @Test func aChunkIsTheKnownFrame() {
        let expected =
            "0000006c0000005ab25efdcf0b3a6576656e742d7479706507000c5061796c6f61644368756e6b0d3a636f6e74656e742d74797065"
            + "0700186170706c69636174696f6e2f6f637465742d73747265616d0d3a6d6573736167652d747970650700056576656e74"
            + "68691162e469"
        var bytes: [UInt8] = []
        Array("hi".utf8).withUnsafeBytes { EventStream.appendPayloadChunk($0, to: &bytes) }
        let digits = Array("0123456789abcdef".utf8)
        let hex = String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
        #expect(hex == expected)
    }
}
