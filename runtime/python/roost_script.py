"""Script mode: a training whose handler ends in `.py` runs as a program of its own, as SageMaker's containers run one.

runtime/PROTOCOL.md, section 12, is the specification. The worker is the script's parent: it passes on what the script
prints, finds metrics in it, hands SIGTERM down, and answers for it. Nothing of the script is imported here, so whatever
it does to its interpreter stays there.

- The script has a process group of its own. SIGTERM goes to the script alone: helpers of it that died first could not
  take part in its last checkpoint. What is left of the group when the script has ended is killed.
- After a SIGTERM there is no outcome, however the script ends: the host takes the exit for "to be continued".
"""

import collections
import ctypes
import glob
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from roost_runtime import Failure, leave

LINE_BYTES = 16384  # of a line in which metrics are looked for; what is behind is not
TAIL_LINES = 20
TAIL_CHARACTERS = 500  # of each of those
REASON_CHARACTERS = 1024
WINDOW_SECONDS = 0.25
REPORTS_MAX = 32  # in such a window, so that the host need not drop any; what more is found goes with the next
LEFT_OVER_BYTES = 1 << 20  # read of what a script's helpers still write when it has ended
FRACTION = "roost:fraction"
OUTPUT_DATA = "output-data"
PR_SET_PDEATHSIG = 1


