"""Does everything that a job needs work here, and if not, what is to be done?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from analytics_kit.client import Client
from analytics_kit.errors import AnalyticsKitError
from analytics_kit.settings import Settings
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
ENOUGH_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, whether it is as it should be, and what to do if not."""

    what: str
    found: str
    ok: bool = True
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def examine() -> list[Finding]:
    """All findings; the first that fails explains those after it."""
    try:
        settings = Settings.of()
    except AnalyticsKitError as error:
        return [Finding("settings", error.message, False, error.hint)]
    findings = [_versions(), *_store(settings)]
    with Client() as client:
        findings += _broker(client)
    return findings


def _versions() -> Finding:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return Finding("versions", ", ".join(f"{name} {number}" for name, number in found.items()))


def _store(settings: Settings) -> Iterator[Finding]:
    try:
        store = Store.of(settings)
        store.check()
        yield Finding("store", f"{store.name} can be written")
    except AnalyticsKitError as error:
        yield Finding("store", error.message, False, error.hint)
    if settings.store is None:
        free = shutil.disk_usage(settings.home.expanduser()).free if settings.home.expanduser().exists() else None
        if free is not None:
            yield Finding(
                "free space", f"{free / 1e9:.1f} GB at {settings.store_url()}", free > ENOUGH_BYTES,
                "Free some space, or set ANALYTICS_KIT_STORE to a larger place.",
            )  # fmt: skip


def _broker(client: Client) -> Iterator[Finding]:
    try:
        health, queue = client.health(), client.queue_status()
    except AnalyticsKitError as error:
        yield Finding("broker", error.message, False, error.hint)
        return
    counts = ", ".join(f"{queue[name]} {name}" for name in ("queued", "running", "completed", "failed"))
    broker = health["broker"]
    if client.settings.backend == "http":
        found = f"{health['server']}, {health['status']}, by {health['behind']}"
        yield Finding("server", f"{found} ({health['reason']})" if health["reason"] else found, health["ready"])
        yield Finding("jobs", counts)
        return
    if broker is None:
        named = client.settings.backend == "local"
        yield Finding(
            "broker", f"none: work is done in the process ({health['reason'] or 'as asked for'})", named,
            "Start the Redis that is named, or unset REDIS_URL and REDIS_HOST for the embedded one."
            if client.settings.broker_url() else "See above for what the embedded broker needs.",
        )  # fmt: skip
        return
    yield Finding("broker", f"{health['backend']} at {broker['address']}, version {broker['version']}")
    yield Finding(
        "workers", f"{queue['workers']} on queue {queue['queue']}, {queue['workers_busy']} busy",
        queue["workers"] > 0 or health["backend"] == "embedded", "Start one: analytics-kit worker",
    )  # fmt: skip
    yield Finding("jobs", counts)
