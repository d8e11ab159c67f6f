"""The aws command, as it is: what a user of the Lambda API types first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ARN, CREDENTIALS, ROLE, make_zip

AWS = Path(sys.executable).with_name("aws")
ANSWER = "def handler(event, context):\n    return {'code': %d, 'event': event}\n"


@pytest.fixture(scope="module")
def aws(host):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}

    def run(*arguments, check=0):
        result = subprocess.run(
            [AWS, "--endpoint-url", host.endpoint, "lambda", *map(str, arguments)], capture_output=True, text=True,
            timeout=60, env={**environment, **CREDENTIALS})
        assert result.returncode == check, result.stdout + result.stderr
        return json.loads(result.stdout) if result.stdout.strip().startswith("{") else result

    return run


def test_the_life_of_a_function(aws, tmp_path):
    package, out = tmp_path / "package.zip", tmp_path / "out.json"
    package.write_bytes(make_zip({"function.py": ANSWER % 1}))
    made = aws("create-function", "--function-name", "life", "--runtime", "python3", "--handler", "function.handler",
               "--role", ROLE, "--zip-file", f"fileb://{package}")
    assert made["FunctionArn"] == ARN + "life" and made["Version"] == "$LATEST"
    aws("wait", "function-active-v2", "--function-name", "life")

    answer = aws("invoke", "--function-name", "life", "--payload", '{"text": "世界"}', out)
    assert answer == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    assert json.loads(out.read_text()) == {"code": 1, "event": {"text": "世界"}}

    assert aws("publish-version", "--function-name", "life")["Version"] == "1"
    alias = aws("create-alias", "--function-name", "life", "--name", "live", "--function-version", "1")
    assert alias["AliasArn"] == ARN + "life:live"

    package.write_bytes(make_zip({"function.py": ANSWER % 2}))
    updated = aws("update-function-code", "--function-name", "life", "--zip-file", f"fileb://{package}", "--publish")
    assert updated["Version"] == "2"
    aws("update-alias", "--function-name", "life", "--name", "live", "--function-version", "2",
        "--routing-config", "AdditionalVersionWeights={1=1.0}")
    # The whole weight is version 1's, so that is what answers.
    answer = aws("invoke", "--function-name", "life:live", "--log-type", "Tail", out)
    assert answer["ExecutedVersion"] == "1" and answer["LogResult"]
    assert json.loads(out.read_text()) == {"code": 1, "event": {}}

    aws("delete-function", "--function-name", "life")
    refused = aws("invoke", "--function-name", "life", out, check=255)
    assert "ResourceNotFoundException" in refused.stderr and "Function not found" in refused.stderr


def test_an_event_is_accepted_and_found_again(aws, make_function, tmp_path):
    name, out = make_function(), tmp_path / "out"
    answer = aws("invoke", "--function-name", name, "--invocation-type", "Event", "--payload", "[1]", out)
    assert answer["StatusCode"] == 202 and out.read_bytes() == b""
    arn = answer["DurableExecutionArn"]
    listed = aws("list-durable-executions-by-function", "--function-name", name)["DurableExecutions"]
    assert [execution["DurableExecutionArn"] for execution in listed] == [arn]
