"""Run a function in a forked process."""

import json
import os
import select
import signal
import warnings

LIMIT_S = 30


def in_fork(function):
    """Return what the function returns in a forked process, as JSON, or the name and the message of its exception."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fork with threads is what is tested
        pid = os.fork()
    if not pid:
        try:
            answer = function()
        except BaseException as error:
            answer = [type(error).__name__, str(error)]
        os.write(write_end, json.dumps(answer).encode())
        os._exit(0)
    os.close(write_end)
    try:
        assert select.select([read_end], [], [], LIMIT_S)[0], f"the forked process does not answer in {LIMIT_S} s"
        return json.loads(os.read(read_end, 1 << 16))
    finally:
        os.close(read_end)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
