#if canImport(Glibc)
    internal import Glibc
#endif

/// Bytes that grow at the end and shrink at the front, in memory that is kept between uses unless it became large.
///
/// A class, so that a caller's closure may append while the connection is called again.
package final class ByteBuffer {
    private var storage: UnsafeMutableRawPointer?
    private var capacity = 0
    private var start = 0
    private(set) var count = 0

    /// More than this is given back to the system when the buffer is emptied.
    private static let keptBytesMax = 4096

    package init() {}

    deinit { free(storage) }

    var isEmpty: Bool { count == 0 }
    /// Valid until the next mutation.
    package var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: storage.map { UnsafeRawPointer($0 + start) }, count: count)
    }

    func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    package func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func append(_ byte: UInt8) {
        reserve(1).storeBytes(of: byte, as: UInt8.self)
        count += 1
    }

    package func appendDecimal(_ value: Int) {
        precondition(value >= 0)
        let digitsMax = 20
        let end = reserve(digitsMax) + digitsMax
        var digit = end
        var rest = value
        repeat {
            digit -= 1
            digit.storeBytes(of: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10), as: UInt8.self)
            rest /= 10
        } while rest > 0
        let length = end - digit
        (end - digitsMax).copyMemory(from: digit, byteCount: length)  // memmove: they may overlap
        count += length
    }

    package func appendHexadecimal(_ value: Int) {
        var shift = max(0, (Int.bitWidth - value.leadingZeroBitCount + 3) / 4 - 1) * 4
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: value >> shift) & 15
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            shift -= 4
        }
    }

    func removeFirst(_ byteCount: Int) {
        precondition(byteCount <= count)
        start += byteCount
        count -= byteCount
        if count == 0 { removeAll() }
    }

    func removeAll() {
        start = 0
        count = 0
        if capacity > Self.keptBytesMax { release() }
    }

    /// Gives the memory back.
    func release() {
        free(storage)
        storage = nil
        capacity = 0
        start = 0
        count = 0
    }

    /// Where `more` bytes, at least 1, can be written behind the present ones.
    ///
    /// What is copied is within `storage`: `start + count <= capacity` always holds, and `capacity` is 0 where there is no
    /// storage, so that the first call makes some.
    private func reserve(_ more: Int) -> UnsafeMutableRawPointer {
        if start + count + more > capacity {
            if start > 0, let storage {
                memmove(storage, storage + start, count)
                start = 0
            }
            if count + more > capacity {
                capacity = max(count + more, capacity * 2, 512)
                guard let grown = realloc(storage, capacity) else { fatalError("out of memory") }
                storage = grown
            }
        }
        return storage! + start + count
    }
}
