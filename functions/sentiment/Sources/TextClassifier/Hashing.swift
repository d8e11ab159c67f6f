/// SplitMix64: a generator whose whole state is one counter, so that any point of a training can be given a generator
/// of its own (seed, epoch, minibatch) and a checkpoint needs none.
struct RandomNumbers {
    private var state: UInt64

    /// Different arguments give unrelated sequences.
    init(_ seed: UInt64, _ stream: UInt64, _ position: UInt64) {
        state = mixed(mixed(mixed(seed) ^ stream) ^ position)
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return mixed(state)
    }

    /// 0 ..< 1.
    mutating func nextUnit() -> Float { Float(next() >> 40) * 0x1p-24 }

    /// 0 ..< `bound`; the bias of at most `bound` / 2^64 does not matter here.
    mutating func next(below bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }

    mutating func shuffle(_ values: inout [UInt32]) {
        for last in stride(from: values.count - 1, to: 0, by: -1) { values.swapAt(last, next(below: last + 1)) }
    }
}

/// SplitMix64's finaliser: every bit of the result depends on every bit of the value.
func mixed(_ value: UInt64) -> UInt64 {
    var mixed = value &+ 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
}

/// A 64-bit checksum against damage (not against malice), at several bytes a cycle: four FNV-like lanes over 8-byte
/// words, because the lanes' multiplications overlap and a byte-wise FNV would take 20 ms for a model.
func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    let prime: UInt64 = 0x9FB2_1C65_1E98_DF25
    var (a, b, c, d) = (seed ^ 1, seed ^ 2, seed ^ 3, seed ^ 4)
    var offset = 0
    if let base = bytes.baseAddress {
        while offset + 32 <= bytes.count {
            a = lane(a, (base + offset).loadUnaligned(as: UInt64.self), prime)
            b = lane(b, (base + offset + 8).loadUnaligned(as: UInt64.self), prime)
            c = lane(c, (base + offset + 16).loadUnaligned(as: UInt64.self), prime)
            d = lane(d, (base + offset + 24).loadUnaligned(as: UInt64.self), prime)
            offset += 32
        }
    }
    while offset < bytes.count {
        a = lane(a, UInt64(bytes[offset]), prime)
        offset += 1
    }
    return mixed(a ^ mixed(b ^ mixed(c ^ mixed(d ^ UInt64(bytes.count)))))
}

@inline(__always)
private func lane(_ state: UInt64, _ word: UInt64, _ prime: UInt64) -> UInt64 {
    let product = (state ^ word) &* prime
    return product << 31 | product >> 33
}
