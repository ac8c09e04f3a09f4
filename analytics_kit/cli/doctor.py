"""Check whether everything that a job needs works on this machine, and advise what to do if not."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from analytics_kit.client import Client
from analytics_kit.code_version import CodeVersion
from analytics_kit.errors import AnalyticsKitError
from analytics_kit.settings import Settings
from analytics_kit.study.store.retention import clock_notice
from analytics_kit.study.store.store import Store

PACKAGES = (
    "analytics_kit",
    "redis",
    "rq",
    "pandas",
    "numpy",
    "numba",
    "polars",
    "pyarrow",
    "ipywidgets",
    "jupyterlab",
)
MIN_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its subject, what was found, whether that is all right, and otherwise what to do.

    A warning is about what works, and may do harm.
    """

    what: str
    found: str
    ok: bool = True
    advice: str = ""
    warning: bool = False

    @property
    def level(self) -> str:
        """How bad it is: `"ok"`, `"warn"` or `"FAIL"`."""
        return "FAIL" if not self.ok else "warn" if self.warning else "ok"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return asdict(self)


def examine() -> list[Finding]:
    """Run all checks; the first one that fails often explains those after it."""
    try:
        settings = Settings.of()
    except AnalyticsKitError as error:
        return [Finding("settings", error.message, False, error.hint)]
    findings = [_check_versions(), _check_kernel_cache(), *_check_store(settings)]
    with Client() as client:
        findings += _check_broker(client)
    return findings


def _check_versions() -> Finding:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return Finding("versions", ", ".join(f"{name} {number}" for name, number in versions.items()))


def _check_kernel_cache() -> Finding:
    # It loads numba, which the other commands do not need.
    from analytics_kit.study.schema.kernel_cache import CACHE_ADVICE, cache_roots, writable_root

    if (root := writable_root()) is not None:
        return Finding("compiled kernels", f"are kept in {root}")
    folders = ", ".join(map(str, cache_roots())) or "none is known"
    return Finding(
        "compiled kernels",
        f"can't be kept (folders tried: {folders}): each process compiles them anew, for about ten seconds",
        False,
        CACHE_ADVICE,
    )


def _check_store(settings: Settings) -> Iterator[Finding]:
    try:
        store = Store.of(settings).hurried()
        store.check()
        yield Finding("store", f"{store.name} can be written")
        notice = clock_notice(store, time.time()) if store.exists() else ""
        yield Finding(
            "clocks", notice or "this host and the store agree", not notice,
            "Results are removed by their age only while clocks are right: check them with `date`.",
        )  # fmt: skip
    except AnalyticsKitError as error:
        yield Finding("store", error.message, False, error.hint)
    if settings.store is None:
        home = settings.home
        if home.exists():
            free = shutil.disk_usage(home).free
            yield Finding(
                "free space", f"{free / 1e9:.1f} GB at {settings.store_url()}", free > MIN_FREE_BYTES,
                "Free some space, or set ANALYTICS_KIT_STORE to a larger disk.",
            )  # fmt: skip


def _check_code(health: dict[str, Any]) -> Finding:
    """List the versions of all processes that take part, and compare the code with which they make numbers."""
    versions = health["versions"]
    names = [name for name in ("client", "server", "supervisor") if versions.get(name)]
    found = [(name, CodeVersion(**versions[name])) for name in names]
    for worker in versions.get("workers", ()):
        code, count = CodeVersion(worker["version"], worker["code"]), worker["workers"]
        found.append((f"{count} worker{'s' * (count != 1)}", code))
    # Jobs on a server are submitted by the server's code.
    codes = {code.code for name, code in found if name != "client" or "server" not in names}
    return Finding(
        "code", ", ".join(f"{name}: {code}" for name, code in found), len(codes) <= 1,
        "Upgrade and restart the older ones: jobs wait for workers with the code they were submitted by. An embedded "
        "queue restarts by itself once no job runs.",
    )  # fmt: skip


def _check_broker(client: Client) -> Iterator[Finding]:
    try:
        health, queue = client.backend.health(), client.queue_status()
    except AnalyticsKitError as error:
        yield Finding("broker", error.message, False, error.hint)
        return
    yield _check_code(health)
    counts = ", ".join(f"{queue[name]} {name}" for name in ("queued", "running", "completed", "failed"))
    broker = health["broker"]
    if client.settings.backend == "http":
        found = f"{health['server']}, {health['status']}, by {health['behind']}"
        yield Finding("server", f"{found} ({health['reason']})" if health["reason"] else found, health["ready"])
        yield Finding("jobs", counts)
        return
    if broker is None:
        is_chosen = client.settings.backend == "local"
        if health["status"] == "down":
            yield Finding("broker", health["reason"], False, "Until then no job is run.")
            return
        yield Finding(
            "broker", f"none: jobs run in the calling process ({health['reason'] or 'as configured'})", is_chosen,
            "Start the configured Redis, or unset REDIS_URL and REDIS_HOST to use the embedded one."
            if client.settings.broker_url() else "The message above explains what the embedded broker needs.",
        )  # fmt: skip
        return
    found = f"{health['backend']} at {broker['address']}, version {broker['version']}"
    is_down = health["status"] == "down"
    yield Finding("broker", health["reason"] if is_down else found, not is_down, "Until then no job is run.")
    yield Finding(
        "workers", f"{queue['workers']} on queue {queue['queue']}, {queue['workers_busy']} busy",
        queue["workers"] > 0 or health["backend"] == "embedded", "Start one: analytics-kit worker",
    )  # fmt: skip
    yield Finding("jobs", counts)
    for found, advice in client.backend.warnings():
        yield Finding("queue", found, True, advice, warning=True)
