"""Open the page from JupyterLab's launcher: jupyter-server-proxy starts the server and forwards to it."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any

from traitlets.config import Application

from analytics_kit.web import URL_PREFIX

ENTRY_POINT_NAME = "analytics-kit"
"""Name of the entry point, and of the path below which Jupyter forwards to the server."""
LAUNCH_LIMIT_S = 60


def server() -> dict[str, Any]:
    """Return the configuration for jupyter-server-proxy: the command, its environment, and the launcher's entry.

    Jupyter adds a token to the requests of users who are signed in to it. Only Jupyter and the server have the token,
    so other users of the machine can reach the server's port but get no access.
    """
    token = secrets.token_urlsafe(32)
    data = os.environ.get("ANALYTICS_KIT_DATA") or _notebook_folder()
    return {
        # -P: files in the notebook folder must not be imported in place of modules
        "command": [_escape_braces(sys.executable), "-P", "-m", "analytics_kit.cli", "serve", "--port", "{port}"],
        "environment": {
            "ANALYTICS_KIT_DATA": _escape_braces(data),
            "ANALYTICS_KIT_PROXIES": "1",
            "ANALYTICS_KIT_TOKEN": token,
        },
        "request_headers_override": {"Authorization": f"Bearer {token}"},
        "timeout": LAUNCH_LIMIT_S,
        "launcher_entry": {
            "title": "Studies and jobs",
            "icon_path": str(Path(__file__).parent / "static" / "icon.svg"),
            "path_info": f"{ENTRY_POINT_NAME}{URL_PREFIX}/",
            "category": "Notebook",  # in other categories JupyterLab shows no icon that is loaded by URL
        },
    }


def _notebook_folder() -> str:
    """Return the root folder of the Jupyter server that this runs in, else the working folder."""
    root = getattr(Application.instance(), "root_dir", "") if Application.initialized() else ""
    return str(root or Path.cwd())


def _escape_braces(text: str) -> str:
    """Escape braces, which jupyter-server-proxy would replace as placeholders."""
    return text.replace("{", "{{").replace("}", "}}")
