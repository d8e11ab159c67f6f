"""roost-launch and the sandbox, from outside: real bubblewrap, real processes, as root and as an ordinary user."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import runtime_host
from runtime_host import NOBODY, PYTHON, Launched, launcher

ORDINARY = 12345  # a uid; no account of that number is needed
IS_ROOT = os.geteuid() == 0
HOSTS = ["root", "ordinary"] if IS_ROOT else ["ordinary"]


def why_no_sandbox(user):
    """None, or why this machine has no sandbox for that host: the probe a host makes at start. Anything but a refusal
    of the kernel's fails."""
    try:
        with Launched(["/bin/true"], user=user, control=False) as it:
            code, _, err = it.wait()
    except FileNotFoundError:
        return "bubblewrap is not installed"
    refusals = ("bwrap: Creating new namespace failed", "bwrap: No permissions to create new namespace",
                "bwrap: setting up uid map", "roost-launch: unshare(CLONE_NEWUSER)")
    if code == 0:
        return None
    assert err.startswith(refusals), f"the probe failed with exit status {code}: {err}"
    return err.strip()


@pytest.fixture(params=HOSTS, scope="session")
def user(request):
    """None where the host is whoever runs the tests; ORDINARY where root plays an ordinary host."""
    user = ORDINARY if IS_ROOT and request.param == "ordinary" else None
    if reason := why_no_sandbox(user):
        pytest.skip(f"NO SANDBOX HERE for the {request.param} host, isolation is NOT tested: {reason}")
    return user


def expected_uid(user):
    return user if user is not None else (NOBODY if IS_ROOT else os.geteuid())


def shell(script, **options):
    with Launched(["/bin/sh", "-c", script], **options) as it:
        return it.wait()


def python(script, **options):
    with Launched([PYTHON, "-Ic", script], **options) as it:
        return it.wait()


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, value in (line.split(":", 1) for line in lines)}


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("it never happened")


def processes_with(token):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if token.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


def executed(it, name):
    """Waits until execve is done: the end of the control socket is in the middle of it."""
    assert it.control.recv(128) == b""
    wait_for(lambda: Path(f"/proc/{it.pid}/comm").read_text().strip() == name)


# MARK: isolation

