"""Progress as a bar in a terminal or a notebook cell."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from analytics_kit import model


class Bar:
    """Shows `model.Progress` for as long as the `with` block lasts."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._bars = Progress(
            TextColumn("{task.fields[name]}", markup=False),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}", style="progress.download"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )
        self._task = self._bars.add_task("queued", total=1.0, name=name, amount="")

    def show(self, progress: model.Progress, words: str | None = None) -> None:
        """Draw how far the work is; `words` stand for its phase."""
        done, total = progress.fraction * (progress.total or 0), progress.total
        amounts = [f"{decimal(int(done))}/{decimal(total)}"] if total else []
        if progress.rows:
            amounts.append(f"{progress.rows:,} rows")
        self._bars.update(
            self._task, description=words or progress.phase, completed=progress.fraction, amount=", ".join(amounts)
        )

    def say(self, words: str) -> None:
        """Print a line above the bar."""
        self._bars.console.print(words, markup=False, highlight=False)

    def __enter__(self) -> Bar:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.refresh()  # in a notebook, stop() leaves what was drawn last
        self._bars.stop()