def load(name):
    """A handler `(event, context)` that runs the script `name` of the package."""
    root = os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()
    path = os.path.join(root, name)
    if name.startswith(("/", "-")) or not os.path.realpath(path).startswith(os.path.realpath(root) + "/"):
        raise Failure("Runtime.MalformedHandlerName", f"Bad handler '{name}': a script is a file of the package")
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise Failure("Runtime.HandlerNotFound",
                      f"Script '{name}' cannot be read from the package: {error.strerror}") from error
    try:
        compile(text, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = f'  File "{name}" Line {error.lineno}\n    {(error.text or "").strip()}\n'
        raise Failure("Runtime.UserCodeSyntaxError", f"Syntax error in script '{name}': {error}", [line]) from error
    except ValueError as error:  # a NUL byte
        raise Failure("Runtime.UserCodeSyntaxError", f"Syntax error in script '{name}': {error}") from error
    script = Script(name, root, definitions(os.environ.get("ROOST_METRICS", "")))
    signal.signal(signal.SIGTERM, script.terminate)
    return script.run


def definitions(text):
    """Lines `NAME=REGEX`. The host has checked them once, with another engine for regular expressions."""
    compiled = []
    for line in filter(None, text.split("\n")):
        name, _, pattern = line.partition("=")
        try:
            expression = re.compile(pattern)
            if not expression.groups:
                raise re.error("it has no group")
        except re.error as error:
            raise Failure("Runtime.InvalidMetric", f"The regular expression of the metric '{name}' cannot be used: "
                          f"{error}") from error
        compiled.append((name, expression))
    return compiled


class Script:
    def __init__(self, name, root, metrics):
        self.name, self.root, self.definitions = name, root, metrics
        self.child = None
        self.is_terminated = False
        self.metrics = {}  # the newest of each
        self.found, self.fraction = {}, None  # and not reported yet
        self.window, self.reports_count = 0, 0

    def terminate(self, *_):
        if self.child is None or self.child.returncode is not None:
            leave(0)
        self.is_terminated = True
        self.child.send_signal(signal.SIGTERM)

    def run(self, event, context):
        hyperparameters = {name: value for name, value in event.items() if name != "roost"}
        ml = os.environ.get("ROOST_ML_DIR")
        output = os.path.join(ml, "output") if ml else tempfile.mkdtemp(prefix="output-")
        try:
            data = os.path.join(output, "data")
            os.makedirs(data, exist_ok=True)
            if ml:
                channels = {entry.name: entry.path for entry in os.scandir(os.path.join(ml, "input", "data"))}
            else:
                directives = event.get("roost")
                channels = named_channels(directives.get("channels") if isinstance(directives, dict) else None)
            user_arguments = arguments(hyperparameters)
            environment = self.environment(hyperparameters, user_arguments, channels, ml, output, context)
            if ml:
                write_configuration(hyperparameters, environment)
            tail = self.attend(user_arguments, environment, context)
            status = self.child.returncode
            if self.is_terminated:
                raise SystemExit(0)
            if status:
                raise self.failure(status, tail, os.path.join(output, "failure"))
            if has_files(data) and has_files(environment["SM_MODEL_DIR"]):
                shutil.copytree(data, os.path.join(environment["SM_MODEL_DIR"], OUTPUT_DATA), dirs_exist_ok=True)
        finally:
            shutil.rmtree(output, ignore_errors=True)
        return {"metrics": self.metrics}

    def environment(self, hyperparameters, user_arguments, channels, ml, output, context):
        """The worker's own, and what SageMaker's containers set beside it."""
        processors = len(os.sched_getaffinity(0))
        accelerators = len(glob.glob("/dev/nvidia[0-9]*"))
        inputs = {name: {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated",
                         "RecordWrapperType": "None"} for name in channels}
        resources = {"current_host": "algo-1", "hosts": ["algo-1"]}
        module = os.path.basename(self.name)[:-len(".py")]
        model, checkpoints = os.environ["ROOST_OUTPUT_DIR"], os.environ["ROOST_CHECKPOINT_DIR"]
        places = {}
        if ml:
            # Not the same folders by other paths: a file cannot be renamed from one mount to the other.
            model, checkpoints = os.path.join(ml, "model"), os.path.join(ml, "checkpoints")
            places = {"input_dir": os.path.join(ml, "input"), "input_config_dir": os.path.join(ml, "input", "config")}
        described = {
            "additional_framework_parameters": {}, "channel_input_dirs": channels, "current_host": "algo-1",
            "hosts": ["algo-1"], "hyperparameters": hyperparameters, "input_data_config": inputs, "is_master": True,
            "job_name": context.aws_request_id, "log_level": 20, "master_hostname": "algo-1",
            "model_dir": model, "module_dir": self.root, "module_name": module,
            "num_cpus": processors, "num_gpus": accelerators, "output_data_dir": os.path.join(output, "data"),
            "output_dir": output, "resource_config": resources, "user_entry_point": self.name, **places}
        values = {
            "MODEL_DIR": model, "OUTPUT_DATA_DIR": described["output_data_dir"], "OUTPUT_DIR": output,
            "CHECKPOINT_DIR": checkpoints, "CHANNELS": sorted(channels), **places,
            "HPS": hyperparameters, "USER_ARGS": user_arguments, "NUM_GPUS": accelerators, "NUM_CPUS": processors,
            "NUM_NEURONS": 0, "CURRENT_HOST": "algo-1", "HOSTS": ["algo-1"], "MODULE_NAME": module,
            "MODULE_DIR": self.root, "USER_ENTRY_POINT": self.name, "LOG_LEVEL": 20, "INPUT_DATA_CONFIG": inputs,
            "RESOURCE_CONFIG": resources, "TRAINING_ENV": described}
        values.update((f"CHANNEL_{name}", path) for name, path in channels.items())
        values.update((f"HP_{name}", value) for name, value in hyperparameters.items())
        path = os.environ.get("PYTHONPATH")
        return {
            "PYTHONUNBUFFERED": "1", **os.environ, "PYTHONPATH": f"{self.root}:{path}" if path else self.root,
            **{f"SM_{name.upper()}": variable(value) for name, value in values.items()}}

    # MARK: while it runs

    def attend(self, user_arguments, environment, context):
        """Runs the script to its end, and returns the last lines of its standard error."""
        parent = os.getpid()

        def begin():
            os.setpgid(0, 0)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        command = [sys.executable, "-s", self.name, *user_arguments]
        try:
            self.child = subprocess.Popen(
                command, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, preexec_fn=begin)
        except (OSError, ValueError) as error:  # a NUL byte; more than the kernel takes
            raise Failure("Runtime.InvalidHyperparameters", f"The hyperparameters cannot be given to {self.name} as "
                          f"arguments and environment: {error}") from error
        tail = collections.deque(maxlen=TAIL_LINES)

        def printed(line):
            self.find_metrics(line, context)

        def complained(line):
            if text := line.strip():
                tail.append(text[:TAIL_CHARACTERS])
            self.find_metrics(line, context)

        out, err = self.child.stdout.fileno(), self.child.stderr.fileno()
        lines = {out: Lines(1, printed), err: Lines(2, complained)}
        ended = os.pidfd_open(self.child.pid)
        poll = select.poll()
        for descriptor in (out, err, ended):
            poll.register(descriptor, select.POLLIN)
        try:
            while self.child.returncode is None:
                for descriptor, _ in poll.poll():
                    if descriptor == ended:
                        self.child.wait()
                    elif data := os.read(descriptor, 65536):
                        lines[descriptor].take(data)
                    else:
                        poll.unregister(descriptor)
        finally:
            os.close(ended)
            self.kill_group()
        for descriptor in (out, err):
            drain(descriptor, lines[descriptor])
            lines[descriptor].end()
        self.report(context)
        self.child.stdout.close()
        self.child.stderr.close()
        return list(tail)

    def kill_group(self):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except OSError:
            pass  # nobody is left

    def find_metrics(self, line, context):
        """A report of all that the line says, and of what was found before and could not be reported."""
        is_new = False
        for name, expression in self.definitions:
            if match := expression.search(line):
                value = number(match)
                if value is None:
                    continue
                if name != FRACTION:
                    self.found[name] = self.metrics[name] = value
                    is_new = True
                elif 0 <= (part := value / (number(match, 2) or 1)) <= 1:
                    self.fraction = part
                    is_new = True
        if not is_new:
            return
        window = time.monotonic() // WINDOW_SECONDS
        if window != self.window:
            self.window, self.reports_count = window, 0
        if self.reports_count < REPORTS_MAX:
            self.reports_count += 1
            self.report(context)

    def report(self, context):
        if self.found or self.fraction is not None:
            context.progress(self.fraction, metrics=self.found or None)
        self.found, self.fraction = {}, None

    def failure(self, status, tail, reason_file):
        if status > 0:
            how = f"exited with status {status}"
        else:
            how = f"was ended by {signal.Signals(-status).name}" if -status in set(signal.Signals) else \
                f"was ended by signal {-status}"
        reason = tail[-1] if tail else ""
        try:
            with open(reason_file, encoding="utf-8", errors="replace") as file:
                reason = file.read(REASON_CHARACTERS).strip() or reason
        except OSError:
            pass
        return Failure("Runtime.ExitError", f"{self.name} {how}" + (f": {reason}" if reason else ""),
                       [line + "\n" for line in tail])


class Lines:
    """Passes bytes on to a descriptor as they come, and the lines in them, ended by CR or LF, to a function."""

    def __init__(self, descriptor, take_line):
        self.descriptor, self.take_line = descriptor, take_line
        self.rest = b""

    def take(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view):]
        *lines, self.rest = re.split(b"[\r\n]+", self.rest + data)
        self.rest = self.rest[:LINE_BYTES]
        for line in lines:
            self.say(line)

    def end(self):
        self.say(self.rest)
        self.rest = b""

    def say(self, line):
        if line:
            self.take_line(line[:LINE_BYTES].decode("utf-8", "replace"))


