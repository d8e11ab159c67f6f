/// The right to serve a data directory, held by one process at a time until it closes this or ends, however it ends.
package final class DataDirectoryLock: Sendable {
    /// Makes `directory` when it is missing. Throws `dataDirectoryInUse` at once when another process holds the lock.
    package init(directory: String) throws(RegistryError) { fatalError() }
}
