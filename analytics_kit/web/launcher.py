"""How does the page open from JupyterLab's launcher? jupyter-server-proxy starts the server and leads to it."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any

from traitlets.config import Application

from analytics_kit.web import PREFIX

NAME = "analytics-kit"
"""Of the entry point, and so of the path below which Jupyter has the server."""
START_LIMIT_S = 60


def server() -> dict[str, Any]:
    """What jupyter-server-proxy has to know: the command, its environment, its place in the launcher.

    Who is signed in to Jupyter is let in: their requests are given a token that only Jupyter and the server know. So
    nobody else comes in by the port, which all users of the machine can reach.
    """
    token = secrets.token_urlsafe(32)
    data = os.environ.get("ANALYTICS_KIT_DATA") or _notebook_folder()
    return {
        # -P: what lies in the folder of notebooks must not stand for modules
        "command": [_plain(sys.executable), "-P", "-m", "analytics_kit.cli", "serve", "--port", "{port}"],
        "environment": {
            "ANALYTICS_KIT_DATA": _plain(data),
            "ANALYTICS_KIT_PROXIES": "1",
            "ANALYTICS_KIT_TOKEN": token,
        },
        "request_headers_override": {"Authorization": f"Bearer {token}"},
        "timeout": START_LIMIT_S,
        "launcher_entry": {
            "title": "Studies and jobs",
            "icon_path": str(Path(__file__).parent / "static" / "icon.svg"),
            "path_info": f"{NAME}{PREFIX}/",
            "category": "Notebook",  # in others JupyterLab shows no icon that comes by its URL
        },
    }


def _notebook_folder() -> str:
    """What Jupyter shows as its root, where this is asked by a Jupyter server."""
    root = getattr(Application.instance(), "root_dir", "") if Application.initialized() else ""
    return str(root or Path.cwd())


def _plain(text: str) -> str:
    """The text, in which braces are to be replaced by nothing."""
    return text.replace("{", "{{").replace("}", "}}")
