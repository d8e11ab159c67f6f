/// The values that a function's configuration may have, whichever way it comes.
package enum ConfigurationLimits {
    /// Up to 366 days, for trainings.
    package static let timeoutSeconds = 1...31_622_400
    package static let memoryMegabytes = 128...1_048_576
    package static let reservedConcurrency = 0...1_000_000
    package static let handlerLengthMax = 128
    package static let descriptionLengthMax = 256

    package static func isHandler(_ text: String) -> Bool {
        !text.isEmpty && text.unicodeScalars.count <= handlerLengthMax
            && !text.unicodeScalars.contains { $0.properties.isWhitespace || $0.value == 0 }
    }
}
