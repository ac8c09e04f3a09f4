"""A redis-server for tests: on loopback or a Unix socket, with a password or TLS, and restartable."""

import secrets
import shutil
import socket
import subprocess
from pathlib import Path

import redis

from tests.processes import end, responds, until


class RedisServer:
    """A redis-server on a free port or a Unix socket; `url` has its password."""

    def __init__(self, folder: Path, *, durable=False, tls=False, unix=False, user="", db=0) -> None:
        self.folder, self.process = folder, None
        password, port = secrets.token_hex(8), _free_port()
        lines = [f"dir {folder}", f"logfile {folder}/log", 'save ""', "bind 127.0.0.1"]
        lines += (
            [f"user {user} on >{password} ~* &* +@all", "user default off"] if user else [f"requirepass {password}"]
        )
        lines += ["appendonly yes"] if durable else []
        user_info, query = f"{user}:{password}", f"?db={db}" if unix else ""
        if unix:
            lines += ["port 0", f"unixsocket {folder}/s", "unixsocketperm 700"]
            self.url = f"unix://{user_info}@{folder}/s{query}"
        elif tls:
            certificate = _certificate(folder)
            lines += ["port 0", f"tls-port {port}", f"tls-cert-file {certificate}", f"tls-key-file {folder}/key.pem"]
            lines += ["tls-auth-clients no", f"tls-ca-cert-file {certificate}"]
            self.url = f"rediss://{user_info}@localhost:{port}/{db}?ssl_ca_certs={certificate}"
        else:
            lines += [f"port {port}"]
            self.url = f"redis://{user_info}@127.0.0.1:{port}/{db}"
        self._config = "\n".join(lines).encode()

    def start(self) -> None:
        """Start it and wait until it responds."""
        program = shutil.which("redis-server")
        assert program, "redis-server is missing; `make test` installs it"
        self.process = subprocess.Popen([program, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.process.stdin.write(self._config)
        self.process.stdin.close()
        with redis.Redis.from_url(self.url) as client:
            until(lambda: responds(client), "redis-server responds")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        end(self.process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _certificate(folder: Path) -> Path:
    path = folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    return path
