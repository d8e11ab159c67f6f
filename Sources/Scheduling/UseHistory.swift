package import Domain

/// When a pool needed how many workers, and for how long it did not need them: what its learned keep-alive follows from.
///
/// Workers are taken most recently used first, so they form a stack: the first is needed by almost every invocation, the
/// n-th only while n are in use at once. Each **level** of the stack has gaps of its own, from the moment when fewer than
/// n are in use until n are again, whether a worker was kept there meanwhile or not. So what is learned does not depend
/// on what was decided.
package struct UseHistory: Sendable {
    /// Workers that run something, or were started for somebody who waits.
    private(set) var inUse = 0
    /// By level, from 1: when it was left; `nil` while it is in use, and before its first use.
    private var leftAt: [Instant?] = []
    /// By level: its worker has stopped in this gap, and the fleet counts the gap as endless.
    private var isGivenUp: [Bool] = []
    /// By `Self.group` of levels.
    private var groups: [Group] = []

    private struct Group: Sendable {
        var gaps = GapHistogram()
        var samples = 0
        var forgottenAt = Instant.zero
        /// The limit from age 0, and after how many samples it is computed again.
        var limit = Interval.zero
        var limitExpires = 0
    }

    package init() {}

    /// A gap that others learn from.
    package struct Lesson {
        package let gap: Double
        package let level: Int
        let wasGivenUp: Bool
    }

    /// Above it, nothing is remembered.
    private static let levelsMax = 1024
    /// The weight of a gap halves in this time.
    private static let halfLife = 86_400.0
    /// So many first gaps of each group of levels are what others learn from it.
    private static let taught = 16

    /// One more worker is needed. Returns the gap that ends, when it is one of those that others learn from.
    package mutating func take(at now: Instant) -> Lesson? {
        inUse += 1
        guard inUse <= leftAt.count, let left = leftAt[inUse - 1] else { return nil }
        leftAt[inUse - 1] = nil
        let gap = max(0, (now - left).seconds)
        let group = Self.group(inUse)
        while groups.count <= group { groups.append(Group()) }
        let elapsed = (now - groups[group].forgottenAt).seconds
        if elapsed > Self.halfLife / 24 {
            groups[group].gaps.scale(by: Float(1 / (1 + elapsed / Self.halfLife)))
            groups[group].forgottenAt = now
        }
        groups[group].gaps.add(gap)
        groups[group].samples += 1
        defer { isGivenUp[inUse - 1] = false }
        guard groups[group].samples <= Self.taught else { return nil }
        return Lesson(gap: gap, level: inUse, wasGivenUp: isGivenUp[inUse - 1])
    }

    /// The worker of this level has stopped, because nobody came for its keep-alive. Returns whether others learn from it.
    mutating func giveUp(level: Int) -> Bool {
        guard level <= leftAt.count, leftAt[level - 1] != nil, !isGivenUp[level - 1] else { return false }
        let group = Self.group(level)
        guard group >= groups.count || groups[group].samples < Self.taught else { return false }
        isGivenUp[level - 1] = true
        return true
    }

    /// One less is needed.
    package mutating func leave(at now: Instant) {
        if inUse <= Self.levelsMax {
            while leftAt.count < inUse {
                leftAt.append(nil)
                isGivenUp.append(false)
            }
            leftAt[inUse - 1] = now
        }
        inUse -= 1
    }

    func leftAt(level: Int) -> Instant? { level <= leftAt.count ? leftAt[level - 1] : nil }

    package func gaps(level: Int) -> GapHistogram? {
        let group = Self.group(level)
        return group < groups.count ? groups[group].gaps : nil
    }

    /// How often this level was needed again, in about the last `halfLife`; of a group of levels the mean.
    package func uses(level: Int) -> Double {
        let group = Self.group(level)
        guard group < groups.count else { return 0 }
        let levels = group < 8 ? 1 : 1 << ((group - 8) / 4 + 1)
        return Double(groups[group].gaps.total) / Double(levels)
    }

    /// The limit from age 0 as it was last computed; `nil` when it should be computed again, because there are an eighth
    /// more gaps to compute it from.
    func knownLimit(level: Int) -> Interval? {
        let group = Self.group(level)
        guard group < groups.count, groups[group].samples < groups[group].limitExpires else { return nil }
        return groups[group].limit
    }

    mutating func setLimit(_ limit: Interval, level: Int) {
        let group = Self.group(level)
        while groups.count <= group { groups.append(Group()) }
        groups[group].limit = limit
        groups[group].limitExpires = groups[group].samples + 1 + groups[group].samples / 8
    }

    /// Levels 1 to 8 each; then four groups for each doubling.
    private static func group(_ level: Int) -> Int {
        guard level > 8 else { return level - 1 }
        let doubling = (level - 1).bitWidth - 1 - (level - 1).leadingZeroBitCount  // 3 for 9 to 16
        return 8 + (doubling - 3) * 4 + (((level - 1) >> (doubling - 2)) & 3)
    }
}

/// The gaps of all pools, as each of them began: what a pool starts from that has no gaps of its own yet.
struct FleetHistory: Sendable {
    /// By level: 1, 2, 3 and 4, above.
    private var classes: [GapHistogram]

    init() {
        // Before anything is known, each doubling is as likely as the next.
        var gaps = GapHistogram()
        for bin in 1..<GapHistogram.binCount { gaps.add(GapHistogram.edges[bin], weight: 0.02) }
        classes = Array(repeating: gaps, count: 4)
    }

    mutating func add(_ lesson: UseHistory.Lesson) {
        let index = Self.index(lesson.level)
        if lesson.wasGivenUp { classes[index].add(.infinity, weight: -1) }
        classes[index].add(lesson.gap)
    }

    /// A gap of which the end was not waited for. Without these, only gaps that end would be known, and those are short.
    mutating func addEndless(level: Int) { classes[Self.index(level)].add(.infinity) }

    func gaps(level: Int) -> GapHistogram { classes[Self.index(level)] }

    private static func index(_ level: Int) -> Int { level <= 2 ? level - 1 : level <= 4 ? 2 : 3 }
}
