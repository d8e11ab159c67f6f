"""What a key may do, on a host that runs meanwhile, by every client, and in the audit trail."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from access_keys import (
    FUNCTIONS, TRAINER, admin, check_error, client, create, create_function, denied, echo, environment, guarded,
    is_known, keys, make_key, signed_head, signed_request)
from conftest import ARN, BINARY, CREDENTIALS, ECHO, make_zip, wait_until

# MARK: rights

def test_a_key_is_for_the_functions_that_it_names(guarded, admin, echo, make_key):
    create_function(admin, "team-a")
    create_function(admin, "team-b")
    try:
        team = client(guarded, make_key("--function", "team-*"))
        for name in ("team-a", "team-b", ARN + "team-a"):
            assert team.invoke(FunctionName=name)["StatusCode"] == 200
        team.update_function_configuration(FunctionName="team-a", Timeout=4)
        create_function(team, "team-c")
        team.delete_function(FunctionName="team-c")
        for operation, call in [
            ("Invoke", lambda: team.invoke(FunctionName=echo)),
            ("Invoke", lambda: team.invoke(FunctionName=echo, InvocationType="Event")),
            ("GetFunction", lambda: team.get_function(FunctionName=echo)),
            ("DeleteFunction", lambda: team.delete_function(FunctionName=echo)),
            ("UpdateFunctionConfiguration", lambda: team.update_function_configuration(FunctionName=echo, Timeout=4)),
            ("CreateFunction", lambda: create_function(team, "others")),
            # Nor may it have others invoked.
            ("InvokeFunction", lambda: team.put_function_event_invoke_config(
                FunctionName="team-a", DestinationConfig={"OnSuccess": {"Destination": echo}})),
            # Of the host as a whole.
            ("ListFunctions", team.list_functions),
        ]:
            with pytest.raises(ClientError) as caught:
                call()
            check_error(caught, "AccessDeniedException", denied(operation))
        assert admin.get_function_configuration(FunctionName=echo)["Timeout"] == 3
    finally:
        admin.delete_function(FunctionName="team-a")
        admin.delete_function(FunctionName="team-b")


def test_a_key_that_may_only_invoke_changes_nothing(guarded, admin, echo, make_key):
    key = make_key("--action", "invoke")
    invoker = client(guarded, key)
    assert invoker.invoke(FunctionName=echo, Payload=b"1")["StatusCode"] == 200
    assert invoker.invoke(FunctionName=echo, InvocationType="Event")["StatusCode"] == 202
    before = admin.get_function(FunctionName=echo)["Configuration"]
    for operation, call in [
        ("CreateFunction", lambda: create_function(invoker, "invoked")),
        ("UpdateFunctionCode", lambda: invoker.update_function_code(
            FunctionName=echo, ZipFile=make_zip({"function.py": ECHO + "#"}))),
        ("UpdateFunctionConfiguration", lambda: invoker.update_function_configuration(FunctionName=echo, Timeout=9)),
        ("PublishVersion", lambda: invoker.publish_version(FunctionName=echo)),
        ("CreateAlias", lambda: invoker.create_alias(FunctionName=echo, Name="a", FunctionVersion="$LATEST")),
        ("PutFunctionConcurrency", lambda: invoker.put_function_concurrency(
            FunctionName=echo, ReservedConcurrentExecutions=1)),
        ("DeleteFunction", lambda: invoker.delete_function(FunctionName=echo)),
    ]:
        with pytest.raises(ClientError) as caught:
            call()
        check_error(caught, "AccessDeniedException", denied(operation))
    digest = hashlib.sha256(b"{}").hexdigest()
    for method, path, body in [
        ("POST", "/roost/v1/deployments", {}), ("POST", "/roost/v1/functions/echo/aliases/a/rollback", {}),
        ("POST", "/roost/v1/artifacts/missing", {"Digests": []}), ("PUT", f"/roost/v1/artifacts/sha256:{digest}", {}),
    ]:
        answer = signed_request(guarded, key, method, path, body)
        assert (answer.status, answer.error) == (403, "AccessDeniedException"), path
    assert admin.get_function(FunctionName=echo)["Configuration"] == before


def test_a_key_that_may_not_invoke_does_not(guarded, echo, make_key):
    manager = client(guarded, make_key("--action", "manage"))
    manager.update_function_configuration(FunctionName=echo, Description="managed")
    for kind in ("RequestResponse", "Event"):
        with pytest.raises(ClientError) as caught:
            manager.invoke(FunctionName=echo, InvocationType=kind)
        check_error(caught, "AccessDeniedException", denied("Invoke"))


def test_trainings_are_a_right_of_their_own(guarded, admin, echo, make_key):
    create_function(admin, "model", TRAINER)
    create_function(
        admin, "model-train", TRAINER, "function.train", Environment={"Variables": {"ROOST_TRAINS": "model"}}, Timeout=60)
    try:
        trainer = client(guarded, make_key("--action", "train"))
        for action in ("invoke", "manage"):
            with pytest.raises(ClientError) as caught:
                client(guarded, make_key("--action", action)).invoke(
                    FunctionName="model-train", InvocationType="Event", Payload=b'{"text": "no"}')
            check_error(caught, "AccessDeniedException", denied("Invoke"))
        for name in (echo, "model"):
            with pytest.raises(ClientError) as caught:
                trainer.invoke(FunctionName=name)
            check_error(caught, "AccessDeniedException", denied("Invoke"))
        accepted = trainer.invoke(FunctionName="model-train", InvocationType="Event", Payload=b'{"text": "trained"}')
        arn = accepted["DurableExecutionArn"]
        wait_until(
            lambda: admin.get_durable_execution(DurableExecutionArn=arn)["Status"] == "SUCCEEDED", "the training ends")
        answer = admin.invoke(FunctionName="model", Qualifier="1")
        assert json.loads(answer["Payload"].read()) == "trained"
    finally:
        admin.delete_function(FunctionName="model-train")
        admin.delete_function(FunctionName="model")


def test_a_key_has_nothing_trained_that_it_is_not_for(guarded, admin, make_key):
    """Neither by naming the function, nor by another key's training, nor by a destination, nor by an older version."""
    trains = {"Variables": {"ROOST_TRAINS": "mine-not"}}
    for name, handler, options in [
        ("mine-not", "function.handler", {}), ("mine", "function.handler", {}),
        ("its-train", "function.train", {"Environment": trains, "Publish": True})]:
        create_function(admin, name, TRAINER, handler, Timeout=60, **options)
    others = client(guarded, make_key("--function", "mine*", "--function", "its-train"))
    mine = client(guarded, make_key("--function", "mine", "--function", "mine-train", "--function", "its-train"))
    invoker = client(guarded, make_key("--action", "invoke"))
    try:
        def refused(operation, call, **arguments):
            with pytest.raises(ClientError) as caught:
                call(**arguments)
            check_error(caught, "AccessDeniedException", denied(operation))

        refused("CreateFunction", create_function, lambda_client=mine, name="mine-train", source=TRAINER,
                Environment=trains)
        refused("UpdateFunctionConfiguration", mine.update_function_configuration, FunctionName="mine",
                Environment=trains)
        event = {"InvocationType": "Event", "Payload": b'{"text": "no"}'}
        refused("Invoke", mine.invoke, FunctionName="its-train", **event)
        refused("Invoke", mine.put_function_event_invoke_config, FunctionName="mine",
                DestinationConfig={"OnSuccess": {"Destination": ARN + "its-train"}})
        admin.update_function_configuration(FunctionName="its-train", Environment={"Variables": {}})
        refused("Invoke", invoker.invoke, FunctionName="its-train", Qualifier="1", **event)
        assert [it["Version"] for it in admin.list_versions_by_function(FunctionName="mine-not")["Versions"]] == [
            "$LATEST"]
        # Who is for all of them may.
        assert others.invoke(FunctionName="its-train", Qualifier="1", **event)["StatusCode"] == 202
        wait_until(
            lambda: len(admin.list_versions_by_function(FunctionName="mine-not")["Versions"]) == 2, "it is trained")
    finally:
        for name in ("its-train", "mine", "mine-not"):
            admin.delete_function(FunctionName=name)


