"""The command line: `analytics-kit demo sample process submit jobs result worker down doctor`."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.filesize import decimal

from analytics_kit import __version__
from analytics_kit.backends import crew, embedded
from analytics_kit.client import CODE, Client
from analytics_kit.doctor import examine
from analytics_kit.errors import AnalyticsKitError, JobCancelledError, SettingsError
from analytics_kit.job import Job
from analytics_kit.model import JobStatus, Options
from analytics_kit.notebook.bar import Bar
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.result import require_new
from analytics_kit.study.sample import sample_study
from analytics_kit.terminal import HEAD, err, job_json, out, print_frame, print_json, print_pairs, print_result

EXIT_FAILED, EXIT_USAGE, EXIT_TIMEOUT, EXIT_CANCELLED, EXIT_INTERRUPTED = 1, 2, 3, 4, 130
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="User-study interaction logs: submit a ZIP, get tables of trials and metrics.",
)  # fmt: skip


class TableName(StrEnum):
    """The tables of a result."""

    TRIALS = "trials"
    PARTICIPANTS = "participants"
    TASKS = "tasks"
    FACTORS = "factors"
    ISSUES = "issues"
    MEMBERS = "members"
    SURVEYS = "surveys"


class FileFormat(StrEnum):
    """How a table is written."""

    CSV = "csv"
    PARQUET = "parquet"


Set = Annotated[list[str] | None, typer.Option("--set", help="An option of the study, such as on_error=raise.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Source = Annotated[str, typer.Argument(help="Path or URL of a ZIP, a folder, or one CSV.")]


def _show_version(asked: bool) -> None:
    if asked:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Both options are dealt with elsewhere: `--version` at once, `--debug` in `main`."""


@app.command()
def demo(folder: Annotated[Path | None, typer.Option(help="Keep the sample study here.")] = None) -> None:
    """Make a sample study, process it on the queue, and show its first trials."""
    with tempfile.TemporaryDirectory() as scratch, Client() as client:
        # Of its own seed: what the notebook and the README submit is not joined to what is removed here.
        path = sample_study((folder or Path(scratch)) / "sample_study.zip", seed=1)
        out.print(f"A sample study of 8 participants: {path.name}, {decimal(path.stat().st_size)}")
        job = client.submit(path, refresh=True, tags=["demo"])
        out.print(f"Submitted as job {job.id} on the {job.backend} backend")
        _watch(job, None)
        out.print(f"Job {job.id} is {job.status}")
        print_frame(job.result().trials[list(HEAD)].head())


@app.command()
def sample(
    path: Annotated[Path, typer.Argument(help="The ZIP to write.")],
    participants: Annotated[int, typer.Option(help="Participants.")] = 8,
    trials: Annotated[int, typer.Option(help="Trials per participant, task and factor.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    trial_s: Annotated[float, typer.Option(help="Mean duration of a trial in seconds.")] = 20.0,
) -> None:
    """Write a realistic study ZIP to try things on."""
    written = sample_study(path, participants, trials, seed, trial_s=trial_s)
    out.print(f"{written}: {decimal(written.stat().st_size)}", markup=False)


@app.command()
def process(
    source: Source,
    save: Annotated[Path | None, typer.Option(help="Keep the result in this new folder.")] = None,
    options: Set = None,
    as_json: AsJson = False,
) -> None:
    """Process a study here and now, without a queue."""
    if save is not None:
        require_new(save)
    with Client() as client:
        result = client.process(source, progress=not as_json, **_options(options))
    if save is not None:
        result.save(save)
    print_result(result, as_json)


@app.command()
def submit(
    source: Source,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and show it.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="With --wait: at most so many seconds.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Work again even if it was done before.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find the job by.")] = None,
    options: Set = None,
    as_json: AsJson = False,
) -> None:
    """Queue a study and return at once."""
    if timeout is not None and not wait:
        raise SettingsError("--timeout says how long to --wait.", hint="Add --wait.")
    with Client() as client:
        job = client.submit(source, refresh=refresh, tags=tag, **_options(options))
        if job.backend == "local":
            wait = True  # the work ends with this process
        if not wait:
            print_json(job_json(job)) if as_json else out.print(job.id)
            return
        if not as_json:
            _watch(job, timeout)
        elif not job.wait(timeout):
            print_json(job_json(job))
            raise TimeoutError(_left(job))
        if as_json:
            print_json(job_json(job))
        result = job.result()
        if not as_json:
            print_result(result, as_json)


