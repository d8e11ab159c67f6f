internal import CUV

/// The memory of this process.
package enum ProcessMemory {
    /// Makes large blocks, such as bodies, go back to the system as soon as they are freed. Once, at start.
    ///
    /// Otherwise a host that had one burst of large bodies would keep that memory while everything sleeps.
    package static func giveBackLargeBlocks() { _ = cuv_fix_mmap_threshold(128 * 1024) }
}
