"""The guard between supervisor and server, with a shell script as the server."""

import os
import signal
import subprocess
import sys

import pytest

from analytics_kit.backends.embedded import supervisor
from analytics_kit.backends.embedded.paths import BrokerPaths, acquire_lock, create_folder, is_locked
from tests.processes import until

SERVER = """#!/bin/sh
cat > "{folder}/config"
echo $$ > "{folder}/pid"
{then}
"""


@pytest.fixture
def paths(tmp_path):
    paths = BrokerPaths(tmp_path / "data", tmp_path / "socket")
    create_folder(paths.data_folder)
    create_folder(paths.socket_folder)
    return paths


@pytest.fixture
def start(paths):
    """start(then) → the guard of a server that reads its configuration and goes on with `then`, and the pipe."""
    guards = []

    def start(then="exec sleep 60"):
        program = paths.data_folder / "server"
        program.write_text(SERVER.format(folder=paths.data_folder, then=then))
        program.chmod(0o755)
        lock = acquire_lock(paths.server_lock, 0)
        guard, pipe = supervisor.start_server(str(program), paths, lock)
        os.close(lock)
        guards.append(guard)
        return guard, pipe

    yield start
    for guard in guards:
        guard.kill()
        guard.wait()


def test_guard_gives_the_server_its_configuration_and_exit_code(start, paths):
    guard, pipe = start("exit 3")
    assert guard.wait(10) == 3
    config = (paths.data_folder / "config").read_text().splitlines()
    assert f'unixsocket "{paths.socket}"' in config
    assert f'dir "{paths.data_folder}"' in config
    os.close(pipe)


def test_closing_the_pipe_ends_guard_and_server(start, paths):
    guard, pipe = start()
    until((paths.data_folder / "pid").exists, "the server runs")
    assert is_locked(paths.server_lock), "the server has inherited the lock"
    os.close(pipe)
    assert guard.wait(10) == -signal.SIGTERM & 0xFF
    assert not is_locked(paths.server_lock)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_guard_ignores_signals_but_the_server_does_not(start, paths, number):
    before = signal.signal(number, signal.SIG_DFL)  # under nohup the server would inherit that SIGHUP is ignored
    guard, pipe = start()
    signal.signal(number, before)
    pid_file = paths.data_folder / "pid"
    pid = int(until(lambda: pid_file.exists() and pid_file.read_text(), "the server runs"))
    guard.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        guard.wait(0.2)
    os.kill(pid, number)
    assert guard.wait(10) == -number & 0xFF
    os.close(pipe)


def test_guard_imports_only_the_standard_library():
    code = f"import runpy, sys; runpy.run_path({str(supervisor.GUARD)!r}); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    names = {name.split(".")[0] for name in run.stdout.split()}
    assert names - set(sys.stdlib_module_names) <= {"__main__"}