# MARK: keys of a running host

def test_a_running_host_notices_keys_that_come_and_go(guarded, echo):
    key = create(guarded.data)
    wait_until(lambda: is_known(guarded, key), "the host knows its new key", 5)
    assert client(guarded, key).invoke(FunctionName=echo)["StatusCode"] == 200
    keys(guarded.data, "rm", key["AccessKeyId"])
    wait_until(lambda: not is_known(guarded, key), "the host has forgotten the key", 5)
    with pytest.raises(ClientError) as caught:
        client(guarded, key).invoke(FunctionName=echo)
    check_error(caught, "UnrecognizedClientException", "The security token included in the request is invalid.")
    assert client(guarded, guarded.admin).invoke(FunctionName=echo)["StatusCode"] == 200


def test_what_was_begun_with_a_key_ends_with_it(guarded, admin, make_key):
    """A body that took its time, and a log that is followed."""
    create_function(admin, "printing", "def handler(event, context):\n    print('said', event, flush=True)\n")
    key = make_key()
    with guarded.raw() as late, guarded.raw() as follower:
        head = signed_head(
            guarded, key, "POST", f"{FUNCTIONS}/printing/invocations", b'"late"', more="Content-Length: 6\r\n")
        late.send(head + '\r\n"la')
        logs = signed_head(guarded, key, "GET", "/roost/v1/functions/printing/logs?follow=true", b"")
        follower.send(logs + "\r\n")
        assert follower.file.peek(1)
        admin.invoke(FunctionName="printing", Payload=b'"before"')
        keys(guarded.data, "rm", key["AccessKeyId"])
        wait_until(lambda: not is_known(guarded, key), "the host has forgotten the key", 5)
        late.send('te"')
        assert late.answer().error == "UnrecognizedClientException"
        admin.invoke(FunctionName="printing", Payload=b'"after"')
        followed = follower.answer().body
        assert b"said before" in followed and b"said after" not in followed
    log = signed_request(guarded, guarded.admin, "GET", "/roost/v1/functions/printing/logs").body
    assert b"said after" in log and b"said late" not in log
    admin.delete_function(FunctionName="printing")


