/// Why a worker was started, and so why the invocations that waited for it were cold. The raw values are for people.
package enum StartCause: String, CaseIterable, Sendable {
    /// Its function never had one on this host.
    case first
    /// Those that its version has are not enough.
    case scaleUp = "scale-up"
    /// The version has none, because the last one was idle for its keep-alive.
    case keepAlivePassed = "keep-alive passed"
    /// ... because the last one made room: for memory, or for a place among the host's workers.
    case evicted
    /// ... because the last one was busy for too long while another function had none.
    case yielded = "gave way"
    /// The version never had one, but another version of its function did.
    case redeploy
    /// ... because the last one crashed, was killed, or its init failed.
    case crashed = "crash"
    /// Nobody waits for it: it is kept ready.
    case provisioned
    /// Nobody waits for it yet: a call is expected.
    case prewarmed
}
