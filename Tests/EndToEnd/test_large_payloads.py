"""Events and answers of executions that are longer than a client may be sent: kept as files, and never in the host's memory
as a whole."""

import hashlib
import json
import os

import pytest

from roost_host import FUNCTIONS, RoostHost, until

SIX = 6 * 1024 * 1024 + 100
WORK = """
import time
def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    if event.get("seconds"):
        time.sleep(event["seconds"])
    return event.get("letter", "x") * event.get("letters", 1)
"""


@pytest.fixture
def host(tmp_path):
    (tmp_path / "spool").mkdir()
    settings = {
        "retryDelaysSeconds": [0.1], "eventMegabytes": 8,
        "destinations": {"arn:aws:s3:::spool": {"directory": str(tmp_path / "spool")}}}
    with RoostHost(tmp_path / "data", settings) as host:
        host.create("work", WORK)
        yield host


def stored(host):
    files = host.data_dir / "artifacts" / "files"
    return {path.name for path in files.rglob("*") if path.is_file()}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_an_answer_of_any_length_is_kept_and_can_be_read(host):
    inline = host.start_execution("work", {"letters": SIX - 2})  # and its quotation marks
    large = host.start_execution("work", {"letters": SIX - 1})
    larger = host.start_execution("work", {"letters": 100_000_000, "letter": "y"})
    assert len(json.loads(host.finished(inline)["Result"])) == SIX - 2
    for identifier, text in ((large, '"' + "x" * (SIX - 1) + '"'), (larger, '"' + "y" * 100_000_000 + '"')):
        execution = host.finished(identifier, 120)
        assert execution["Status"] == "SUCCEEDED" and "Result" not in execution
        assert execution["ResultFile"] == {"Digest": "sha256:" + digest(text.encode()), "SizeBytes": len(text)}
        assert host.roost("executions", "result", identifier) == text
    assert json.loads(host.roost("executions", "result", large, "--json")) == {
        "Id": large, "Payload": '"' + "x" * (SIX - 1) + '"'}
    assert host.roost("executions", "result", inline) == '"' + "x" * (SIX - 2) + '"'
    client = host.boto3()
    arn = host.execution(large)["ExecutionArn"]
    got = client.get_durable_execution(DurableExecutionArn=arn)
    assert json.loads(got["Result"]) == {"artifact": host.execution(large)["ResultFile"]["Digest"], "sizeBytes": SIX + 1}
    history = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)["Events"]
    assert json.loads(history[-1]["ExecutionSucceededDetails"]["Result"]["Payload"])["sizeBytes"] == SIX + 1
    # The answers were never in memory as a whole.
    with open(f"/proc/{host.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 110_000, f"the host has had {peak} KB"


def test_a_large_event_is_run_retried_and_resumed_like_any_other(host):
    data = json.dumps({"letters": 3, "ballast": "ü" * 3_500_000}, ensure_ascii=False).encode()
    first = host.start_execution("work", data, execution_name="one")
    assert host.start_execution("work", data, execution_name="one") == first
    other = host.invoke("work", data.replace(b'"letters": 3', b'"letters": 4'), headers={
        "X-Amz-Invocation-Type": "Event", "X-Amz-Durable-Execution-Name": "one"})
    assert other.status == 409
    assert json.loads(host.finished(first)["Result"]) == "xxx"
    assert digest(data) in stored(host)
    assert host.roost("executions", "result", first, "--input").encode() == data
    got = host.boto3().get_durable_execution(DurableExecutionArn=host.execution(first)["ExecutionArn"])
    assert json.loads(got["InputPayload"]) == {"artifact": "sha256:" + digest(data), "sizeBytes": len(data)}

    slow = json.dumps({"letters": 2, "seconds": 1, "ballast": "a" * 2_000_000}).encode()
    running = host.start_execution("work", slow)
    until(lambda: host.execution(running)["Status"] == "RUNNING")
    host.kill9()
    host.start()
    assert json.loads(host.finished(running)["Result"]) == "xx"
    assert host.execution(running)["Attempt"] == 2
    got = host.boto3().get_durable_execution(DurableExecutionArn=host.execution(running)["ExecutionArn"])
    assert got["InputPayload"].encode() == slow

    host.boto3().update_function_configuration(FunctionName="work", DeadLetterConfig={"TargetArn": "arn:aws:s3:::spool"})
    host.boto3().put_function_event_invoke_config(
        FunctionName="work", DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::spool"}})
    fails = json.dumps({"fail": True, "ballast": "b" * 2_000_000}).encode()
    failed = host.start_execution("work", fails)
    spool = host.data_dir.parent / "spool"
    until(lambda: len([name for name in os.listdir(spool) if not name.startswith(".")]) == 2)
    record = json.loads((spool / f"{failed}.json").read_text())
    assert record["requestArtifact"] == {"digest": "sha256:" + digest(fails), "sizeBytes": len(fails)}
    assert "requestPayload" not in record and record["responsePayload"]["errorType"] == "ValueError"
    assert json.loads((spool / f"{failed}-dead-letter.json").read_text())["Body"].encode() == fails
    again = json.loads(host.roost("executions", "redrive", failed, "--json"))[0]["Id"]
    assert host.finished(again)["Status"] == "FAILED"
    assert host.roost("executions", "result", again, "--input").encode() == fails


def test_what_is_longer_than_the_settings_allow_is_refused(tmp_path):
    with RoostHost(tmp_path / "data", {"resultMegabytes": 7, "retryDelaysSeconds": []}) as host:
        host.create("work", WORK)
        fits = host.start_execution("work", {"letters": (7 << 20) - 2})
        longer = host.start_execution("work", {"letters": (7 << 20) - 1})
        assert host.finished(fits)["Status"] == "SUCCEEDED"
        execution = host.finished(longer)
        assert execution["Error"] == {
            "ErrorType": "Function.ResponseSizeTooLarge",
            "ErrorMessage": "Response payload size exceeded maximum allowed payload size (7340032 bytes)."}
        until(lambda: not os.listdir(host.data_dir / "artifacts" / "tmp"), what="the end of what was too long")
        event = host.request(
            "POST", f"{FUNCTIONS}/work/invocations", {"a": "x" * (1 << 20)}, {"X-Amz-Invocation-Type": "Event"})
        assert event.status == 413 and "limit 1048576 bytes" in event.body.decode()
        # Who waits for an answer is told that it has one, and gets it from the execution.
        named = host.invoke("work", {"letters": SIX}, headers={"X-Amz-Durable-Execution-Name": "long"})
        assert named.headers["X-Amz-Function-Error"] == "Unhandled"
        assert named.json["errorType"] == "Function.ResponseSizeTooLarge"
        plain = host.invoke("work", {"letters": SIX})
        assert plain.json["errorType"] == "Function.ResponseSizeTooLarge"
        assert host.request("GET", f"/roost/v1/executions/{longer}/result").status == 409
        assert host.request("GET", f"/roost/v1/executions/{fits}/result?offset=9999999").status == 400


def test_an_event_whose_file_is_damaged_fails_its_execution(host):
    data = json.dumps({"ballast": "c" * 2_000_000}).encode()
    spool = "arn:aws:s3:::spool"
    host.boto3().update_function_configuration(FunctionName="work", DeadLetterConfig={"TargetArn": spool})
    host.boto3().put_function_event_invoke_config(
        FunctionName="work", DestinationConfig={"OnFailure": {"Destination": spool}})
    host.reserve("work", 1)
    running = host.start_execution("work", {"seconds": 60})
    until(lambda: host.execution(running)["Status"] == "RUNNING")
    waiting = host.start_execution("work", data)
    host.kill9()
    path = host.data_dir / "artifacts" / "files" / digest(data)[:2] / digest(data)
    path.chmod(0o644)
    path.write_bytes(data.replace(b"c", b"d", 1))
    host.start()
    execution = host.finished(waiting)
    assert execution["Status"] == "FAILED" and execution["Error"]["ErrorType"] == "Roost.NotRunnable"
    assert "damaged" in execution["Error"]["ErrorMessage"]
    # That there is no letter keeps nobody from hearing of the end.
    until(lambda: (host.data_dir.parent / "spool" / f"{waiting}.json").exists())
    told = [event["Detail"] for event in host.events(waiting) if event["Kind"] == "destination"]
    assert ["notInvoked" in detail for detail in told] == [False, True]
    assert "its event cannot be read" in told[1]["notInvoked"]
    host.call("POST", f"/roost/v1/executions/{running}/stop", {})