@app.command()
def jobs(
    job_id: Annotated[str | None, typer.Argument(help="Only this job, with all that is known.")] = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs of this status.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs, or tell all of one."""
    with Client() as client:
        if job_id is not None:
            found = job_json(client.get_job(job_id))
            print_json(found) if as_json else print_pairs(found)
            return
        frame = client.jobs(status)
    if as_json:
        print_json(json.loads(frame.to_json(orient="records", date_format="iso")))
        return
    frame["source"] = [Path(source).name for source in frame["source"]]
    frame["fraction"] = [f"{fraction:.0%}" for fraction in frame["fraction"]]
    frame["created_at"] = frame["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    print_frame(frame[["job_id", "status", "phase", "fraction", "source", "created_at", "error_type"]])


@app.command()
def result(
    job_id: Annotated[str, typer.Argument(help="The job.")],
    table: Annotated[TableName, typer.Option(help="Which table.")] = TableName.TRIALS,
    file_format: Annotated[
        FileFormat | None,
        typer.Option("--format", help="How to write it; if left out, by the ending of -o, else CSV."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to; standard output if left out.")
    ] = None,
) -> None:
    """Write a table of a completed job's result."""
    with Client() as client:
        job = client.get_job(job_id)
        if not job.done():
            raise SettingsError(
                f"Job {job_id} is {job.status}.", hint=f"analytics-kit jobs {job_id} shows its progress."
            )
        frame: pd.DataFrame = getattr(job.result(), table)
    if file_format is None:
        file_format = FileFormat.PARQUET if output and output.suffix == ".parquet" else FileFormat.CSV
    if file_format is FileFormat.PARQUET and output is None and sys.stdout.isatty():
        raise SettingsError("Parquet is no text for a terminal.", hint="Name a file with -o.")
    target: Any = output if output is not None else sys.stdout.buffer
    frame.to_parquet(target, index=False) if file_format is FileFormat.PARQUET else frame.to_csv(target, index=False)
    if output is not None:
        out.print(f"{output}: {len(frame)} rows")


@app.command("worker")
def start_worker(
    n: Annotated[int, typer.Option("-n", min=1, help="How many worker processes.")] = 1,
) -> None:
    """Run workers for the configured Redis, on this or any host that sees the store."""
    settings = Settings.of()
    if url := settings.broker_url():
        err.print(f"{n} worker(s) for {without_secrets(url)}; Ctrl-C lets running jobs finish.", markup=False)
    raise typer.Exit(crew.run_workers(settings, n, CODE))


@app.command()
def down() -> None:
    """End the embedded broker and its workers; jobs and results are kept."""
    ended = embedded.stop(Settings.of())
    out.print("The embedded broker is down." if ended else "No embedded broker was running.")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check broker, workers, store and versions, and say what to do."""
    findings = examine()
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            out.print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.found}", markup=False)
            if not finding.ok:
                out.print(f"     → {finding.advice}", markup=False)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _options(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Options from `name=value`; a value is JSON where it can be, else a word."""
    chosen: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(
                f"--set takes name=value, not {pair!r}.", hint=f"Options: {', '.join(Options.model_fields)}."
            )
        try:
            chosen[name] = json.loads(value)
        except json.JSONDecodeError:
            chosen[name] = value
    return chosen


def _watch(job: Job, timeout: float | None) -> None:
    """Show a live bar, and what has to be said of the job, until it ends. Raises TimeoutError."""
    said = ""
    try:
        with Bar(Path(job.info().source).name, err) as bar:
            for info in job.follow(timeout):
                if info.notice not in ("", said):
                    bar.say(said := info.notice)
                bar.show(info.progress, str(info.status) if info.status.final else info.progress.phase)
    except KeyboardInterrupt:
        err.print(f"Interrupted. {_left(job)}", markup=False, highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not job.done():
        raise TimeoutError(_left(job))


def _left(job: Job) -> str:
    """What becomes of a job that nobody waits for any more."""
    if job.backend == "local":
        return f"Job {job.id} ends with this process; nothing of it is kept."
    return f"Job {job.id} goes on; `analytics-kit jobs {job.id}` shows it."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: errors go to standard error without a traceback, unless `--debug` is given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal can't show is no reason to end
    warnings.showwarning = lambda message, *_, **__: err.print(f"Warning: {message}", markup=False, highlight=False)
    try:
        app([word for word in words if word != "--debug"])
    except TimeoutError as error:
        _leave(str(error), EXIT_TIMEOUT, debug)
    except JobCancelledError as error:
        _leave(str(error), EXIT_CANCELLED, debug)
    except SettingsError as error:
        _leave(str(error), EXIT_USAGE, debug)
    except AnalyticsKitError as error:
        _leave(f"{type(error).__name__}: {error}", EXIT_FAILED, debug)
    except BrokenPipeError:
        os._exit(EXIT_FAILED)  # whoever read has gone; closing standard output would complain
    except OSError as error:  # a file that can't be written where it was asked for
        _leave(str(error), EXIT_FAILED, debug)


def _leave(message: str, code: int, debug: bool) -> None:
    if debug:
        err.print_exception()
    err.print(message, markup=False, highlight=False)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
