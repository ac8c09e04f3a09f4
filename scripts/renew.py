"""Run all notebooks without a front end, in a home of their own, and save their outputs (`make notebooks`)."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def renew(path: Path) -> None:
    """Run one notebook and save it; when a cell fails, raise and leave the file unchanged."""
    book = nbformat.read(path, 4)
    NotebookClient(
        book, timeout=120, record_timing=False, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    for cell in book.cells:
        cell.metadata = {}
    book.metadata["language_info"] = {"name": "python"}  # without the version
    nbformat.write(book, path)


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
