package import Domain
internal import Registry

extension Management {
    /// Adds tags to a function, or gives those that it has another value.
    package func tag(
        _ name: FunctionName, _ tags: [String: String], by caller: Caller
    ) async throws(ManagementError) {
        try await perform("TagResource", name, by: caller) { () async throws(ManagementError) -> ([Change], Void) in
            var function = try catalog.entry(name).function
            function.tags.merge(tags) { _, new in new }
            guard function.tags.count <= Self.tagsMax else {
                throw .invalid("Number of tags exceeds function tag limit.")
            }
            return ([.putFunction(function)], ())
        }
    }

    /// Takes tags away. A key that the function does not have is no error.
    package func untag(_ name: FunctionName, _ keys: [String], by caller: Caller) async throws(ManagementError) {
        try await perform("UntagResource", name, by: caller) { () async throws(ManagementError) -> ([Change], Void) in
            var function = try catalog.entry(name).function
            for key in keys { function.tags[key] = nil }
            return ([.putFunction(function)], ())
        }
    }

    /// Tags that a function may have.
    package static let tagsMax = 50
}
