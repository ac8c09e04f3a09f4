"""The command line `analytics-kit`: its commands, except those for jobs, and how it reports errors."""

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
from analytics_kit.backends.worker import pool as worker_pool
from analytics_kit.cli import jobs
from analytics_kit.cli.doctor import examine
from analytics_kit.cli.exit_codes import ExitCode
from analytics_kit.cli.jobs import JsonFlag, OptionPairs, SourceArgument, parse_options
from analytics_kit.cli.output import HEAD_COLUMNS, err, out, print_frame, print_json, print_result
from analytics_kit.cli.watch import watch
from analytics_kit.client import WORKER_TASKS, Client
from analytics_kit.errors import AnalyticsKitError, JobCancelledError, SettingsError
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.result.result import require_new_folder
from analytics_kit.study.sample.study import sample_study

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="User-study interaction logs: submit a ZIP, get tables of trials and metrics.",
)  # fmt: skip


def _print_version(is_given: bool) -> None:
    if is_given:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Declare the options of all commands; a callback handles `--version`, `main` handles `--debug`."""


@app.command()
def demo(folder: Annotated[Path | None, typer.Option(help="Keep the sample study in this folder.")] = None) -> None:
    """Make a sample study, process it on the queue, and print its first trials."""
    with tempfile.TemporaryDirectory() as scratch, Client() as client:
        # A seed of its own: no job of the notebook's or README's study may depend on a file that is removed here.
        path = sample_study((folder or Path(scratch)) / "sample_study.zip", seed=1)
        out.print(f"A sample study of 8 participants: {path.name}, {decimal(path.stat().st_size)}")
        job = client.submit(path, refresh=True, tags=["demo"])
        out.print(f"Submitted as job {job.id} on the {job.backend} backend")
        watch(job, None)
        out.print(f"Job {job.id} is {job.status}")
        print_frame(job.result().trials[list(HEAD_COLUMNS)].head())


@app.command()
def sample(
    path: Annotated[Path, typer.Argument(help="The ZIP to write.")],
    participants: Annotated[int, typer.Option(help="Participants.")] = 8,
    trials: Annotated[int, typer.Option(help="Trials per participant, task and factor.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    trial_s: Annotated[float, typer.Option(help="Mean duration of a trial in seconds.")] = 20.0,
) -> None:
    """Write a realistic study ZIP to experiment with."""
    written = sample_study(path, participants, trials, seed, trial_s=trial_s)
    out.print(f"{written}: {decimal(written.stat().st_size)}", markup=False)


@app.command()
def process(
    source: SourceArgument,
    save: Annotated[str | None, typer.Option(help="Save the result in this new folder, a path or URL.")] = None,
    options: OptionPairs = None,
    as_json: JsonFlag = False,
) -> None:
    """Process a study in this process, without a queue."""
    if save is not None:
        require_new_folder(save)
    with Client() as client:
        result = client.process(source, progress=not as_json, **parse_options(options))
    if save is not None:
        result.save(save)
    print_result(result, as_json)


app.add_typer(jobs.app)


@app.command("worker")
def start_worker(
    n: Annotated[int, typer.Option("-n", min=1, help="Number of worker processes.")] = 1,
) -> None:
    """Run workers for the configured Redis, on any host that can reach it and the store."""
    settings = Settings.of()
    if url := settings.broker_url():
        err.print(
            f"{n} worker(s) for {without_secrets(url)}; Ctrl-C ends each one after its present step.",
            markup=False,
        )
    raise typer.Exit(worker_pool.run_workers(settings, n, WORKER_TASKS))


@app.command()
def serve(
    data: Annotated[str | None, typer.Option(help="Folder or URL of studies: <id>.zip, <id>_study_id/.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8765,
    token_file: Annotated[Path | None, typer.Option(help="Lines TOKEN or NAMESPACE: TOKEN.")] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Require no token; only for addresses of this machine.")
    ] = False,
) -> None:
    """Serve the HTTP API until Ctrl-C or SIGTERM."""
    try:
        from analytics_kit.web import server  # needs the extra "server"
    except ImportError as error:
        raise SettingsError(f"{error.name} is missing.", hint="pip install 'analytics_kit[server]'") from error
    settings, is_generated = server.load_settings(data, token_file, no_token, host)
    server.serve(settings, host, port, show_token=is_generated)


@app.command()
def down(
    every: Annotated[bool, typer.Option("--all", help="Stop those of all homes, such as of tests, too.")] = False,
) -> None:
    """Stop the embedded broker and its workers; jobs and results are kept."""
    count = embedded.stop_all() if every else int(embedded.stop(Settings.of()))
    if count > 1:
        out.print(f"{count} embedded brokers are down.")
    else:
        out.print("The embedded broker is down." if count else "No embedded broker was running.")


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Check broker, workers, store and versions, and advise what to do."""
    findings = examine()
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            out.print(f"{finding.level:<4} {finding.what}: {finding.found}", markup=False)
            if finding.level != "ok":
                out.print(f"     → {finding.advice}", markup=False)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors go to standard error, without a traceback unless `--debug` is given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal can't encode must not end the command
    warnings.showwarning = lambda message, *_, **__: err.print(f"Warning: {message}", markup=False, highlight=False)
    try:
        app([argument for argument in given if argument != "--debug"])
    except TimeoutError as error:
        _exit_with(str(error), ExitCode.TIMEOUT, debug)
    except JobCancelledError as error:
        _exit_with(str(error), ExitCode.CANCELLED, debug)
    except SettingsError as error:
        _exit_with(str(error), ExitCode.USAGE, debug)
    except AnalyticsKitError as error:
        _exit_with(f"{type(error).__name__}: {error}", ExitCode.FAILED, debug)
    except BrokenPipeError:
        os._exit(ExitCode.FAILED)  # the reader is gone; flushing standard output on the way out would fail, too
    except OSError as error:  # such as a file that can't be written
        _exit_with(str(error), ExitCode.FAILED, debug)


def _exit_with(message: str, code: ExitCode, debug: bool) -> None:
    if debug:
        err.print_exception()
    err.print(message, markup=False, highlight=False)
    raise SystemExit(int(code))