def test_keys_are_there_after_a_restart(make_host, tmp_path):
    key = create(tmp_path / "data")
    host = make_host(directory=tmp_path)
    create_function(client(host, key), "kept")
    host.stop()
    host.start()
    assert client(host, key).invoke(FunctionName="kept")["StatusCode"] == 200
    assert host.request("POST", f"{FUNCTIONS}/kept/invocations", b"{}").status == 403


def test_a_host_does_not_start_with_keys_that_it_cannot_trust(tmp_path):
    create(tmp_path / "data")
    (tmp_path / "data" / "keys.json").chmod(0o644)
    done = subprocess.run(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"], capture_output=True, text=True,
        timeout=30)
    assert done.returncode == 1 and "keys.json" in done.stderr and "0644" in done.stderr
    assert "listening" not in done.stdout


def test_what_a_web_page_sends_is_refused_with_keys_as_without(guarded, echo):
    path = f"{FUNCTIONS}/{echo}/invocations"
    answer = guarded.request("POST", path, b"{}", {"Origin": "https://elsewhere.example"})
    assert answer.status == 403


# MARK: - other clients

def test_the_aws_command_signs(guarded, echo, tmp_path):
    aws = Path(sys.executable).with_name("aws")
    out = tmp_path / "out.json"

    def invoke(key):
        return subprocess.run(
            [aws, "--endpoint-url", guarded.endpoint, "lambda", "invoke", "--function-name", ARN + echo, "--payload",
             '{"text": "世界"}', out], capture_output=True, text=True, timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **CREDENTIALS,
                 "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]})

    done = invoke(guarded.admin)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text()) == {"text": "世界"}
    refused = invoke({**guarded.admin, "SecretAccessKey": "x" * 40})
    assert refused.returncode != 0 and "InvalidSignatureException" in refused.stderr


