/// The version of this program.
package enum RoostVersion {
    package static let text = "0.1.0"
}
