"""Steps for the tests of backends, called by dotted name in the process that runs the job."""

import math
import os
import signal
import time
from pathlib import Path

from analytics_kit.errors import BadArchiveError
from analytics_kit.model import CannotRunHere, Progress, Split

LIMIT_S = 60


def warm():
    """Do nothing: there is nothing to compile."""


def echo(task):
    return {"arguments": dict(task.arguments)}


def report_in_steps(task):
    for done in (0, 30, 20, 100):
        task.report(Progress("processing", done, 100, fraction=done / 100))
        time.sleep(0.12)  # longer than progress is withheld
    return {}


def gated(task):
    """Report 40 %, then continue once the file `gate` exists."""
    if "pid_file" in task.arguments:
        Path(task.arguments["pid_file"]).write_text(str(os.getpid()))
    task.report(Progress("processing", 40, 100, fraction=0.4))
    _wait_for(task)
    return {"pid": os.getpid()}


def committing(task):
    task.begin_commit()
    _wait_for(task)
    return {}


def report_until_stopped(task):
    """Report until an exception is raised, which is written to the file `mark`; `beat` shows that it still runs."""
    task.report(Progress("processing", 40, 100, fraction=0.4))
    ends = time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < ends:
            Path(task.arguments["beat"]).write_text(str(time.monotonic()))
            task.report(Progress("processing", 41, 100, fraction=0.41))
            time.sleep(0.02)
    except BaseException as error:
        Path(task.arguments["mark"]).write_text(type(error).__name__)
        raise
    return {}


def stuck(task):
    """Report once and never again: only a kill ends it."""
    task.report(Progress("processing", 40, 100, fraction=0.4))
    _wait_for(task)
    return {}


def commit_late(task):
    """Begin to commit after a while, without a report in between."""
    time.sleep(float(task.arguments["after_s"]))
    task.begin_commit()
    return {}


def failing_until(task):
    """Fail until the file `gate` exists."""
    if not Path(task.arguments["gate"]).exists():
        raise BadArchiveError("not yet")
    return {"done": True}


def _wait_for(task):
    ends = time.monotonic() + LIMIT_S
    while not Path(task.arguments["gate"]).exists():
        if time.monotonic() > ends:
            raise TimeoutError("the gate was not opened")
        time.sleep(0.01)


def fail(task):
    raise BadArchiveError("the ZIP is torn: ünïcode <b>", hint="mend it")


def crash(task):
    raise KeyError("odd")


def not_json(task):
    return {"x": {1, 2}}


def not_a_number(task):
    return {"x": math.nan}


def return_none(task):
    return None


def exit_process(task):
    raise SystemExit(3)


def die(task):
    os.kill(os.getpid(), signal.SIGKILL)


def parent(task):
    return {"pid": os.getpid(), "parent": os.getppid()}


not_callable = 7


def discard(arguments, job_id, result):
    """Remove the files of the job except those that its result names."""
    if arguments.get("discard_fails"):
        raise OSError("the store is on fire")
    folder = Path(arguments.get("folder", "/nowhere"), job_id)
    kept = {Path(path) for path in (result or {}).get("files", ())}
    for path in folder.glob("*"):
        if path not in kept:
            path.unlink(missing_ok=True)
    if folder.is_dir() and not kept:
        folder.rmdir()


def tidy():
    """Do nothing: there is no store."""


def split_work(task):
    """Split into as many shards as the argument `parts` says; each writes a file."""
    task.report(Progress("planning"))
    n = task.arguments["parts"]
    return Split(
        shards=n,
        total=100 * n,
        shard_task="tests.backends.sample_steps.process_one",
        merge_task="tests.backends.sample_steps.merge_all",
    )


def process_one(task):
    """Write the worker's process id to a file; `die` says of which shards how many attempts kill themselves."""
    path = _attempt_file(task)
    path.write_text(f"{os.getppid()}")
    task.report(Progress("processing", 50, 100, fraction=0.5))
    if task.attempt <= task.arguments.get("die", {}).get(str(task.shard), 0):
        die(task)
    if "gate" in task.arguments:
        _wait_for(task)
    if task.arguments.get("bad") == task.shard:
        raise BadArchiveError(f"shard {task.shard} is bad")
    task.report(Progress("processing", 100, 100, fraction=1.0))


def merge_all(task):
    """Return the files of the winning attempts."""
    folder = Path(task.arguments["folder"], task.job_id)
    files = [str(folder / f"part-{shard}-{number}") for shard, number in sorted(task.winning_attempts.items())]
    if task.attempt <= task.arguments.get("die", {}).get("merge", 0):
        die(task)
    assert all(Path(path).exists() for path in files)
    if "merge_gate" in task.arguments:
        while not Path(task.arguments["merge_gate"]).exists():
            task.report(Progress("merging", 95, 100, fraction=0.95))
            time.sleep(0.01)
    task.begin_commit()
    if "commit_gate" in task.arguments:
        while not Path(task.arguments["commit_gate"]).exists():
            time.sleep(0.01)
    if task.attempt <= task.arguments.get("die", {}).get("commit", 0):
        die(task)
    return {"files": files, "merged_by": task.attempt}


def _attempt_file(task):
    folder = Path(task.arguments["folder"], task.job_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{task.step}-{task.attempt}"


def run_elsewhere_only(task):
    """Run only in a process whose environment names the right location."""
    if os.environ.get("SAMPLE_LOCATION") != task.arguments["location"]:
        raise CannotRunHere(f"this is not {task.arguments['location']}")
    return {"pid": os.getpid()}


def use_ever_more_memory(task):
    """Use more and more memory."""
    task.report(Progress("processing"))
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20) * 20))
        time.sleep(0.01)


def print_and_end(task):
    """Print, then end as the argument `how` says."""
    print("out of the way", flush=True)
    os.write(2, b"native <b>text</b>\n")
    return {} if task.arguments["how"] == "well" else die(task)


def exit_silently(task):
    """End the process with exit code 0."""
    task.report(Progress("processing"))
    os._exit(0)


KEPT = []


def keep_memory(task):
    """Keep as many MB of memory as the argument `mb` says."""
    KEPT.append(os.urandom(1 << 20) * task.arguments["mb"])
    return {"pid": os.getpid()}
