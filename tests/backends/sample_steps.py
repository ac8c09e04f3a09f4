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


def echo(context):
    return {"arguments": dict(context.arguments)}


def report_in_steps(context):
    for done in (0, 30, 20, 100):
        context.report(Progress("processing", done, 100, fraction=done / 100))
        time.sleep(0.12)  # longer than progress is withheld
    return {}


def gated(context):
    """Report 40 %, then continue once the file `gate` exists."""
    if "pid_file" in context.arguments:
        Path(context.arguments["pid_file"]).write_text(str(os.getpid()))
    context.report(Progress("processing", 40, 100, fraction=0.4))
    _wait_for(context)
    return {"pid": os.getpid()}


def committing(context):
    context.begin_commit()
    _wait_for(context)
    return {}


def report_until_stopped(context):
    """Report until an exception is raised, which is written to the file `mark`; `beat` shows that it still runs."""
    context.report(Progress("processing", 40, 100, fraction=0.4))
    ends = time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < ends:
            Path(context.arguments["beat"]).write_text(str(time.monotonic()))
            context.report(Progress("processing", 41, 100, fraction=0.41))
            time.sleep(0.02)
    except BaseException as error:
        Path(context.arguments["mark"]).write_text(type(error).__name__)
        raise
    return {}


def stuck(context):
    """Report once and never again: only a kill ends it."""
    context.report(Progress("processing", 40, 100, fraction=0.4))
    _wait_for(context)
    return {}


def commit_late(context):
    """Begin to commit after a while, without a report in between."""
    time.sleep(float(context.arguments["after_s"]))
    context.begin_commit()
    return {}


def failing_until(context):
    """Fail until the file `gate` exists."""
    if not Path(context.arguments["gate"]).exists():
        raise BadArchiveError("not yet")
    return {"done": True}


def _wait_for(context):
    ends = time.monotonic() + LIMIT_S
    while not Path(context.arguments["gate"]).exists():
        if time.monotonic() > ends:
            raise TimeoutError("the gate was not opened")
        time.sleep(0.01)


def fail(context):
    raise BadArchiveError("the ZIP is torn: ünïcode <b>", hint="mend it")


def crash(context):
    raise KeyError("odd")


def not_json(context):
    return {"x": {1, 2}}


def not_a_number(context):
    return {"x": math.nan}


def return_none(context):
    return None


def exit_process(context):
    raise SystemExit(3)


def die(context):
    os.kill(os.getpid(), signal.SIGKILL)


def parent(context):
    return {"pid": os.getpid(), "parent": os.getppid()}


not_callable = 7


def discard(arguments, job_id, result, settings=None):
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


def split_work(context):
    """Split into as many shards as the argument `shards` says; each writes a file."""
    context.report(Progress("planning"))
    n = context.arguments["shards"]
    return Split(
        shards=n,
        total=100 * n,
        shard_task="tests.backends.sample_steps.process_one",
        merge_task="tests.backends.sample_steps.merge_all",
    )


def process_one(context):
    """Write the worker's process id to a file; `die` says of which shards how many attempts kill themselves."""
    path = _attempt_file(context)
    path.write_text(f"{os.getppid()}")
    context.report(Progress("processing", 50, 100, fraction=0.5))
    if context.attempt <= context.arguments.get("die", {}).get(str(context.shard), 0):
        die(context)
    if "gate" in context.arguments:
        _wait_for(context)
    if context.arguments.get("bad") == context.shard:
        raise BadArchiveError(f"shard {context.shard} is bad")
    context.report(Progress("processing", 100, 100, fraction=1.0))


def merge_all(context):
    """Return the files of the winning attempts."""
    folder = Path(context.arguments["folder"], context.job_id)
    files = [str(folder / f"part-{shard}-{number}") for shard, number in sorted(context.winning_attempts.items())]
    if context.attempt <= context.arguments.get("die", {}).get("merge", 0):
        die(context)
    assert all(Path(path).exists() for path in files)
    if "merge_gate" in context.arguments:
        while not Path(context.arguments["merge_gate"]).exists():
            context.report(Progress("merging", 95, 100, fraction=0.95))
            time.sleep(0.01)
    context.begin_commit()
    if "commit_gate" in context.arguments:
        while not Path(context.arguments["commit_gate"]).exists():
            time.sleep(0.01)
    if context.attempt <= context.arguments.get("die", {}).get("commit", 0):
        die(context)
    return {"files": files, "merged_by": context.attempt}


def _attempt_file(context):
    folder = Path(context.arguments["folder"], context.job_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{context.step}-{context.attempt}"


def run_elsewhere_only(context):
    """Run only in a process whose environment names the right location."""
    if os.environ.get("SAMPLE_LOCATION") != context.arguments["location"]:
        raise CannotRunHere(f"this is not {context.arguments['location']}")
    return {"pid": os.getpid()}


def use_ever_more_memory(context):
    """Use more and more memory."""
    context.report(Progress("processing"))
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20) * 20))
        time.sleep(0.01)


def print_and_end(context):
    """Print, then end as the argument `how` says."""
    print("out of the way", flush=True)
    os.write(2, b"native <b>text</b>\n")
    return {} if context.arguments["how"] == "well" else die(context)


def exit_silently(context):
    """End the process with exit code 0."""
    context.report(Progress("processing"))
    os._exit(0)


KEPT = []


def keep_memory(context):
    """Keep as many MB of memory as the argument `mb` says."""
    KEPT.append(os.urandom(1 << 20) * context.arguments["mb"])
    return {"pid": os.getpid()}


STEPS = (
    echo,
    report_in_steps,
    gated,
    committing,
    report_until_stopped,
    stuck,
    commit_late,
    failing_until,
    fail,
    crash,
    not_json,
    not_a_number,
    return_none,
    exit_process,
    die,
    parent,
    split_work,
    process_one,
    merge_all,
    run_elsewhere_only,
    use_ever_more_memory,
    print_and_end,
    exit_silently,
    keep_memory,
)
"""All that the workers of these tests run."""
