"""Build the request that submits a study to a server over HTTP.

The counterpart of `Client.request`, which builds the request for a queue. Both read the study's archive and its
options, which the backends may not import, so they stand on the client's floor.
"""

from __future__ import annotations

import os
from pathlib import Path

from analytics_kit.errors import SettingsError
from analytics_kit.model import JobRequest
from analytics_kit.options import Options
from analytics_kit.settings import without_secrets
from analytics_kit.study.archive.source import fingerprint, is_url, locate

CATALOGUE_PREFIX = "study:"
"""`"study:ID"` names a study in the server's catalogue."""


def request_for_server(
    source: str | os.PathLike[str], options: Options, tags: tuple[str, ...], owner: str
) -> JobRequest:
    """Return the request for a local ZIP, which is identified by its content, or for a study of the server.

    Raises
    ------
    SourceNotFoundError
        The ZIP does not exist.
    SettingsError
        The source is a folder or a CSV file, neither of which can be uploaded.
    """
    location, options_json = os.fspath(source), options.to_json()
    if location.startswith(CATALOGUE_PREFIX):
        study_id = location.removeprefix(CATALOGUE_PREFIX)
        arguments = {"source": location, "study_id": study_id, "options": options_json}
        return JobRequest("", arguments, result_key=location, source=location, tags=tags, owner=owner)
    path = locate(source)
    if path.lower().endswith(".csv") or (not is_url(path) and Path(path).is_dir()):
        raise SettingsError(
            "Only a ZIP can be uploaded to a server.", hint="Zip the folder or file and submit the ZIP."
        )
    content, size_bytes = fingerprint(path, options)
    return JobRequest(
        task="",
        arguments={"source": path, "content": content, "options": options_json},
        result_key=f"{content} {options_json}",
        source=without_secrets(path),
        size_bytes=size_bytes,
        tags=tags,
        owner=owner,
    )
