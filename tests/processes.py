"""Start, await and end the processes of tests."""

import subprocess
import threading
import time
from pathlib import Path

import psutil
import redis

LIMIT_S = 30


def responds(client):
    """Return whether a Redis server responds."""
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def end(process):
    """End a process that a test started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(condition, what, limit_s=LIMIT_S):
    """Wait until the condition is true, and return its value."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {limit_s} s in vain for: {what}"
        time.sleep(0.01)
    return value


def alive(pid):
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_line(process):
    """Return the arguments of a process; empty for one that has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def later(act, *arguments, after_s=0.1, **more):
    """Call it on another thread in a moment."""
    timer = threading.Timer(after_s, act, arguments, more)
    timer.daemon = True
    timer.start()
