"""Run all notebooks without a front end, in a temporary home folder, and save their outputs."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def renew(path: Path) -> None:
    """Run one notebook and save it; if a cell fails, raise and leave the file unchanged."""
    notebook = nbformat.read(path, 4)
    NotebookClient(
        notebook, timeout=120, record_timing=False, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata["language_info"] = {"name": "python"}  # without the version
    nbformat.write(notebook, path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"ANALYTICS_KIT_HOME": home, "IPYTHONDIR": f"{home}/ipython"}
        from analytics_kit.backends.embedded import backend as embedded
        from analytics_kit.settings import Settings

        try:
            for path in sorted(NOTEBOOKS.glob("*.ipynb")):
                renew(path)
        finally:
            embedded.stop(Settings.of())
