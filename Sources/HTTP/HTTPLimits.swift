package import Domain

/// What one connection may cost. A `nil` timeout waits for ever.
///
/// Timeouts are noticed by a sweep, so they come late by up to a quarter of the shortest of them, at most 1 s; never early.
package struct HTTPLimits: Sendable {
    /// Request line and header fields with their line ends; more is answered 431. Default 16 KiB.
    package var headBytesMax = 16 * 1024
    /// Header fields of one request; more are answered 431. Default 128.
    package var headerFieldsMax = 128
    /// Body of one request, where the delegate sets no other limit for it; more is answered 413. Default 6 MiB.
    package var bodyBytesMax = 6 * 1024 * 1024
    /// From the first byte of a head to its last; then 408. Default 10 s.
    package var headTimeout: Interval? = .seconds(10)
    /// Between two pieces of a body; then 408. Default 30 s.
    package var bodyIdleTimeout: Interval? = .seconds(30)
    /// With no request under way; then the connection is closed without a word. Default 75 s.
    package var keepAliveIdleTimeout: Interval? = .seconds(75)
    /// With an answer under way of which the client takes nothing; then the connection is closed. Default 30 s.
    package var writeStallTimeout: Interval? = .seconds(30)
    /// How long a connection that we have ended is read (and what is read dropped) so that the client can read the
    /// answer. Default 5 s.
    package var lingerTimeout: Interval? = .seconds(5)
    /// The most that is read and dropped in that time. Default 64 MiB: boto3 sends a whole package before it reads.
    package var lingerBytesMax = 64 * 1024 * 1024
    /// A rest of a body up to this is read and dropped after an early answer, to keep the connection. Default 64 KiB.
    package var discardedBodyBytesMax = 64 * 1024
    /// Read past the rest of a chunked body after an early answer, however long it is, to keep the connection. Its owner
    /// limits the time.
    package var passesChunkedBodies = false
    /// Trailers of a chunked body that are kept, in bytes; 0 keeps none.
    package var trailerBytesMax = 0
    /// Bytes of a streamed answer that wait for the client before `write` says stop; at four times that the connection
    /// is closed. Default 256 KiB.
    package var outputBytesMax = 256 * 1024
    /// While more of the client's pipelined bytes are there, hold an answer back and send it with the next one.
    package var coalescesPipelinedAnswers = false

    package init() {}

    /// For the Runtime API: event metadata comes in large heads, and a worker may take as long as it likes.
    package static var worker: HTTPLimits {
        var limits = HTTPLimits()
        limits.headBytesMax = 1024 * 1024 + 16 * 1024
        limits.headTimeout = nil
        limits.bodyIdleTimeout = nil
        limits.keepAliveIdleTimeout = nil
        limits.coalescesPipelinedAnswers = true
        limits.passesChunkedBodies = true
        limits.trailerBytesMax = limits.headBytesMax
        return limits
    }

    /// How often deadlines are looked at.
    var tick: Interval {
        let shortest =
            [headTimeout, bodyIdleTimeout, keepAliveIdleTimeout, writeStallTimeout, lingerTimeout]
            .compactMap { $0?.nanoseconds }.min() ?? .max
        return Interval(nanoseconds: min(1_000_000_000, max(5_000_000, shortest / 4)))
    }
}