def test_the_verbs_of_roost_sign(guarded, tmp_path, make_key):
    folder = tmp_path / "verbs"
    folder.mkdir()
    (folder / "verbs.py").write_text(ECHO)
    (folder / "data.bin").write_bytes(os.urandom(3 << 20))
    (folder / "function.json").write_text(
        json.dumps({"name": "verbs", "runtime": "python3", "handler": "verbs.handler"}))
    variables = environment(guarded.admin)
    guarded.roost("deploy", folder, "--publish", check=0, environment=variables)
    guarded.roost("alias", "set", "verbs", "live", "1", check=0, environment=variables)
    assert guarded.roost("invoke", "verbs:live", "-d", '{"a": 1}', check=0, environment=variables).stdout.strip() == '{"a": 1}'
    assert guarded.roost("logs", "verbs", check=0, environment=variables).stderr == ""
    guarded.roost("ps", check=0, environment=variables)
    guarded.roost("doctor", "--json", environment=variables)

    key = make_key("--action", "invoke", "--expires", "1h")
    file = tmp_path / "credentials"
    file.write_text(
        f"[reader]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
        f"aws_session_token = {key['SessionToken']}\n")
    profiled = environment(AWS_SHARED_CREDENTIALS_FILE=str(file))
    assert guarded.roost("invoke", "verbs", "--profile", "reader", check=0, environment=profiled).stdout.strip() == "{}"
    refused = guarded.roost("functions", "rm", "verbs", "--profile", "reader", check=1, environment=profiled)
    assert "AccessDeniedException" in refused.stderr
    refused = guarded.roost("invoke", "verbs", check=1, environment=environment())
    assert "Missing Authentication Token (MissingAuthenticationTokenException, HTTP 403)" in refused.stderr
    guarded.roost("functions", "rm", "verbs", check=0, environment={**profiled, **environment(guarded.admin)})


# MARK: - the audit trail

def test_every_change_is_in_the_audit_trail_with_its_key(guarded, admin, make_key):
    key = make_key("--function", "audited", "--description", "auditor")
    editor = client(guarded, key)

    def request_id(answer):
        return answer["ResponseMetadata"]["RequestId"]

    changes = [
        ("CreateFunction", create_function(editor, "audited")),
        ("UpdateFunctionConfiguration", editor.update_function_configuration(FunctionName="audited", Timeout=5)),
        ("UpdateFunctionCode", editor.update_function_code(
            FunctionName="audited", ZipFile=make_zip({"function.py": ECHO + "# 2"}))),
        ("PublishVersion", editor.publish_version(FunctionName="audited")),
        ("CreateAlias", editor.create_alias(FunctionName="audited", Name="live", FunctionVersion="1")),
        ("UpdateAlias", editor.update_alias(FunctionName="audited", Name="live", FunctionVersion="$LATEST")),
        ("PutFunctionConcurrency", editor.put_function_concurrency(
            FunctionName="audited", ReservedConcurrentExecutions=2)),
        ("DeleteFunctionConcurrency", editor.delete_function_concurrency(FunctionName="audited")),
        ("DeleteAlias", editor.delete_alias(FunctionName="audited", Name="live")),
        ("DeleteFunction", editor.delete_function(FunctionName="audited")),
    ]
    # Neither a look nor a refusal is a change.
    admin.list_functions()
    with pytest.raises(ClientError):
        create_function(editor, "not-audited")
    listed = json.loads(
        guarded.roost("audit", "-n", "1000", "--json", check=0, environment=environment(guarded.admin)).stdout)["Entries"]
    rows = [row for row in listed if row["Key"] == key["AccessKeyId"]]
    # Newest first.
    assert [(row["Operation"], row["Function"], row["RequestId"]) for row in reversed(rows)] == [
        (operation, "audited", request_id(answer)) for operation, answer in changes]
    assert [row["At"] for row in rows] == sorted((row["At"] for row in rows), reverse=True)
    assert not any(row["Function"] == "not-audited" for row in listed)
    assert not any(row["Key"] == "anonymous" for row in listed)
    text = json.dumps(listed) + guarded.stderr
    assert key["SecretAccessKey"] not in text and guarded.admin["SecretAccessKey"] not in text
