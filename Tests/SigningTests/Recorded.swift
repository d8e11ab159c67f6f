import Testing

/// A request that botocore signed on 2026-11-23 at 12:00:00 UTC with the key of AWS's documentation.
struct Recorded: Sendable, CustomTestStringConvertible {
    let name: String
    let method: String
    let target: String
    let fields: [(name: String, value: String)]
    var body = ""
    let signedHeaders: String
    let signature: String
    var hasToken = false

    var testDescription: String { name }
}

/// Made with botocore 1.44.5: `get_current_datetime` of `botocore.auth` is patched to return that time. The
/// first eight are a boto3 client's calls, taken from its event `before-send`; the others are `AWSRequest`s given to
/// `SigV4Auth(credentials, "lambda", "us-east-1").add_auth`. What is not signed (User-Agent, Content-Length, amz-sdk-...)
/// is left out, and Host is what urllib3 sends.
let recorded: [Recorded] = [
    Recorded(
        name: "an ARN in the path", method: "POST",
        target: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Am%3"
            + "Aprod/invocations?Qualifier=prod",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Log-Type", "Tail"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        body: "{\"x\":1}",
        signedHeaders: "host;x-amz-date;x-amz-log-type",
        signature: "9354e6a39080d78538934eddc770307ddc731bf7cc6e657ba20758f7efd78faa"),
    Recorded(
        name: "a session token", method: "POST",
        target: "/2015-03-31/functions/m/invocations",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
            ("X-Amz-Security-Token", "c2Vzc2lvbi10b2tlbg+/example=="),
        ],
        body: "{\"x\":1}",
        signedHeaders: "host;x-amz-date;x-amz-security-token",
        signature: "7b432817edb7fe5a24d26d735227a2faf775c874763e91f73eb8ed9f4759e3c7", hasToken: true),
    Recorded(
        name: "no body", method: "GET",
        target: "/2015-03-31/functions/m",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "94d557e5e24d2ba7e108492c22bfebc898cd1df8462f8439b5e5b4a8e34d3528"),
    Recorded(
        name: "a Unicode marker", method: "GET",
        target: "/2015-03-31/functions?Marker=gr%C3%B6%C3%9Fe%2F%E4%B8%96%E7%95%8C%20%26%3D%2B&MaxIte"
            + "ms=5",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "4d3217536babaca391a7c9db12ecc43d430aab7b4801102e6ca141106e4db42c"),
    Recorded(
        name: "a base path", method: "GET",
        target: "/base/path/2015-03-31/functions",
        fields: [
            ("Host", "models.example:8080"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "fa09387be510bee1e8ffa707df3cb5b154b9d58f429795c51bcfecd233f99c67"),
    Recorded(
        name: "repeated query keys", method: "DELETE",
        target: "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Am?tagKey"
            + "s=b%20c&tagKeys=a&tagKeys=%C3%A9",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "5f743a480e7ffbf3eb53fe51bdc7fb8bfeee357f011573b909e3f382742753e8"),
    Recorded(
        name: "a slash within a segment", method: "GET",
        target: "/2025-12-01/durable-executions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunct"
            + "ion%3Am%3A%24LATEST%2Fdurable-execution%2Frun%2F7f",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "32b62d54b9cd74df18818367d75e5b886e0e62665b3901a43a46f8621cde0820"),
    Recorded(
        name: "a JSON body", method: "POST",
        target: "/2015-03-31/functions/m/aliases",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("Content-Type", "application/json"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        body: "{\"Name\": \"live\", \"FunctionVersion\": \"1\", \"Description\": \"gr\\u00f6\\u00dfer\"}",
        signedHeaders: "content-type;host;x-amz-date",
        signature: "78c9f0d75821e1257b195f109c9b85c32ae82791394896bfa8bd50bca68da2b0"),
    Recorded(
        name: "unsorted query keys, one without a value", method: "GET",
        target: "/roost/v1/executions?z=1&after&a=2&a=1&B=%2f&a-b=3&a",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "188b49bee991068390fa9ac34ece548ee05ad1f7b7aaba153f9b23ebb562addd"),
    Recorded(
        name: "empty members of a query", method: "GET",
        target: "/p?a=1&&b==2&",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "cdac1eff1513d6a18254918eb3849d02922cd8dca29b79a6ce07606c30ac7b06"),
    Recorded(
        name: "dots and slashes in the path", method: "GET",
        target: "//a/./b//../c%20d/~e/%2e%2E/",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "10033255041e2367b257d803b4d182e5247d9dc278f68902e3865c918f39e26d"),
    Recorded(
        name: "a path that goes up beyond its root", method: "GET",
        target: "/../a/..",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "6b872ba1d2a96813f263bb9e6dfa0b2d52ab4e482f08b8d42649c3a1fd1fef9c"),
    Recorded(
        name: "Unicode in the path", method: "GET",
        target: "/a/%E4%B8%96/*'()!$+,;:@=",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "63b16904b5916fc16ebe4763fbdb86a61351a7db4da1825729e54b47acf46a0c"),
    Recorded(
        name: "blanks and repetitions in header fields", method: "POST",
        target: "/x",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Meta", "  a   b\t c  "),
            ("X-Amz-Meta", "d"),
            ("X-Amz-Empty", ""),
            ("Content-Type", "text/plain;  charset=utf-8"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        body: "body",
        signedHeaders: "content-type;host;x-amz-date;x-amz-empty;x-amz-meta",
        signature: "47faf9a9e0d4444c6a1e583979c3888175d11e9a81ce4533e37bd9b0350802a4"),
    Recorded(
        name: "a declared hash", method: "PUT",
        target: "/roost/v1/artifacts/sha256:230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68f"
            + "e31acb5",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("X-Amz-Content-SHA256", "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"),
            ("Content-Type", "application/octet-stream"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        body: "body",
        signedHeaders: "content-type;host;x-amz-content-sha256;x-amz-date",
        signature: "8bdad9d6ec405a784a389a02d15034ddd7bfa3465d351b7109c7093883b554c3"),
    Recorded(
        name: "Date instead of X-Amz-Date", method: "GET",
        target: "/roost/v1/host",
        fields: [
            ("Host", "127.0.0.1:9000"),
            ("Date", "Mon, 23 Nov 2026 12:00:00 -0000"),
        ],
        signedHeaders: "date;host",
        signature: "2db526050152764308b44f5965f60555d415a3aa8935759dcc79d26e25d00ccc"),
    Recorded(
        name: "the default port", method: "GET",
        target: "/roost/v1/host",
        fields: [
            ("Host", "models.example"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "fe90ae9008af96acbb96d7d3b82f7a01c3b2a21f5301e71cd2cdd8923ad03c2f"),
    Recorded(
        name: "IPv6", method: "GET",
        target: "/roost/v1/host",
        fields: [
            ("Host", "[::1]:7070"),
            ("X-Amz-Date", "20261123T120000Z"),
        ],
        signedHeaders: "host;x-amz-date",
        signature: "a5eb0a5f9945972590763ae09e95562aeaecbcda181fdb461c3abf5c455a5b4a"),
]
