"""The commands for jobs: `submit`, `jobs`, `result`, `cancel`, `retry`, `delete` and `forget`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import fsspec
import pandas as pd
import typer

from analytics_kit import job_text
from analytics_kit.cli.exit_codes import ExitCode
from analytics_kit.cli.output import err, job_json, job_pairs, out, print_frame, print_json, print_pairs, print_result
from analytics_kit.cli.watch import interruptible, unfinished_note, watch
from analytics_kit.client import Client
from analytics_kit.errors import AnalyticsKitError, BrokerUnavailableError, SettingsError
from analytics_kit.futures import as_completed
from analytics_kit.job import Job
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.options import Options
from analytics_kit.settings import Settings, user_path
from analytics_kit.table_export import FileFormat, FrameName, csv_chunks, parquet_chunks, row_chunks
from analytics_kit.visible_text import visible

app = typer.Typer()

OptionPairs = Annotated[list[str] | None, typer.Option("--set", help="A processing option, such as on_error=raise.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
SourceArgument = Annotated[str, typer.Argument(help="Path or URL of a ZIP, a folder, or one CSV.")]
JobIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="The jobs.")]
AllFlag = Annotated[bool, typer.Option("--all", help="All jobs that the command applies to.")]
StatusFilter = Annotated[JobStatus | None, typer.Option("--status", help="With --all: only jobs of this status.")]


@app.command()
def submit(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="ZIPs, folders or CSVs, by path or URL.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the outcome.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="With --wait: at most this many seconds.")] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Process the study again if it was processed before.")
    ] = False,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find the job by.")] = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="The job fails if it runs longer.")
    ] = None,
    memory_limit: Annotated[
        float | None, typer.Option(metavar="MB", help="The job fails if it needs more memory.")
    ] = None,
    options: OptionPairs = None,
    as_json: JsonFlag = False,
) -> None:
    """Queue studies and return at once."""
    if timeout is not None and not wait:
        raise SettingsError("--timeout sets how long to --wait.", hint="Add --wait.")
    settings: dict[str, Any] = {"refresh": refresh, "tags": tag, **parse_options(options)}
    settings |= {"time_limit_s": time_limit, "memory_limit_mb": memory_limit}
    with Client() as client:
        if len(sources) == 1:
            _submit_one(client.submit(sources[0], **settings), wait, timeout, as_json)
        else:
            _submit_many(client, sources, settings, wait, timeout, as_json)


def _submit_one(job: Job, wait: bool, timeout: float | None, as_json: bool) -> None:
    if not wait and job.backend != "local":  # a local job ends with this process
        print_json(job_json(job)) if as_json else out.print(job.id)
        return
    if not as_json:
        watch(job, timeout)
        print_result(job.result(), as_json)
        return
    with interruptible([job]):
        has_ended = job.wait(timeout)
    print_json(job_json(job))
    if not has_ended:
        raise TimeoutError(unfinished_note([job]))
    job.result()


def _submit_many(
    client: Client, sources: Sequence[str], settings: dict[str, Any], wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Print id and name of each job, and if waiting its outcome once it has ended."""
    jobs: list[Job] = []
    waiting, any_refused = wait, False
    try:
        with interruptible(jobs):
            for source in sources:
                try:
                    jobs.append(job := client.submit(source, **settings))
                except SettingsError:  # every other source would raise it, too
                    raise
                except (AnalyticsKitError, OSError) as error:
                    any_refused = True
                    err.print(f"{visible(source)}: {error}", markup=False, highlight=False)
                    continue
                waiting = wait or job.backend == "local"
                if not as_json:
                    console = err if waiting else out
                    console.print(f"{job.id} {job_text.name(job.last_known)}", markup=False, highlight=False)
            if waiting:
                _await_all(jobs, timeout, as_json)
    finally:
        if as_json:
            print_json([job_json(job) for job in jobs])
    statuses = [job.last_known.status for job in jobs]
    any_deleted = waiting and not all(status.final for status in statuses)  # while it was waited for
    if any_refused or any_deleted or JobStatus.FAILED in statuses:
        raise typer.Exit(ExitCode.FAILED)
    if JobStatus.CANCELLED in statuses:
        raise typer.Exit(ExitCode.CANCELLED)