def drain(descriptor, lines):
    """What is in a pipe now. Its end may never come: a process that left the group can hold it open."""
    os.set_blocking(descriptor, False)
    left = LEFT_OVER_BYTES
    try:
        while left > 0 and (data := os.read(descriptor, 65536)):
            left -= len(data)
            lines.take(data)
    except BlockingIOError:
        pass


# MARK: what the script is given

def arguments(hyperparameters):
    """`--name value` of each, by name; `-n value` where the name is one letter."""
    result = []
    for name, value in sorted(hyperparameters.items()):
        if not name:
            raise Failure("Runtime.InvalidHyperparameters", "A hyperparameter has no name")
        if value is None:
            value = ""
        elif isinstance(value, (dict, list)):
            value = json.dumps(value)
        result += [f"--{name}" if len(name) > 1 else f"-{name}", str(value)]
    return result


def variable(value):
    """Text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def write_configuration(hyperparameters, environment):
    """The files beside the environment. In SageMaker's, every hyperparameter is a string."""
    strings = {name: value if isinstance(value, str) else json.dumps(value) for name, value in hyperparameters.items()}
    for name, text in (("hyperparameters", json.dumps(strings)), ("resourceconfig", environment["SM_RESOURCE_CONFIG"]),
                       ("inputdataconfig", environment["SM_INPUT_DATA_CONFIG"])):
        with open(os.path.join(environment["SM_INPUT_CONFIG_DIR"], name + ".json"), "w", encoding="utf-8") as file:
            file.write(text)


def named_channels(directives):
    """{name: folder}, under the names of the event, as the environment's have no case. The base's model is one of them."""
    names = {name.upper(): name for name in directives} if isinstance(directives, dict) else {}
    prefix = "ROOST_CHANNEL_"
    channels = {names.get(key[len(prefix):], key[len(prefix):].lower()): path
                for key, path in sorted(os.environ.items()) if key.startswith(prefix)}
    if "ROOST_MODEL_DIR" in os.environ and not any(name.upper() == "MODEL" for name in channels):
        channels["model"] = os.environ["ROOST_MODEL_DIR"]
    return channels


def number(match, group=1):
    """`None` for what is no finite number."""
    try:
        value = float(match.group(group))
    except (IndexError, TypeError, ValueError):
        return None
    return value if value - value == 0 else None


def has_files(folder):
    return any(files for _, _, files in os.walk(folder))
