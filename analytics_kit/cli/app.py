"""The command line: `analytics-kit`. What it does with jobs is in `cli_jobs`."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from analytics_kit import __version__
from analytics_kit.backends.embedded import backend as embedded
from analytics_kit.backends.worker import crew
from analytics_kit.cli import jobs as cli_jobs
from analytics_kit.cli.doctor import examine
from analytics_kit.cli.jobs import EXIT_FAILED, AsJson, Set, Source, chosen
from analytics_kit.cli.output import HEAD, err, out, print_frame, print_json, print_result
from analytics_kit.cli.watch import watch
from analytics_kit.client import CODE, Client
from analytics_kit.errors import AnalyticsKitError, JobCancelledError, SettingsError
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.result.result import require_new
from analytics_kit.study.sample.study import sample_study

EXIT_USAGE, EXIT_TIMEOUT, EXIT_CANCELLED = 2, 3, cli_jobs.EXIT_CANCELLED
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="User-study interaction logs: submit a ZIP, get tables of trials and metrics.",
)  # fmt: skip


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
        watch(job, None)
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
        result = client.process(source, progress=not as_json, **chosen(options))
    if save is not None:
        result.save(save)
    print_result(result, as_json)


app.add_typer(cli_jobs.app)


@app.command("worker")
def start_worker(
    n: Annotated[int, typer.Option("-n", min=1, help="How many worker processes.")] = 1,
) -> None:
    """Run workers for the configured Redis, on this or any host that sees the store."""
    settings = Settings.of()
    if url := settings.broker_url():
        err.print(
            f"{n} worker(s) for {without_secrets(url)}; Ctrl-C ends them when each has finished the part it is at.",
            markup=False,
        )
    raise typer.Exit(crew.run_workers(settings, n, CODE))


@app.command()
def serve(
    data: Annotated[str | None, typer.Option(help="Folder or URL of studies: <id>.zip, <id>_study_id/.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8765,
    token_file: Annotated[Path | None, typer.Option(help="Lines TOKEN or NAMESPACE: TOKEN.")] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Ask for none; this machine only.")] = False,
) -> None:
    """Serve the HTTP API, until Ctrl-C or SIGTERM."""
    try:
        from analytics_kit.web import server as server  # needs more than the rest
    except ImportError as error:
        raise SettingsError(f"{error.name} is missing.", hint="pip install 'analytics_kit[server]'") from error
    settings, is_generated = server.load_settings(data, token_file, no_token, host)
    server.serve(settings, host, port, show_token=is_generated)


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
