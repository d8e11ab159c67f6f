"""Provisioned concurrency against the host's other rules; test_api_configs.py has the operations themselves."""

import pytest

from roost_host import RoostHost, until

ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture
def host(tmp_path):
    with RoostHost(tmp_path / "data", {"workersMax": 3}) as host:
        yield host


def provision(client, name, qualifier, count):
    return client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count)


def is_ready(client, name, qualifier):
    return client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)["Status"] == "READY"


def test_provisioned_workers_stay_when_others_need_room_and_leave_when_they_are_released(host):
    client = host.boto3()
    host.create("kept", ECHO, publish=True, keep_alive=0)
    host.create("other", ECHO)
    provision(client, "kept", "1", 2)
    until(lambda: is_ready(client, "kept", "1"))
    assert host.roost("ps").count("idle, provisioned") == 2
    kept = host.worker_pids("kept")
    answers = host.invoke_all("other", [{"n": n} for n in range(20)])
    assert [a.json["n"] for a in answers] == list(range(20))
    assert host.worker_pids("kept") == kept and len(host.workers("other")) == 1
    assert not host.invoke("kept", {}, "1").is_cold
    client.delete_provisioned_concurrency_config(FunctionName="kept", Qualifier="1")
    until(lambda: host.workers("kept") == [], what="the end of the workers")


def test_what_is_provisioned_fits_into_what_is_reserved_and_into_the_host(host):
    client = host.boto3()
    host.create("f", ECHO, publish=True)
    host.set_alias("f", "live", 1)
    provision(client, "f", "live", 2)
    until(lambda: is_ready(client, "f", "live"))
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="should not be lower than"):
        client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=2)
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="should not be greater than"):
        provision(client, "f", "live", 3)
    with pytest.raises(client.exceptions.ResourceConflictException, match="pointed by"):
        provision(client, "f", "1", 1)
    client.delete_function_concurrency(FunctionName="f")
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=r"greater than account.*\[3\]"):
        provision(client, "f", "live", 4)
    host.create("g", ECHO, publish=True)
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=r"\[1\]"):
        provision(client, "g", "1", 2)
    # They go with the alias.
    client.delete_alias(FunctionName="f", Name="live")
    assert client.list_provisioned_concurrency_configs(FunctionName="f")["ProvisionedConcurrencyConfigs"] == []
    provision(client, "g", "1", 2)
    until(lambda: is_ready(client, "g", "1"))


def test_an_alias_on_latest_has_no_provisioned_workers(host):
    client = host.boto3()
    host.create("f", ECHO, publish=True)
    host.set_alias("f", "live", 1)
    provision(client, "f", "live", 1)
    until(lambda: is_ready(client, "f", "live"))
    host.set_alias("f", "live", "$LATEST")
    config = client.get_provisioned_concurrency_config(FunctionName="f", Qualifier="live")
    assert config["Status"] == "FAILED" and "$LATEST" in config["StatusReason"]
    host.set_alias("f", "live", 1)
    until(lambda: is_ready(client, "f", "live"))
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="unpublished"):
        provision(client, "f", "$LATEST", 1)
