"""Places outside of the host's functions hear of executions' ends: directories and webhooks that its configuration names."""

import json
import os

import pytest

from roost_host import RoostHost, until

WORK = """
import time
def handler(event, context):
    time.sleep(event.get("seconds", 0))
    if event.get("fail"):
        raise ValueError("as asked")
    return {"got": event}
"""
GOOD = "arn:aws:sqs:us-east-1:000000000000:good"
BAD = "arn:aws:s3:::bad"
DEAD = "arn:aws:sns:us-east-1:000000000000:dead"


class Spool:
    """A directory that the host's deliveries come to."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def names(self):
        return {name for name in os.listdir(self.path) if not name.startswith(".")}

    def read(self, name):
        return json.loads((self.path / name).read_text())


class Spools:
    def __init__(self, directory):
        self.good, self.bad, self.dead = (Spool(directory / name) for name in ("good", "bad", "dead"))
        self.settings = {"destinations": {
            name: {"directory": str(spool.path)} for name, spool in ((GOOD, self.good), (BAD, self.bad), (DEAD, self.dead))}}


@pytest.fixture
def spools(tmp_path):
    return Spools(tmp_path)


@pytest.fixture
def host(tmp_path, spools):
    with RoostHost(tmp_path / "data", {"retryDelaysSeconds": [], **spools.settings}) as host:
        yield host


def configure(host, function="work", **parameters):
    host.boto3().put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={key: {"Destination": name} for key, name in parameters.items()})


def details(host, identifier, kind):
    events = host.call("GET", f"/roost/v1/executions/{identifier}/events")["Events"]
    return [event["Detail"] for event in events if event["Kind"] == kind]


def test_a_success_a_failure_and_a_dead_letter_go_where_they_should(host, spools):
    host.create("work", WORK)
    configure(host, OnSuccess=GOOD, OnFailure=BAD)
    client = host.boto3()
    changed = client.update_function_configuration(FunctionName="work", DeadLetterConfig={"TargetArn": DEAD})
    assert changed["DeadLetterConfig"] == {"TargetArn": DEAD}
    assert client.get_function_configuration(FunctionName="work")["DeadLetterConfig"] == {"TargetArn": DEAD}

    well = host.start_execution("work", {"x": [1, "é"]})
    until(lambda: spools.good.names() == {f"{well}.json"})
    record = spools.good.read(f"{well}.json")
    assert record["requestContext"] == {
        "requestId": well, "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:work:$LATEST",
        "condition": "Success", "approximateInvokeCount": 1}
    assert record["requestPayload"] == {"x": [1, "é"]} and record["responsePayload"] == {"got": {"x": [1, "é"]}}
    until(lambda: details(host, well, "delivered") == [{"target": GOOD}])
    assert details(host, well, "destination") == [{"destination": GOOD, "condition": "Success"}]

    failed = host.start_execution("work", {"fail": True})
    until(lambda: spools.bad.names() and spools.dead.names())
    assert spools.bad.names() == {f"{failed}.json"}
    record = spools.bad.read(f"{failed}.json")
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responsePayload"]["errorType"] == "ValueError"
    assert spools.dead.names() == {f"{failed}-dead-letter.json"}
    letter = spools.dead.read(f"{failed}-dead-letter.json")
    assert json.loads(letter["Body"]) == {"fail": True} and letter["MessageId"] == failed
    assert {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()} == {
        "RequestID": failed, "ErrorCode": "200", "ErrorMessage": "as asked"}
    until(lambda: len(details(host, failed, "delivered")) == 2)

    # Who stops an execution knows of it: no dead letter.
    stopped = host.start_execution("work", {"seconds": 60})
    until(lambda: "attemptStarted" in host.kinds(stopped))
    host.call("POST", f"/roost/v1/executions/{stopped}/stop", {})
    until(lambda: f"{stopped}.json" in spools.bad.names())
    assert spools.bad.read(f"{stopped}.json")["requestContext"]["condition"] == "Stopped"
    assert len(spools.dead.names()) == 1
    until(lambda: len(details(host, stopped, "delivered")) == 1)
    text = host.request("GET", "/metrics").body.decode()
    assert f'roost_deliveries_total{{target="{BAD}",result="told"}} 2' in text
    assert f'roost_deliveries_waiting{{target="{BAD}"}} 0' in text


def test_a_dead_letter_target_is_the_versions_and_goes_with_an_empty_one(host, spools):
    host.create("work", WORK)
    client = host.boto3()
    client.update_function_configuration(FunctionName="work", DeadLetterConfig={"TargetArn": DEAD})
    client.publish_version(FunctionName="work")
    gone = client.update_function_configuration(FunctionName="work", DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in gone
    latest = host.start_execution("work", {"fail": True})
    published = host.start_execution("work", {"fail": True}, qualifier="1")
    until(lambda: spools.dead.names() == {f"{published}-dead-letter.json"})
    host.finished(latest)
    assert details(host, latest, "destination") == []
    host.kill9()
    host.start()
    assert host.boto3().get_function_configuration(FunctionName="work:1")["DeadLetterConfig"] == {"TargetArn": DEAD}


def test_what_the_configuration_does_not_name_is_refused(host):
    host.create("work", WORK)
    client = host.boto3()
    other = "arn:aws:sqs:us-east-1:000000000000:other"
    for call in (
        lambda: configure(host, OnSuccess=other),
        lambda: client.update_function_configuration(FunctionName="work", DeadLetterConfig={"TargetArn": other}),
        lambda: client.update_function_configuration(FunctionName="work", DeadLetterConfig={"TargetArn": "/etc"}),
    ):
        with pytest.raises(client.exceptions.InvalidParameterValueException, match="is not one of this host's"):
            call()


def test_every_end_is_told_though_the_host_is_killed(tmp_path, spools):
    settings = {"retryDelaysSeconds": [], **spools.settings}
    with RoostHost(tmp_path / "data", settings) as host:
        host.create("work", WORK)
        configure(host, OnSuccess=GOOD, OnFailure=BAD)
        wanted = {True: set(), False: set()}
        for fault in (None, "delivery.told", "end.stored"):
            host.stop()
            if fault:
                os.environ["ROOST_FAULT_POINT"] = fault
            try:
                host.start()
            finally:
                os.environ.pop("ROOST_FAULT_POINT", None)
            try:
                for number in range(60):
                    fails = number % 3 == 0
                    wanted[fails].add(host.start_execution("work", {"fail": fails}) + ".json")
            except (OSError, AssertionError, ValueError):
                assert fault, "the host has gone without reason"
            if fault:
                until(lambda: host.process.poll() is not None, what=f"the host's end at {fault}")
            host.kill9()
            host.start()
        until(lambda: wanted[False] <= spools.good.names() and wanted[True] <= spools.bad.names(), 60, "all deliveries")
        # Nothing else was told, but for executions whose 202 was lost with the host.
        accepted = {execution["Id"] + ".json" for execution in host.call("GET", "/roost/v1/executions?limit=1000")["Executions"]}
        assert spools.good.names() | spools.bad.names() <= accepted
        assert not spools.good.names() & spools.bad.names()


def test_a_directory_that_is_away_is_told_when_it_is_back(tmp_path, spools):
    with RoostHost(tmp_path / "data", {"retryDelaysSeconds": [], **spools.settings}) as host:
        host.create("work", WORK)
        configure(host, OnSuccess=GOOD)
        away = spools.good.path.with_name("away")
        spools.good.path.rename(away)
        sent = {host.start_execution("work", {}) for _ in range(5)}
        until(lambda: 'result="failed_try"} 0' not in host.request("GET", "/metrics").body.decode()
              and f'roost_deliveries_waiting{{target="{GOOD}"}} 5' in host.request("GET", "/metrics").body.decode())
        host.kill9()
        away.rename(spools.good.path)
        host.start()
        until(lambda: spools.good.names() == {f"{identifier}.json" for identifier in sent}, 60)
        until(lambda: all(details(host, identifier, "delivered") for identifier in sent))


def test_a_target_that_is_configured_no_more_keeps_its_deliveries(tmp_path, spools):
    settings = {"retryDelaysSeconds": [], **spools.settings}
    with RoostHost(tmp_path / "data", settings) as host:
        host.create("work", WORK)
        configure(host, OnSuccess=GOOD)
        spools.good.path.rename(tmp_path / "away")
        waiting = host.start_execution("work", {})
        until(lambda: details(host, waiting, "destination"))
        host.stop()
    without = {"retryDelaysSeconds": [], "destinations": {BAD: {"directory": str(spools.bad.path)}}}
    with RoostHost(tmp_path / "data", without) as host:
        refused = host.start_execution("work", {})
        until(lambda: details(host, refused, "destination"))
        assert details(host, refused, "destination")[0]["notInvoked"] == "the configuration of the host does not name it"
        assert f'roost_deliveries_waiting{{target="{GOOD}"}} 1' in host.request("GET", "/metrics").body.decode()
        host.stop()
    (tmp_path / "away").rename(spools.good.path)
    with RoostHost(tmp_path / "data", settings) as host:
        until(lambda: spools.good.names() == {f"{waiting}.json"})


def test_a_host_does_not_start_with_a_directory_that_is_none(tmp_path):
    for path, message in ((tmp_path / "none", "No such file"), (tmp_path / "file", "is no directory")):
        (tmp_path / "file").write_text("")
        with pytest.raises(AssertionError, match=f"destination {GOOD}: .*{message}"):
            RoostHost(tmp_path / "data", {"destinations": {GOOD: {"directory": str(path)}}}).start()


def test_a_function_folder_names_its_dead_letter_target(host, spools, tmp_path):
    folder = tmp_path / "fragile"
    folder.mkdir()
    (folder / "fragile.py").write_text("def handler(event, context): raise ValueError('as asked')\n")

    def deploy(**more):
        (folder / "function.json").write_text(json.dumps({"name": "fragile", "runtime": "python3", **more}))
        return host.roost("deploy", str(folder))

    deploy(deadLetterTarget=DEAD)
    failed = host.start_execution("fragile", {})
    until(lambda: spools.dead.names() == {f"{failed}-dead-letter.json"})
    for target, message in (
        ("arn:aws:sqs:us-east-1:000000000000:other", "is not one of this host's"),
        ("other", "deadLetterTarget must be an ARN of one of events, s3, sns, sqs, not 'other'"),
        (7, "deadLetterTarget must be a string"),
    ):
        with pytest.raises(AssertionError, match=message):
            deploy(deadLetterTarget=target)
    deploy()  # what the folder does not say is not so
    assert "DeadLetterConfig" not in host.boto3().get_function_configuration(FunctionName="fragile")