def _await_all(jobs: Sequence[Job], timeout: float | None, as_json: bool) -> None:
    for notice in dict.fromkeys(job.info().notice for job in jobs):
        if notice:
            err.print(visible(notice), markup=False, highlight=False)
    try:
        for job in as_completed(jobs, timeout):
            if not as_json:
                out.print(f"{job.id} {job_text.text(job.snapshot())}", markup=False, highlight=False)
    except TimeoutError:
        raise TimeoutError(unfinished_note([job for job in jobs if not job.last_known.status.final])) from None


@app.command()
def jobs(
    job_id: Annotated[str | None, typer.Argument(help="Only this job, with all details.")] = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs of this status.")] = None,
    log: Annotated[bool, typer.Option("--log", help="Print the log of one job (times are UTC).")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the jobs, or print the details of one."""
    if log and job_id is None:
        raise SettingsError("--log needs the id of one job.", hint="analytics-kit jobs ID --log")
    with _queue_client() as client:
        if job_id is not None:
            _print_job(client.get_job(job_id), log, as_json)
            return
        frame = client.jobs(status)
    if as_json:
        print_json(json.loads(frame.to_json(orient="records", date_format="iso")))
        return
    frame["source"] = [Path(source).name for source in frame["source"]]
    frame["fraction"] = [f"{fraction:.0%}" for fraction in frame["fraction"]]
    frame["created_at"] = frame["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    print_frame(frame[["job_id", "status", "phase", "fraction", "source", "created_at", "error_type"]])


def _print_job(job: Job, log: bool, as_json: bool) -> None:
    if as_json:
        print_json(job_json(job) | ({"log": job.log().splitlines()} if log else {}))
    elif log:
        out.print(job.log(), markup=False, highlight=False)
    else:
        print_pairs(job_pairs(job))


@app.command()
def result(
    job_id: Annotated[str, typer.Argument(help="The job.")],
    table: Annotated[FrameName, typer.Option(help="Which table.")] = "trials",
    file_format: Annotated[
        FileFormat | None,
        typer.Option("--format", help="The file format; by default from the extension of -o, else CSV."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write; standard output if left out.")
    ] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Write texts of a CSV as they were logged, also formulas and control characters."),
    ] = False,
) -> None:
    """Write a table of a completed job's result."""
    with _queue_client() as client:
        job = client.get_job(job_id)
        if not job.done():
            raise SettingsError(
                f"Job {job_id} is {job.status}.", hint=f"analytics-kit jobs {job_id} shows its progress."
            )
        frame: pd.DataFrame = getattr(job.result(), table)
    extension = "" if output is None else output.suffix.lower()
    if file_format is None:
        if extension not in ("", ".csv", ".parquet", ".txt"):
            raise SettingsError(
                f"{output}: tables are written as CSV or Parquet.", hint="Name it .csv or .parquet, or give --format."
            )
        file_format = "parquet" if extension == ".parquet" else "csv"
    if file_format == "parquet" and output is None and sys.stdout.isatty():
        raise SettingsError("Parquet is binary and can't be printed in a terminal.", hint="Name a file with -o.")
    is_csv = file_format == "csv"
    chunks = csv_chunks(row_chunks(frame), as_logged=raw) if is_csv else parquet_chunks([frame])
    if output is None:
        sys.stdout.buffer.writelines(chunks)
        return
    local = fsspec.filesystem("file")  # unlike fsspec.open, it takes :: and * in a name as they are
    with local.open(str(user_path(output).absolute()), "wb", compression="infer" if is_csv else None) as file:
        file.writelines(chunks)  # a CSV is compressed by its extension, as in --format csv -o table.csv.gz
    out.print(f"{output}: {len(frame)} rows")


@app.command()
def cancel(job_ids: JobIds = None, every: AllFlag = False, status: StatusFilter = None) -> None:
    """Cancel jobs that are queued or running."""

    def action(job: Job) -> str:
        if not job.cancel():
            raise SettingsError(f"Job {job.id} is {job.status}; it can't be cancelled any more.", hint="")
        return "cancelled"

    _apply_to_jobs(action, job_ids, every, status, lambda info: not info.status.final)


@app.command()
def retry(job_ids: JobIds = None, every: AllFlag = False, status: StatusFilter = None) -> None:
    """Submit the work of failed or cancelled jobs again as new jobs; --all skips jobs that were retried before."""

    def action(job: Job) -> str:
        return f"retried as {job.retry().id}"

    def is_retriable(info: JobInfo) -> bool:
        return info.status in (JobStatus.FAILED, JobStatus.CANCELLED)

    _apply_to_jobs(action, job_ids, every, status, is_retriable, skip_retried=True)


@app.command()
def delete(
    job_ids: JobIds = None,
    every: AllFlag = False,
    status: StatusFilter = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: confirm the removal of all jobs.")] = False,
) -> None:
    """Remove jobs and their results; unfinished jobs are cancelled first."""
    if every and status is None and not yes:
        raise SettingsError("This would remove all jobs and results.", hint="Add --yes, or choose with --status.")

    def action(job: Job) -> str:
        job.delete()
        return "deleted"

    _apply_to_jobs(action, job_ids, every, status, lambda info: True)


@app.command()
def forget(
    participant: Annotated[str, typer.Argument(help="The name, as the table of participants has it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove a participant from all results, uploads and jobs; what can't be reached is listed."""
    if not yes:
        if not sys.stdin.isatty():
            raise SettingsError("This would remove the participant for good.", hint="Add --yes.")
        typer.confirm("Remove the participant from all that is kept for this namespace?", abort=True, err=True)
    with _queue_client() as client:
        report = client.forget(participant)
    counts = {field.name: getattr(report, field.name) for field in fields(report)}
    if as_json:
        print_json(counts | {"is_complete": report.is_complete})
    else:
        unreached = counts.pop("unreached")
        print_pairs({name: f"{count:,}" for name, count in counts.items()})
        for line in unreached:
            err.print(f"Not reached: {line}", markup=False, highlight=False)
    if not report.is_complete:
        raise typer.Exit(ExitCode.FAILED)


def _queue_client() -> Client:
    """Return a client for existing jobs: if a Redis is configured, they are there and never in this process."""
    settings = Settings.of()
    has_redis = settings.backend == "auto" and settings.broker_url() is not None
    return Client(backend="redis") if has_redis else Client()


def _apply_to_jobs(
    action: Callable[[Job], str],
    job_ids: Sequence[str] | None,
    every: bool,
    status: JobStatus | None,
    is_applicable: Callable[[JobInfo], bool],
    skip_retried: bool = False,
) -> None:
    """Apply the action to each job and print its outcome; report what fails and go on with the other jobs."""
    if every == bool(job_ids):
        raise SettingsError("Which jobs?", hint="Give ids, or --all; `analytics-kit jobs` lists them.")
    if status is not None and not every:
        raise SettingsError("--status chooses among --all.", hint="Add --all, or leave it out.")
    any_failed = False
    with _queue_client() as client:
        chosen_ids = list(dict.fromkeys(job_ids or ())) or _applicable_ids(
            client, status, is_applicable, skip_retried
        )
        if not chosen_ids:
            err.print("There is no such job; nothing was done.")
        for job_id in chosen_ids:
            try:
                out.print(f"{job_id} {action(client.get_job(job_id))}", markup=False, highlight=False)
            except BrokerUnavailableError:
                raise
            except (AnalyticsKitError, OSError) as error:
                any_failed = True
                err.print(str(error), markup=False, highlight=False)
    if any_failed:
        raise typer.Exit(ExitCode.FAILED)


def _applicable_ids(
    client: Client, status: JobStatus | None, is_applicable: Callable[[JobInfo], bool], skip_retried: bool
) -> list[str]:
    infos = client.backend.list()
    retried = {info.retry_of for info in infos} if skip_retried else set()
    return [
        info.job_id
        for info in reversed(infos)
        if is_applicable(info) and status in (None, info.status) and info.job_id not in retried
    ]


def parse_options(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Return the options in `name=value` pairs; a value is parsed as JSON where possible, otherwise kept as text.

    Examples
    --------
    >>> parse_options(["participants=2", "on_error=raise"])
    {'participants': 2, 'on_error': 'raise'}
    """
    options: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(
                f"--set takes name=value, not {pair!r}.", hint=f"Options: {', '.join(Options.model_fields)}."
            )
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options
