/// Functions that C libraries round differently, made of IEEE operations alone, so that a seed means the same trace on
/// every machine. Good to about 1e-15 relative; slower than the C library's.
enum Exact {
    /// The logarithm of 2 in two parts; the first has so few digits that its product with an exponent is exact.
    private static let ln2 = 0x1.62e42feep-1
    private static let ln2Low = 0x1.a39ef35793c76p-33

    /// Natural logarithm of a number above 0 that is neither infinite nor subnormal.
    static func log(_ x: Double) -> Double {
        var fraction = x.significand
        var exponent = Double(x.exponent)
        if fraction > 1.4142135623730951 {
            fraction /= 2
            exponent += 1
        }
        // log f = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.172.
        let s = (fraction - 1) / (fraction + 1)
        let square = s * s
        var sum = 0.0
        var divisor = 23.0
        while divisor > 1 {
            sum = (sum + 1 / divisor) * square
            divisor -= 2
        }
        return exponent * ln2 + (2 * s + (2 * s * sum + exponent * ln2Low))
    }

    /// 0 below -708, where the result would be subnormal; infinite above 709.
    static func exp(_ x: Double) -> Double {
        if x < -708 { return 0 }
        if x > 709 { return .infinity }
        let power = (x / ln2).rounded()
        let rest = (x - power * ln2) - power * ln2Low
        var sum = 1.0
        var divisor = 14.0
        while divisor > 0 {
            sum = 1 + sum * rest / divisor
            divisor -= 1
        }
        return Double(sign: .plus, exponent: Int(power), significand: sum)
    }

    /// Sine of so many turns, by its series on a quarter of a turn.
    static func sine(turns: Double) -> Double {
        var turns = turns - turns.rounded()
        if turns > 0.25 { turns = 0.5 - turns }
        if turns < -0.25 { turns = -0.5 - turns }
        let angle = turns * (2 * Double.pi)
        let square = angle * angle
        var sum = 1.0
        var index = 22.0
        while index > 0 {
            sum = 1 - sum * square / (index * (index + 1))
            index -= 2
        }
        return angle * sum
    }

    static func cosine(turns: Double) -> Double { sine(turns: turns + 0.25) }
}
