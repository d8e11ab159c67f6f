/// What there is of the workers that are provisioned for a version, in invocations at once.
package struct ProvisionReport: Equatable, Sendable {
    /// Of workers that are starting or ready.
    package var allocated: Int
    /// Of workers that are ready, whether something runs on them or not.
    package var available: Int
    /// The last init of the version failed; it is tried again.
    package var isFailing: Bool

    package init(allocated: Int = 0, available: Int = 0, isFailing: Bool = false) {
        self.allocated = allocated
        self.available = available
        self.isFailing = isFailing
    }
}
