"""The command line's verbs for jobs: `submit jobs result cancel retry delete`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from analytics_kit import job_text as words
from analytics_kit.cli.output import err, job_json, job_pairs, out, print_frame, print_json, print_pairs, print_result
from analytics_kit.cli.watch import interruptible, left_behind, name_of, watch
from analytics_kit.client import Client
from analytics_kit.errors import AnalyticsKitError, BrokerUnavailableError, SettingsError
from analytics_kit.futures import as_completed
from analytics_kit.job import Job
from analytics_kit.model import JobInfo, JobStatus
from analytics_kit.options import Options
from analytics_kit.settings import Settings

EXIT_FAILED, EXIT_CANCELLED = 1, 4
app = typer.Typer()


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
JobIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="The jobs.")]
All = Annotated[bool, typer.Option("--all", help="All jobs to which it can be done.")]
OfStatus = Annotated[JobStatus | None, typer.Option("--status", help="With --all: only jobs of this status.")]


@app.command()
def submit(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="ZIPs, folders or CSVs, by path or URL.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and show it.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="With --wait: at most so many seconds.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Work again even if it was done before.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find the job by.")] = None,
    time_limit: Annotated[float | None, typer.Option(metavar="SECONDS", help="A job that runs longer fails.")] = None,
    memory_limit: Annotated[
        float | None, typer.Option(metavar="MB", help="A job that needs more memory fails.")
    ] = None,
    options: Set = None,
    as_json: AsJson = False,
) -> None:
    """Queue studies and return at once."""
    if timeout is not None and not wait:
        raise SettingsError("--timeout says how long to --wait.", hint="Add --wait.")
    settings: dict[str, Any] = {"refresh": refresh, "tags": tag, **chosen(options)}
    settings |= {"time_limit_s": time_limit, "memory_limit_mb": memory_limit}
    with Client() as client:
        if len(sources) == 1:
            _submit_one(client.submit(sources[0], **settings), wait, timeout, as_json)
        else:
            _submit_many(client, sources, settings, wait, timeout, as_json)


def _submit_one(job: Job, wait: bool, timeout: float | None, as_json: bool) -> None:
    if not wait and job.backend != "local":  # there the work ends with this process
        print_json(job_json(job)) if as_json else out.print(job.id)
        return
    if not as_json:
        watch(job, timeout)
        print_result(job.result(), as_json)
        return
    with interruptible([job]):
        ended = job.wait(timeout)
    print_json(job_json(job))
    if not ended:
        raise TimeoutError(left_behind([job]))
    job.result()


def _submit_many(
    client: Client, sources: Sequence[str], settings: dict[str, Any], wait: bool, timeout: float | None, as_json: bool
) -> None:
    """A line for each: id and name, and when waiting its state once it has ended."""
    jobs: list[Job] = []
    waiting, refused = wait, False
    try:
        with interruptible(jobs):
            for source in sources:
                try:
                    jobs.append(job := client.submit(source, **settings))
                except SettingsError:  # it would be the same for all
                    raise
                except (AnalyticsKitError, OSError) as error:
                    refused = True
                    err.print(f"{source}: {error}", markup=False, highlight=False)
                    continue
                waiting = wait or job.backend == "local"
                if not as_json:
                    (err if waiting else out).print(
                        f"{job.id} {name_of(job.last_known)}", markup=False, highlight=False
                    )
            if waiting:
                _await_all(jobs, timeout, as_json)
    finally:
        if as_json:
            print_json([job_json(job) for job in jobs])
    states = [job.last_known.status for job in jobs]
    lost = waiting and not all(state.final for state in states)  # somebody deleted a job that was waited for
    if refused or lost or JobStatus.FAILED in states:
        raise typer.Exit(EXIT_FAILED)
    if JobStatus.CANCELLED in states:
        raise typer.Exit(EXIT_CANCELLED)


def _await_all(jobs: Sequence[Job], timeout: float | None, as_json: bool) -> None:
    for notice in dict.fromkeys(job.info().notice for job in jobs):
        if notice:
            err.print(notice, markup=False, highlight=False)
    try:
        for job in as_completed(jobs, timeout):
            if not as_json:
                out.print(f"{job.id} {words.text(job.snapshot())}", markup=False, highlight=False)
    except TimeoutError:
        raise TimeoutError(left_behind([job for job in jobs if not job.last_known.status.final])) from None


@app.command()
def jobs(
    job_id: Annotated[str | None, typer.Argument(help="Only this job, with all that is known.")] = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs of this status.")] = None,
    log: Annotated[bool, typer.Option("--log", help="Of one job: what happened to it (times are UTC).")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs, or tell all of one."""
    if log and job_id is None:
        raise SettingsError("--log is of one job.", hint="analytics-kit jobs ID --log")
    with _known() as client:
        if job_id is not None:
            _tell(client.get_job(job_id), log, as_json)
            return
        frame = client.jobs(status)
    if as_json:
        print_json(json.loads(frame.to_json(orient="records", date_format="iso")))
        return
    frame["source"] = [Path(source).name for source in frame["source"]]
    frame["fraction"] = [f"{fraction:.0%}" for fraction in frame["fraction"]]
    frame["created_at"] = frame["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    print_frame(frame[["job_id", "status", "phase", "fraction", "source", "created_at", "error_type"]])


def _tell(job: Job, log: bool, as_json: bool) -> None:
    if as_json:
        print_json(job_json(job) | ({"log": job.log().splitlines()} if log else {}))
    elif log:
        out.print(job.log(), markup=False, highlight=False)
    else:
        print_pairs(job_pairs(job))


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
    with _known() as client:
        job = client.get_job(job_id)
        if not job.done():
            raise SettingsError(
                f"Job {job_id} is {job.status}.", hint=f"analytics-kit jobs {job_id} shows its progress."
            )
        frame: pd.DataFrame = getattr(job.result(), table)
    was_told = file_format is not None
    if file_format is None:
        file_format = FileFormat.PARQUET if output and output.suffix == ".parquet" else FileFormat.CSV
    if file_format is FileFormat.PARQUET and output is None and sys.stdout.isatty():
        raise SettingsError("Parquet is no text for a terminal.", hint="Name a file with -o.")
    if output is not None and output.suffix.lower() not in ("", ".csv", ".parquet", ".txt") and not was_told:
        raise SettingsError(f"{output.name}: tables are written as CSV or Parquet.", hint="Name it .csv or .parquet.")
    target: Any = output if output is not None else sys.stdout.buffer
    frame.to_parquet(target, index=False) if file_format is FileFormat.PARQUET else frame.to_csv(target, index=False)
    if output is not None:
        out.print(f"{output}: {len(frame)} rows")


@app.command()
def cancel(job_ids: JobIds = None, every: All = False, status: OfStatus = None) -> None:
    """Cancel jobs that are queued or running."""

    def act(job: Job) -> str:
        if not job.cancel():
            raise SettingsError(f"Job {job.id} is {job.status}; it can't be cancelled any more.", hint="")
        return "cancelled"

    _each(act, job_ids, every, status, lambda info: not info.status.final)


@app.command()
def retry(job_ids: JobIds = None, every: All = False, status: OfStatus = None) -> None:
    """Do the work of failed or cancelled jobs again, each as a new job; --all leaves out what was retried before."""

    def act(job: Job) -> str:
        return f"retried as {job.retry().id}"

    _each(act, job_ids, every, status, lambda info: info.status in (JobStatus.FAILED, JobStatus.CANCELLED), once=True)


@app.command()
def delete(
    job_ids: JobIds = None,
    every: All = False,
    status: OfStatus = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: really all.")] = False,
) -> None:
    """Remove jobs and their results; jobs that have not ended are cancelled first."""
    if every and status is None and not yes:
        raise SettingsError("This would remove all jobs and results.", hint="Add --yes, or choose with --status.")

    def act(job: Job) -> str:
        job.delete()
        return "deleted"

    _each(act, job_ids, every, status, lambda info: True)


def _known() -> Client:
    """A client for jobs that there are: where a Redis is named they are there, and never in this process."""
    settings = Settings.of()
    named = settings.backend == "auto" and settings.broker_url() is not None
    return Client(backend="redis") if named else Client()


def _each(
    act: Callable[[Job], str],
    job_ids: Sequence[str] | None,
    every: bool,
    status: JobStatus | None,
    fits: Callable[[JobInfo], bool],
    once: bool = False,
) -> None:
    """Do it to each job, a line of outcome for each. What can't be done is told, and the others go on."""
    if every == bool(job_ids):
        raise SettingsError("Which jobs?", hint="Give ids, or --all; `analytics-kit jobs` lists them.")
    if status is not None and not every:
        raise SettingsError("--status chooses among --all.", hint="Add --all, or leave it out.")
    failed = False
    with _known() as client:
        chosen = list(dict.fromkeys(job_ids or ())) or _fitting(client, status, fits, once)
        if not chosen:
            err.print("There is no such job; nothing was done.")
        for job_id in chosen:
            try:
                out.print(f"{job_id} {act(client.get_job(job_id))}", markup=False, highlight=False)
            except BrokerUnavailableError:
                raise
            except (AnalyticsKitError, OSError) as error:
                failed = True
                err.print(str(error), markup=False, highlight=False)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _fitting(client: Client, status: JobStatus | None, fits: Callable[[JobInfo], bool], once: bool) -> list[str]:
    infos = client.backend.list()
    done = {info.retry_of for info in infos} if once else set()
    return [
        info.job_id
        for info in reversed(infos)
        if fits(info) and status in (None, info.status) and info.job_id not in done
    ]


def chosen(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Options from `name=value`; a value is JSON where it can be, else a word."""
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