def test_the_worker_has_no_right_left_and_no_root_user(user):
    with Launched(["/bin/sleep", "1000"], user=user) as it:
        executed(it, "sleep")
        seen = status(it.pid)
        uid = str(expected_uid(user))
        assert seen["Uid"] == [uid] * 4 and seen["Gid"] == [uid] * 4
        assert seen["Groups"] == [] or user is not None or not IS_ROOT
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(seen[capabilities][0], 16) == 0, capabilities
        assert seen["NoNewPrivs"] == ["1"]
        for kind in ("user", "pid", "ipc", "uts", "mnt", "net", "cgroup"):
            assert os.readlink(f"/proc/{it.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
        assert Path(f"/proc/{it.pid}/uid_map").read_text().split() == [uid, uid, "1"]


def test_root_cannot_be_regained(user):
    code, out, err = python("""
import os, subprocess
for attempt in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.chroot("/"),
                lambda: open("/proc/sys/kernel/hostname", "w"), lambda: open("/proc/1/environ").read() and 1/0,
                lambda: os.mkdir("/x"), lambda: open("/usr/x", "w"), lambda: open("/opt/roost/x", "w"),
                lambda: os.kill(1, 9) or os.stat("/proc/1") and (_ for _ in ()).throw(OSError())):
    try: attempt()
    except OSError: pass
    except ZeroDivisionError: pass
    else: raise SystemExit(f"possible: {attempt.__code__.co_names}")
for flag in ("-U", "-m", "-n", "-p"):
    assert subprocess.run(["/usr/bin/unshare", flag, "true"], stderr=subprocess.DEVNULL).returncode != 0, flag
print(os.getuid())
""", user=user)
    assert (code, out.strip()) == (0, str(expected_uid(user))), err


def test_the_worker_sees_only_its_own_processes_and_files(user, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    code, out, err = python(f"""
import os
pids = sorted(int(p) for p in os.listdir("/proc") if p.isdigit())
assert pids == [1, 2], pids
top = sorted(os.listdir("/"))
assert set(top) <= set("bin dev etc lib lib32 lib64 libx32 opt proc sbin sys tmp usr var".split()), top
assert not os.path.exists({str(secret)!r}) and not os.path.exists("/root") and not os.path.exists("/home")
assert os.listdir("/tmp") == [] and os.listdir("/opt/channels") == []
assert not os.path.exists("/etc/shadow")
assert os.listdir("/sys/devices/system") == ["cpu"] or not os.listdir("/sys/devices/system")
open("/tmp/x", "w").write("x"); open("/dev/shm/x", "w").write("x")
assert os.uname().nodename == "roost"
assert sorted(os.listdir("/proc/self/fd")) == ["0", "1", "2", "3"]
assert os.readlink("/proc/self/fd/0") == "/dev/null"
""", user=user)
    assert code == 0, err


def test_neither_argv_nor_init_hold_the_worker_s_secrets_or_descriptors(user):
    ours, theirs = socket.socketpair()
    with Launched(["/bin/sleep", "1000"], user=user, inherit=[theirs.fileno()], environment={"SECRET": "hunter2"}) as it:
        executed(it, "sleep")
        theirs.close()
        for pid in (it.process.pid, int(status(it.pid)["PPid"][0])):
            assert b"hunter2" not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()
        it.signal(signal.SIGKILL)
        ours.settimeout(10)
        assert ours.recv(1) == b""  # nobody else kept the other end open


def test_the_host_s_loopback_is_reachable_only_with_network(user):
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        assert python(script, user=user)[0] == 1
        assert python(script, user=user, sandbox_options={"network": True})[0] == 0


def test_package_model_channels_and_directories_are_where_they_belong(user, tmp_path):
    """Below directories that only their owner can enter, which is where a root host keeps them."""
    hidden = tmp_path if user is None else Path(runtime_host.tempfile.mkdtemp())
    folders = {}
    for name in ("task", "model", "train", "checkpoint", "output"):
        folders[name] = hidden / "deep" / name
        folders[name].mkdir(parents=True)
        (folders[name] / "file").write_text(name)
    if user is None and IS_ROOT:
        for name in ("checkpoint", "output"):  # what the host has to do
            os.chown(folders[name], NOBODY, NOBODY)
        (hidden / "deep").chmod(0o700)
    elif user is not None:
        for path in [hidden, *hidden.rglob("*")]:
            os.chown(path, user, user)
    options = dict(task=folders["task"], model=folders["model"], channels={"train": folders["train"]},
                   checkpoint=folders["checkpoint"], output=folders["output"])
    code, out, err = python("""
import os
for path, name in (("/var/task", "task"), ("/opt/model", "model"), ("/opt/channels/train", "train"),
                   ("/opt/checkpoint", "checkpoint"), ("/opt/output", "output")):
    assert open(path + "/file").read() == name
    try: open(path + "/new", "w").write("new")
    except OSError: assert name in ("task", "model", "train"), name
    else: assert name in ("checkpoint", "output"), name
print(os.getcwd())
""", user=user, flags=["--chdir", "/var/task"], sandbox_options=options)
    assert (code, out) == (0, "/var/task\n"), err
    written = folders["output"] / "new"
    assert written.read_text() == "new" and written.stat().st_uid == expected_uid(user)


# MARK: the control message

def test_the_control_message_brings_a_pidfd_of_the_worker(user):
    with Launched(["/bin/sleep", "1000"], user=user) as it:
        message = it.message
        assert (message.version, message.kind, message.port, message.count, message.error) == (1, 1, 0, 1, 0)
        executed(it, "sleep")
        assert it.is_alive()
        it.signal(signal.SIGKILL)
        assert select.select([it.pidfd], [], [], 10)[0]


def test_a_listener_in_the_worker_s_network_is_accepted_by_the_host(user):
    with Launched([PYTHON, "-Ic", """
import os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
socket.create_connection((host, int(port))).sendall(b"here")
"""], user=user, flags=["--listen"], environment={"AWS_LAMBDA_RUNTIME_API": "wrong", "A": "1"}) as it:
        assert it.message.count == 2 and it.listener.getsockname() == ("127.0.0.1", it.message.port)
        assert select.select([it.listener], [], [], 10)[0]
        connection, _ = it.listener.accept()
        assert connection.recv(16) == b"here"
        connection.close()
        with pytest.raises(OSError):  # the same address outside is another network
            socket.create_connection(("127.0.0.1", it.message.port), 1)
        assert it.wait()[0] == 0


def test_a_given_port_is_used(user):
    with Launched(["/bin/true"], user=user, flags=["--listen=9001"]) as it:
        assert it.message.port == 9001 and it.listener.getsockname()[1] == 9001


def test_a_target_that_is_missing_is_told_on_stderr_and_on_the_control_socket(user):
    with Launched(["/var/task/bootstrap"], user=user) as it:
        assert it.message.kind == 1
        second = runtime_host.receive_message(it.control)
        assert (second.kind, second.error) == (2, 2) and second.text == "/var/task/bootstrap: No such file or directory"
        code, _, err = it.wait()
        assert (code, err) == (127, "roost-launch: /var/task/bootstrap: No such file or directory\n")


def test_a_target_that_is_not_executable_exits_126(user):
    assert shell("true", user=user)[0] == 0
    with Launched(["/etc/passwd"], user=user) as it:
        code, _, err = it.wait()
        assert (code, err) == (126, "roost-launch: /etc/passwd: Permission denied\n")


def test_a_directory_that_is_missing_exits_126(user):
    with Launched(["/bin/true"], user=user, flags=["--chdir", "/nowhere"]) as it:
        assert (it.message.kind, it.message.text) == (2, "/nowhere: No such file or directory")
        assert it.wait()[::2] == (126, "roost-launch: /nowhere: No such file or directory\n")


# MARK: limits

def test_limits_priority_and_environment(user):
    code, out, err = python("""
import json, os, resource, subprocess
made = 0
children = []
try:
    while made < 100:
        children.append(subprocess.Popen(["/bin/sleep", "1000"])); made += 1
except OSError: pass
for child in children: child.kill()
print(json.dumps({"nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "as": resource.getrlimit(resource.RLIMIT_AS), "fsize": resource.getrlimit(resource.RLIMIT_FSIZE),
    "made": made, "nice": os.nice(0), "oom": int(open("/proc/self/oom_score_adj").read()),
    "environment": dict(os.environ)}))
""", user=user, environment={"KEY": "välue", "EMPTY": "", "LD_PRELOAD": "/nowhere.so", "LC_CTYPE": "C.UTF-8"},
        flags=["--rlimit", "nofile=1000", "--rlimit", "core=0", "--rlimit", "as=2000000000", "--rlimit",
               "fsize=1000000", "--rlimit", "nproc=20", "--nice", 7, "--oom-score", 321])
    assert code == 0, err
    # The loader complains for the worker and its children, never for bwrap or the launcher themselves.
    assert "roost-launch" not in err and "bwrap" not in err
    seen = json.loads(out)
    assert seen["nofile"] == [1000, 1000] and seen["core"] == [0, 0]
    assert seen["as"] == [2000000000] * 2 and seen["fsize"] == [1000000] * 2
    # The worker counts, and, where it shares the worker's user and namespace, bubblewrap's init.
    assert seen["made"] == (19 if user is None and IS_ROOT else 18)
    assert seen["nice"] == 7 and seen["oom"] == 321
    environment = {key: value for key, value in seen["environment"].items() if key != "PWD"}
    assert environment == {"KEY": "välue", "EMPTY": "", "LD_PRELOAD": "/nowhere.so", "LC_CTYPE": "C.UTF-8"}


def test_the_process_limit_is_counted_for_each_worker_alone(user):
    script = "import subprocess\nfor _ in range(12): subprocess.Popen(['/bin/sleep', '5'])\nprint('all')"
    flags = ["--rlimit", "nproc=20"]
    workers = [Launched([PYTHON, "-Ic", script], user=user, flags=flags) for _ in range(4)]
    try:
        assert [worker.process.stdout.readline() for worker in workers] == [b"all\n"] * 4
    finally:
        for worker in workers:
            worker.close()


def test_memory_beyond_the_limit_is_refused(user):
    code, _, err = python("bytearray(1 << 30)", user=user, flags=["--rlimit", "as=500000000"])
    assert code == 1 and "MemoryError" in err


def test_only_promised_descriptors_arrive(user):
    kept, other = os.pipe(), os.pipe()
    try:
        with Launched(["/bin/ls", "/proc/self/fd"], user=user, inherit=[kept[1]]) as it:
            code, out, err = it.wait()
        listed = {int(name) for name in out.split()}
        assert code == 0 and kept[1] in listed and len(listed) == 5, (out, err)  # and the one ls reads with
    finally:
        for descriptor in kept + other:
            os.close(descriptor)


# MARK: ends

@pytest.mark.parametrize("script, expected", [
    ("exit 0", 0), ("exit 1", 1), ("exit 77", 77), ("kill -TERM $$", 143), ("kill -KILL $$", 137),
    ("kill -SEGV $$", 139), ("ulimit -f 1; dd if=/dev/zero of=/tmp/x bs=1M count=2 2>/dev/null", 153),
])
def test_bubblewrap_reports_the_exit_code_or_128_and_the_signal(user, script, expected):
    assert shell(script, user=user)[0] == expected


def test_sigterm_by_pidfd_reaches_the_worker_and_its_handler(user):
    script = "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(42))\nprint('up', flush=True)\nsignal.pause()"
    with Launched([PYTHON, "-Ic", script], user=user) as it:
        assert it.process.stdout.readline() == b"up\n"
        it.signal(signal.SIGTERM)
        assert it.process.wait(10) == 42
    with Launched(["/bin/sleep", "1000"], user=user) as it:
        executed(it, "sleep")
        it.signal(signal.SIGTERM)
        assert it.process.wait(10) == 143


def test_killing_the_worker_takes_its_daemons_along(user):
    token = f"98{os.getpid()}{int(expected_uid(user))}.5"
    script = f"import subprocess\nsubprocess.Popen(['/bin/sleep', '{token}'], start_new_session=True)\n" \
             "print('up', flush=True)\nimport time\ntime.sleep(1000)"
    with Launched([PYTHON, "-Ic", script], user=user) as it:
        assert it.process.stdout.readline() == b"up\n"
        assert len(wait_for(lambda: processes_with(token))) == 1
        it.signal(signal.SIGKILL)
        assert it.process.wait(10) == 137
        wait_for(lambda: not processes_with(token))


def test_everything_dies_with_the_host(user):
    token = f"97{os.getpid()}{int(expected_uid(user))}.5"
    host = subprocess.Popen([sys.executable, "-c", f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from runtime_host import *
it = Launched(["/bin/sh", "-c", "/bin/sleep {token} & exec /bin/sleep {token}"], user={user!r})
print("up", flush=True)
time.sleep(1000)
"""], stdout=subprocess.PIPE, env={**os.environ, "ROOST_LAUNCH": launcher()})
    assert host.stdout.readline() == b"up\n"
    wait_for(lambda: len(processes_with(token)) == 2)
    host.kill()
    host.wait()
    host.stdout.close()
    wait_for(lambda: not processes_with(token))


# MARK: a function

@pytest.mark.parametrize("slots", [1, 2])
def test_a_python_function_runs_inside(user, slots):
    pairs = [socket.socketpair() for _ in range(slots)]
    inner = [theirs.fileno() for _, theirs in pairs]
    with Launched([PYTHON, "-s", "/opt/roost/python/bootstrap.py"], user=user, inherit=inner,
                  flags=["--chdir", "/var/task", "--rlimit", "nofile=1024", "--rlimit", "nproc=64"],
                  sandbox_options={"task": runtime_host.ROOT / "functions" / "echo"},
                  environment={"_HANDLER": "echo.handler", "LAMBDA_TASK_ROOT": "/var/task", "TMPDIR": "/tmp",
                               "ROOST_RUNTIME_FDS": ",".join(map(str, inner)), "PATH": runtime_host.PATH}) as it:
        for _, theirs in pairs:
            theirs.close()
        for ours, _ in pairs:
            slot = runtime_host.Slot(ours)
            slot.expect_next()
            assert slot.invoke({"from": "inside"})[1].json == {"from": "inside"}
            ours.close()
        assert it.wait() == (0, "", "")


# MARK: refusal

@pytest.mark.skipif(not IS_ROOT, reason="only root can make a machine that refuses namespaces")
def test_a_kernel_that_refuses_namespaces_is_told_from_other_failures():
    """The machine is a user namespace with its own limit; the real one's is left alone."""
    inside = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from runtime_host import *
if libc.unshare(0x10000000):
    print("NO USER NAMESPACES")
    sys.exit()
print("up", flush=True)
sys.stdin.readline()
os.setgid(0)
os.setuid(0)
with open("/proc/sys/user/max_user_namespaces", "w") as limit:
    limit.write("0")
for user in (None, {ORDINARY}):
    with Launched(["/bin/true"], user=user) as it:
        print(json.dumps([it.message and [it.message.kind, it.message.error, it.message.text], *it.wait()]))
with Launched(["/bin/true"], sandbox="none") as it:
    print(json.dumps([it.message.kind, *it.wait()]))
"""
    child = subprocess.Popen([sys.executable, "-c", "import ctypes\nlibc = ctypes.CDLL(None)\n" + inside], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "ROOST_LAUNCH": launcher()})
    if child.stdout.readline() != "up\n":
        child.communicate()
        pytest.skip("NO USER NAMESPACES HERE: nothing to refuse")
    for kind in ("uid", "gid"):
        Path(f"/proc/{child.pid}/{kind}_map").write_text("0 0 70000")
    out, _ = child.communicate("go\n", timeout=30)
    root, ordinary, none = map(json.loads, out.splitlines())
    refusal = "unshare(CLONE_NEWUSER): No space left on device"
    assert root == [[2, 28, refusal], 126, "", f"roost-launch: {refusal}\n"]
    assert ordinary[:3] == [None, 1, ""] and ordinary[3].startswith("bwrap: Creating new namespace failed")
    assert none == [1, 0, "", ""]


# MARK: without a sandbox

def test_without_a_sandbox_the_launcher_still_leaves_root():
    with Launched(["/bin/sleep", "1000"], sandbox="none", flags=["--pdeathsig", "--nice", 3]) as it:
        executed(it, "sleep")
        seen = status(it.pid)
        assert seen["Uid"] == [str(expected_uid(None))] * 4 and seen["NoNewPrivs"] == ["1"]
        assert int(seen["CapEff"][0], 16) == 0 and int(seen["CapPrm"][0], 16) == 0
        assert it.pid == it.process.pid
        it.signal(signal.SIGTERM)
        assert it.process.wait(10) == -signal.SIGTERM


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
def test_uid_and_gid_choose_the_user():
    code, out, _ = shell("id -u; id -g; id -G", sandbox="none", flags=["--uid", 4321, "--gid", 8765])
    assert (code, out.split()) == (0, ["4321", "8765", "8765"])


def test_without_a_sandbox_the_worker_dies_with_the_host():
    token = f"96{os.getpid()}.5"
    host = subprocess.Popen([sys.executable, "-c", f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from runtime_host import *
it = Launched(["/bin/sleep", "{token}"], sandbox="none", flags=[f"--pdeathsig={{os.getpid()}}"])
print("up", flush=True)
time.sleep(1000)
"""], stdout=subprocess.PIPE, env={**os.environ, "ROOST_LAUNCH": launcher()})
    assert host.stdout.readline() == b"up\n"
    wait_for(lambda: len(processes_with(token)) == 1)
    host.kill()
    host.wait()
    host.stdout.close()
    wait_for(lambda: not processes_with(token))


def test_a_parent_that_is_already_gone_is_noticed():
    result = subprocess.run([launcher(), "--pdeathsig=1", "--", "/bin/true"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (126, "roost-launch: the host is gone\n")


# MARK: usage

@pytest.mark.parametrize("arguments, message", [
    (["--bogus", "--", "/bin/true"], "unknown flag: --bogus"),
    (["/bin/true"], "unknown flag: /bin/true"),
    ([], "no command after --"),
    (["--"], "no command after --"),
    (["--", "true"], "the command must be a path: true"),
    (["--nice"], "needs a value: --nice"),
    (["--nice", "x", "--", "/bin/true"], "not a number in range: --nice"),
    (["--nice", "99", "--", "/bin/true"], "not a number in range: --nice"),
    (["--uid", "0", "--gid", "5", "--", "/bin/true"], "not a number in range: --uid"),
    (["--uid", "5", "--", "/bin/true"], "--uid and --gid go together"),
    (["--rlimit", "nofile", "--", "/bin/true"], "expected NAME=VALUE: --rlimit"),
    (["--rlimit", "stack=1", "--", "/bin/true"], "unknown limit: stack=1"),
    (["--inherit", "3,x", "--", "/bin/true"], "not a number in range: --inherit"),
    (["--inherit", "2", "--", "/bin/true"], "not a number in range: --inherit"),
    (["--listen", "--", "/bin/true"], "--listen needs --control"),
    (["--listen=70000", "--", "/bin/true"], "not a number in range: --listen"),
])
def test_wrong_usage_exits_2_and_says_why(arguments, message):
    result = subprocess.run([launcher(), *arguments], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (2, f"roost-launch: {message}\n")


def test_a_descriptor_that_is_not_open_exits_126():
    result = subprocess.run([launcher(), "--inherit", "999", "--", "/bin/true"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (126, "roost-launch: inherit 999: Bad file descriptor\n")
