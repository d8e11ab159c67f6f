import Testing

@testable import Simulator

@Suite("Traces as CSV")
struct TraceReaderTests {
    static func read(_ text: String) throws(TraceError) -> Trace { try read(Array(text.utf8)) }

    static func read(_ bytes: [UInt8]) throws(TraceError) -> Trace {
        var reader = TraceReader()
        try reader.read(bytes)
        return try reader.finish()
    }

    static let header = "function,arrival_seconds,duration_seconds,memory_mb,cold_start_seconds\n"

    @Test("a line is an invocation, and they are sorted by arrival")
    func lines() throws {
        let trace = try Self.read(Self.header + "b,2.5,0.001,100,0.4\na,1,2,128,0\nb,1,3e-9,90.2,1.5E+1\n")
        #expect(trace.functions == [.init(name: "b", memoryMegabytes: 100), .init(name: "a", memoryMegabytes: 128)])
        #expect(trace.invocations.map(\.arrivalNanoseconds) == [1_000_000_000, 1_000_000_000, 2_500_000_000])
        #expect(trace.invocations.map(\.function) == [1, 0, 0])
        #expect(trace.invocations.map(\.durationNanoseconds) == [2_000_000_000, 3, 1_000_000])
        #expect(trace.invocations.map(\.coldStartMicroseconds) == [0, 15_000_000, 400_000])
    }

    @Test("columns stand in any order, lines may end with CR LF, and the last one with nothing")
    func shapes() throws {
        let plain = try Self.read(Self.header + "é,1,2,128,3\n")
        for text in [
            "cold_start_seconds,memory_mb,function,duration_seconds,arrival_seconds\n3,128,é,2,1\n",
            Self.header.replacing("\n", with: "\r\n") + "é,1,2,128,3\r\n", Self.header + "é,1,2,128,3",
            "\u{FEFF}" + Self.header + "é,1.0,2.000,128,3e0",
        ] {
            let trace = try Self.read(text)
            #expect(trace.functions == plain.functions)
            #expect(trace.invocations == plain.invocations)
        }
    }

    @Test("a function's memory is the largest of its rows, in whole megabytes")
    func memory() throws {
        let trace = try Self.read(Self.header + "a,0,1,100,0\na,1,1,120.001,0\na,2,1,90,0\nb,0,1,0.001,0\n")
        #expect(trace.functions.map(\.memoryMegabytes) == [121, 1])
    }

    @Test("a text reads the same wherever it is cut")
    func pieces() throws {
        let bytes = Array((Self.header + "a,0.25,1,100,0\r\nbc,1,1,100,0.5\n").utf8)
        let whole = try Self.read(bytes)
        for first in 0...bytes.count {
            for second in first...bytes.count {
                var reader = TraceReader()
                try reader.read(Array(bytes[..<first]))
                try reader.read(Array(bytes[first..<second]))
                try reader.read(Array(bytes[second...]))
                let trace = try reader.finish()
                #expect(trace.invocations == whole.invocations && trace.functions == whole.functions)
            }
        }
    }

    @Test(
        "a decimal is scaled exactly, rounded half up",
        arguments: [
            ("0", 0), ("7", 7_000_000_000), ("0.1", 100_000_000), ("4000000000", 4_000_000_000_000_000_000),
            ("1234567.123456789", 1_234_567_123_456_789), ("0.0000000005", 1), ("0.00000000049", 0),
            ("00000000000000000000001.5", 1_500_000_000), ("1e-9", 1), ("1e-400", 0), ("0e9999999999999999999", 0),
            ("123456789012345678901234567890e-30", 123_456_789), ("1.0000000000000000000000000009", 1_000_000_000),
        ] as [(String, Int64)])
    func decimals(text: String, nanoseconds: Int64) {
        #expect(Decimal(Array(text.utf8), 0..<text.utf8.count)?.scaled(digits: 9) == nanoseconds)
    }

    @Test(
        "what is no number, or too large a one, is refused",
        arguments: [
            "", "-", ".", "1.", ".5", "+1", " 1", "1 ", "1,", "0x10", "nan", "NaN", "inf", "1e", "1e+", "1e1.5",
            "1_000",
            "١",
        ])
    func noDecimal(text: String) {
        #expect(Decimal(Array(text.utf8), 0..<text.utf8.count) == nil)
    }

