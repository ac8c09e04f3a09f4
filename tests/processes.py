"""Processes that tests start, wait for and end."""

import subprocess
import threading
import time
from pathlib import Path

import psutil
import redis

LIMIT_S = 30


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def end(process):
    """End a process that we started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(condition, what, limit_s=LIMIT_S):
    """Wait for a condition."""
    ends = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < ends, f"waited {limit_s} s in vain until {what}"
        time.sleep(0.01)
    return found


def alive(pid):
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_line(process):
    """The words that a process was started with; none for one that has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def later(act, *arguments, after_s=0.1, **more):
    """Call it on another thread in a moment."""
    timer = threading.Timer(after_s, act, arguments, more)
    timer.daemon = True
    timer.start()
