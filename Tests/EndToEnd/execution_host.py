"""A host whose retries come at once, and what is asked of its executions."""

import pytest

from conftest import Host, wait_until
from lambda_api import ACTOR, invoke

# Prints each call with what its event calls it, and fails, waits or answers.
COUNTED = """
import time

def handler(event, context):
    print("called", event.get("key"), context.aws_request_id, flush=True)
    time.sleep(event.get("seconds", 0))
    if event.get("fail"):
        raise KeyError("again")
    return {"key": event.get("key"), "version": context.function_version}
"""
SLEEP = {"do": "sleep", "seconds": 50}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    it = Host(tmp_path_factory.mktemp("host"), {
        "retryDelaysSeconds": [0.02, 0.02], "stopGraceSeconds": 1, "shutdownSeconds": 2})
    yield it
    it.stop()


def start(client, name, event=None, **options):
    return invoke(client, name, event, InvocationType="Event", **options)["DurableExecutionArn"]


def calls(host, function, key):
    """How often a counted function was called with that key."""
    text = host.request("GET", f"/roost/v1/functions/{function}/logs?lines=10000").body.decode()
    return sum(f"called {key} " in line for line in text.splitlines())


def status(client, arn):
    return client.get_durable_execution(DurableExecutionArn=arn)["Status"]


def history(client, arn, **parameters):
    return client.get_durable_execution_history(DurableExecutionArn=arn, **parameters)["Events"]


def attempts(client, arn):
    return sum(event["EventType"] == "InvocationCompleted" for event in history(client, arn))


@pytest.fixture
def blocked(host, lambda_client, make_function):
    """A function with one place, which is taken: (its name, the execution that has it). What comes next waits."""
    name = make_function(ACTOR, Timeout=60)
    lambda_client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    blocker = start(lambda_client, name, SLEEP)
    wait_until(lambda: any(worker["State"] == "busy" for worker in host.workers(name)), "the worker")
    yield name, blocker
    for execution in lambda_client.list_durable_executions_by_function(FunctionName=name)["DurableExecutions"]:
        if execution["Status"] in ("RUNNING", "PAUSING", "PAUSED"):
            lambda_client.stop_durable_execution(DurableExecutionArn=execution["DurableExecutionArn"])