    @Test(
        "what is wrong is said with its line",
        arguments: [
            ("", TraceError(.empty, line: nil)),
            ("\n", .init(.emptyLine, line: 1)),
            (header, .init(.noRows, line: nil)),
            (header.replacing("memory_mb", with: "memory"), .init(.unknownColumn("memory"), line: 1)),
            (header.replacing(",memory_mb", with: ""), .init(.missingColumn(.memory), line: 1)),
            (header.replacing("\n", with: ",\n"), .init(.unknownColumn(""), line: 1)),
            (header.replacing("memory_mb", with: "function"), .init(.repeatedColumn(.function), line: 1)),
            ("a,0,1,100,0\n", .init(.unknownColumn("a"), line: 1)),
            (header + "a,0,1,100,0\n\n", .init(.emptyLine, line: 3)),
            (header + "a,0,1,100\n", .init(.fieldCount(4), line: 2)),
            (header + "a,0,1,100,0,\n", .init(.fieldCount(6), line: 2)),
            (header + "a,0,1,100,0\n\"b\",0,1,100,0\n", .init(.quote, line: 3)),
            (header + ",0,1,100,0\n", .init(.nameEmpty, line: 2)),
            (header + String(repeating: "n", count: 257) + ",0,1,100,0\n", .init(.nameTooLong, line: 2)),
            (header + "a,x,1,100,0\n", .init(.notANumber(.arrival, "x"), line: 2)),
            (header + "a,0,nan,100,0\n", .init(.notANumber(.duration, "nan"), line: 2)),
            (header + "a,0,1,,0\n", .init(.notANumber(.memory, ""), line: 2)),
            (header + "a,0,1,100, 0\n", .init(.notANumber(.coldStart, " 0"), line: 2)),
            (header + "a,-1,1,100,0\n", .init(.negative(.arrival, "-1"), line: 2)),
            (header + "a,0,1,100,-0.5\n", .init(.negative(.coldStart, "-0.5"), line: 2)),
            (header + "a,0,1,0,0\n", .init(.noMemory("0"), line: 2)),
            (
                header + "a,4000000000.1,1,100,0\n",
                .init(.tooLarge(.arrival, "4000000000.1", limit: 4_000_000_000), line: 2)
            ),
            (header + "a,0,1e300,100,0\n", .init(.tooLarge(.duration, "1e300", limit: 1_000_000), line: 2)),
            (header + "a,0,1,16777217,0\n", .init(.tooLarge(.memory, "16777217", limit: 16_777_216), line: 2)),
            (header + "a,0,1,100,3601\n", .init(.tooLarge(.coldStart, "3601", limit: 3600), line: 2)),
            (header + "a,0,1,100,0\na,31622401,1,100,0\n", .init(.spanTooLong, line: nil)),
        ] as [(String, TraceError)])
    func errors(text: String, expected: TraceError) {
        let error = #expect(throws: TraceError.self) { try Self.read(text) }
        #expect(error == expected)
        #expect(!expected.description.isEmpty)
    }

    @Test("a name that is not UTF-8, and a line without end, are refused")
    func bytes() {
        let bad = Array(Self.header.utf8) + [0xFF, 0x61] + Array(",0,1,100,0\n".utf8)
        #expect(throws: TraceError(.nameNotUTF8, line: 2)) { try Self.read(bad) }
        let endless = [UInt8](repeating: 0x61, count: 1 << 20)
        #expect(throws: TraceError(.lineTooLong, line: 1)) { try Self.read(endless) }
        #expect(throws: TraceError(.lineTooLong, line: 2)) { try Self.read(Array(Self.header.utf8) + endless + [0x0A]) }
    }

    @Test("more functions than may be are refused")
    func functions() {
        var reader = TraceReader()
        #expect(throws: TraceError(.tooManyFunctions, line: 100_002)) {
            try reader.read(Array(Self.header.utf8))
            try reader.read((0...100_000).flatMap { Array("f\($0),0,1,1,0\n".utf8) })
        }
    }
}
