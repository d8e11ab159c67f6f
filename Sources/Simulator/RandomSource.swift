/// Random numbers that are the same on every machine for the same seed: xoshiro256** (Blackman and Vigna, "Scrambled
/// linear pseudorandom number generators", 2021), its state filled by SplitMix64, as they recommend.
package struct RandomSource: Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    package init(seed: UInt64) {
        var seeds = SplitMix64(seed)
        state = (seeds.next(), seeds.next(), seeds.next(), seeds.next())
    }

    init(state: (UInt64, UInt64, UInt64, UInt64)) { self.state = state }

    package mutating func next() -> UInt64 {
        func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }
        let result = rotated(state.1 &* 5, 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, 45)
        return result
    }

    /// From 0 up to, but not including, 1: a multiple of 2^-53.
    package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Above 0 and below 1, so that it has a logarithm.
    mutating func openUniform() -> Double { (Double(next() >> 12) + 0.5) * 0x1p-52 }

    /// Standard normal: Marsaglia's polar method (1964), without keeping the second of each pair.
    mutating func normal() -> Double {
        while true {
            let x = 2 * uniform() - 1
            let y = 2 * uniform() - 1
            let square = x * x + y * y
            if square > 0, square < 1 { return x * (-2 * Exact.log(square) / square).squareRoot() }
        }
    }

    /// Gamma distributed with this shape (above 0) and scale 1: Marsaglia and Tsang, "A simple method for generating gamma
    /// variables", ACM TOMS 26(3), 2000; below shape 1 with their boost, gamma(a) = gamma(a + 1) U^(1/a), which becomes 0
    /// where it is too small for a `Double`.
    package mutating func gamma(shape: Double) -> Double {
        if shape < 1 {
            let boosted = gamma(shape: shape + 1)
            return boosted * Exact.exp(Exact.log(openUniform()) / shape)
        }
        let d = shape - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        while true {
            let x = normal()
            let root = 1 + c * x
            guard root > 0 else { continue }
            let v = root * root * root
            let u = openUniform()
            let square = x * x
            if u < 1 - 0.0331 * square * square { return d * v }
            if Exact.log(u) < 0.5 * square + d * (1 - v + Exact.log(v)) { return d * v }
        }
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Makes seeds from a seed.
struct SplitMix64: Sendable {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
