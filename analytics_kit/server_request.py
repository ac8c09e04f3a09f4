"""What is asked of a server for a study that lies here, or for one that the server has?"""

from __future__ import annotations

import os
from pathlib import Path

from analytics_kit.errors import SettingsError
from analytics_kit.model import JobRequest
from analytics_kit.options import Options
from analytics_kit.settings import without_secrets
from analytics_kit.study.archive.source import fingerprint, is_url, locate

OF_SERVER = "study:"
"""`"study:ID"` is a study of the server's catalogue."""


def remote_request(source: str | os.PathLike[str], options: Options, tags: tuple[str, ...], owner: str) -> JobRequest:
    """The request for a study: its place here, or its id there, and what is in it.

    Raises SourceNotFoundError, and SettingsError for a folder or CSV, which is not uploaded.
    """
    text, told = os.fspath(source), options.to_json()
    if text.startswith(OF_SERVER):
        arguments = {"source": text, "study_id": text.removeprefix(OF_SERVER), "options": told}
        return JobRequest("", arguments, result_key=text, source=text, tags=tags, owner=owner)
    path = locate(source)
    if path.lower().endswith(".csv") or (not is_url(path) and Path(path).is_dir()):
        raise SettingsError("To a server only a ZIP is uploaded.", hint="Zip the folder or file, and submit the ZIP.")
    content, size_bytes = fingerprint(path, options)
    return JobRequest(
        task="",
        arguments={"source": path, "content": content, "options": told},
        result_key=f"{content} {told}",
        source=without_secrets(path),
        size_bytes=size_bytes,
        tags=tags,
        owner=owner,
    )
