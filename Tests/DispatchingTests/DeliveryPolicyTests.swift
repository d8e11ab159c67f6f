import Dispatching
import Domain
import Testing

@Suite("Deliveries: when they are tried again")
struct DeliveryPolicyTests {
    @Test("pauses double from a second to five minutes; a target may ask for more, up to that")
    func pauses() {
        let pauses = (0...12).map { DeliveryPolicy.pause(afterFailures: $0).seconds }
        #expect(pauses == [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
        #expect(DeliveryPolicy.pause(afterFailures: 1, asked: .seconds(60)) == .seconds(60))
        #expect(DeliveryPolicy.pause(afterFailures: 8, asked: .seconds(60)) == .seconds(128))
        #expect(DeliveryPolicy.pause(afterFailures: 1, asked: .seconds(86_400)) == .seconds(300))
    }

    private func delivery(failures: Int) throws -> Delivery {
        Delivery(
            execution: .init("e"), content: .record, target: try #require(TargetARN("arn:aws:sqs:us-east-1:1:q")),
            createdAt: Timestamp(millisecondsSince1970: 1_000_000), failures: failures,
            notBefore: Timestamp(millisecondsSince1970: 1_000_000))
    }

    @Test("one is given up when it is too old and has failed often enough, whatever the clock says")
    func givenUp() throws {
        let policy = DeliveryPolicy()
        let day: Int64 = 86_400_000
        func isOver(_ failures: Int, after milliseconds: Int64) throws -> Bool {
            policy.isOver(
                try delivery(failures: failures), at: Timestamp(millisecondsSince1970: 1_000_000 + milliseconds))
        }
        #expect(try !isOver(10, after: day))
        #expect(try isOver(10, after: day + 1))
        #expect(try !isOver(9, after: 100 * day))
        #expect(try !isOver(10_000, after: -day))
    }

    @Test("one that is further ahead than any pause was set by another clock")
    func due() {
        let now = Timestamp(millisecondsSince1970: 1_000_000)
        func hasCome(_ ahead: Int64) -> Bool {
            DeliveryPolicy.hasCome(Timestamp(millisecondsSince1970: 1_000_000 + ahead), at: now)
        }
        #expect([-1, 0, 330_001].allSatisfy(hasCome))
        #expect(![1, 330_000].contains(where: hasCome))
    }

    @Test(
        "what is no ARN of a queue, topic, bucket or event bus is no target",
        arguments: [
            "", "queue", "arn:aws:lambda:us-east-1:000000000000:function:f", "arn:aws:sqs:us-east-1:000000000000:",
            "arn:aws:sqs:us-east-1:000000000000", "arn:else:sqs:us-east-1:000000000000:q", "arn:aws:s3:::a b",
            "arn:aws:s3:::a\"b", "arn:aws:s3:::é", "arn:aws:s3:::" + String(repeating: "x", count: 338),
        ])
    func noTarget(_ text: String) { #expect(TargetARN(text) == nil) }

    @Test(
        "ARNs as AWS has them",
        arguments: [
            "arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:sns:eu-west-1:123456789012:t", "arn:aws:s3:::bucket",
            "arn:aws-cn:events:cn-north-1:000000000000:event-bus/default",
        ])
    func target(_ text: String) { #expect(TargetARN(text)?.text == text) }
}
