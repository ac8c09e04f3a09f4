"""Show progress as a bar in a terminal or a notebook cell."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from analytics_kit.model import Progress
from analytics_kit.visible_text import visible


class ProgressBar:
    """A bar that is drawn while its `with` block runs, on standard error unless a console is given.

    Examples
    --------
    >>> import io
    >>> console = Console(file=io.StringIO(), width=120)
    >>> with ProgressBar("study.zip", console) as bar:
    ...     bar.show(Progress("processing", 50, 100, fraction=0.5, rows=1500))
    >>> "50 bytes/100 bytes, 1,500 rows" in console.file.getvalue()
    True
    """

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._bars = RichProgress(
            TextColumn("{task.fields[name]}", markup=False),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}", style="progress.download"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )
        self._bar_id = self._bars.add_task("queued", total=1.0, name=visible(name), amount="")

    def show(self, progress: Progress, phase: str | None = None) -> None:
        """Draw the progress; `phase` replaces its phase."""
        done, total = progress.fraction * (progress.total or 0), progress.total
        amounts = [f"{decimal(int(done))}/{decimal(total)}"] if total else []
        if progress.rows:
            amounts.append(f"{progress.rows:,} rows")
        self._bars.update(
            self._bar_id,
            description=visible(phase or progress.phase),
            completed=progress.fraction,
            amount=", ".join(amounts),
        )

    def print_above(self, text: str) -> None:
        """Print a line above the bar."""
        self._bars.console.print(visible(text), markup=False, highlight=False)

    def __enter__(self) -> ProgressBar:
        self._bars.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.refresh()  # in a notebook, stop() leaves the last drawing, which may be outdated
        self._bars.stop()
