"""Remove a participant from all that a namespace keeps: results, uploads, and the records of jobs.

What can't be reached is listed: it is outside the store, of unknown owner, or in use by a job.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from analytics_kit.backends.base import RecordKeeper
from analytics_kit.backends.record import Record, RecordState, UnreadableRecord
from analytics_kit.errors import AnalyticsKitError, SettingsError, SourceNotFoundError, StoreError
from analytics_kit.model import ForgetReport
from analytics_kit.options import Options
from analytics_kit.redaction import Redactor
from analytics_kit.settings import Settings, without_secrets
from analytics_kit.study.archive.source import is_url, open_archive
from analytics_kit.study.result.removal import Removed, remove_participant
from analytics_kit.study.store import paths
from analytics_kit.study.store.store import Store, StoredFile
from analytics_kit.study.store.uploads import discard, is_upload, referenced_uploads, remove_references

ABANDONED_S = 24 * 3600.0
"""A folder without a result, to which nothing was written for this long before the newest file of the store."""
AGAIN = "forget the participant again when it has ended"


class Content(NamedTuple):
    """What a source holds of the participant: paths of their files; None where that can't be found out."""

    members: frozenset[str] | None
    is_there: bool = True

    @property
    def may_hold(self) -> bool:
        """Whether it holds data of the participant, for all that is known."""
        return self.is_there and self.members != frozenset()


def participant_name(participant: object) -> str:
    """Return the name of a participant as results have it. Raises SettingsError for what can't be one."""
    if isinstance(participant, bool) or not isinstance(participant, str | Integral) or not str(participant):
        raise SettingsError(
            f"A participant can't be {type(participant).__name__}.",
            hint='Give the name as in result.participants, such as "P07".',
        )
    return str(participant)


def forget(keeper: RecordKeeper, settings: Settings, participant: object) -> ForgetReport:
    """Remove a participant from what is kept for the settings' namespace. See `Client.forget`."""
    name = participant_name(participant)
    with keeper.forgetting():
        return _Withdrawal(keeper, settings, name).run()


class _Withdrawal:
    def __init__(self, keeper: RecordKeeper, settings: Settings, participant: str) -> None:
        self._keeper, self._settings, self._participant = keeper, settings, participant
        self._store = Store.of(settings)
        self._records = list(keeper.records())
        self._removed: list[Removed] = []
        self._unreached: list[str] = []
        self._uploads = 0

    def run(self) -> ForgetReport:
        self._remove_leftovers()
        self._remove_from_results()
        contents = self._contents()
        self._remove_uploads(contents)
        self._list_sources(contents)
        jobs = sum(self._amend(record, contents) for record in self._records if record.state.status.final)
        self._list_active(contents)
        if not (any(self._removed) or self._uploads or jobs or self._unreached):
            raise SettingsError(
                "Nothing that is kept for this namespace names such a participant.",
                hint="Give the name as in result.participants; upper and lower case differ.",
            )
        return ForgetReport(
            results=sum(map(bool, self._removed)),
            trials=sum(removed.trials for removed in self._removed),
            events=sum(removed.events for removed in self._removed),
            members=sum(removed.members for removed in self._removed),
            answers=sum(removed.answers for removed in self._removed),
            uploads=self._uploads,
            jobs=jobs,
            unreached=tuple(self._unreached),
        )

    def _remove_from_results(self) -> None:
        results = {
            (record.result["store"], record.result["prefix"]): (
                record.result.get("folder") or record.result["prefix"], f"the result of job {record.job_id}"
            )
            for record in self._records
            if record.result is not None and {"store", "prefix"} <= record.result.keys()
        }  # fmt: skip
        own, unknown = self._stored_results({folder for folder, _ in results.values()})
        results |= {(self._settings.store_url(), prefix): (folder, "a stored result") for prefix, folder in own}
        for (url, prefix), (folder, what) in results.items():
            try:
                self._removed.append(
                    remove_participant(Store.of(self._settings, url), prefix, folder, self._participant)
                )
            except StoreError as error:
                self._unreached.append(f"{what[0].upper()}{what[1:]}: {error.message} {error.hint}")
        if unknown:
            self._unreached.append(
                f"{unknown} folders of results of which it is not known whose they are: of an earlier version "
                "without a job here, or of work that was killed. They expire within 7 days."
            )

    def _stored_results(self, known: set[str]) -> tuple[list[tuple[str, str]], int]:
        """Return prefix and folder of results of this namespace without a job, and how many have no owner.

        `known` are the folders of results of jobs; those of jobs that have not ended are left out, too.
        """
        by_folder: defaultdict[str, list[StoredFile]] = defaultdict(list)
        for file in self._store.files(paths.RESULTS):
            parts = file.path.split("/")
            if len(parts) > 3 and paths.RESULT_KEY.fullmatch(parts[1]):
                by_folder["/".join(parts[:3])].append(file)
        own, unknown = [], 0
        newest = max((file.changed_at for files in by_folder.values() for file in files), default=0.0)
        active = {record.job_id for record in self._records if not record.state.status.final}
        for folder, files in by_folder.items():
            if folder in known or folder.rpartition("/")[2] in active:
                continue
            manifests = paths.result_manifests([file.path for file in files])
            if not manifests:  # other namespaces work here too; what was written lately may be theirs
                unknown += newest - max(file.changed_at for file in files) > ABANDONED_S
                continue
            last = max((file for file in files if file.path in manifests), key=lambda file: file.changed_at)
            prefix = last.path.rpartition("/")[0]
            if (manifest := self._store.manifest(prefix)) is None:
                continue
            if manifest.get("owner") == paths.owner_of(self._settings.namespace):
                own.append((prefix, folder))
            unknown += "owner" not in manifest
        return own, unknown

    def _remove_leftovers(self) -> None:
        """Remove what jobs without a result have left in the store, as their clean-up does."""
        for record in self._records:
            if record.state in (RecordState.FAILED, RecordState.CANCELLED) and "store" in record.arguments:
                with suppress(StoreError):
                    store = Store.of(self._settings, record.arguments["store"])
                    store.delete(paths.job_folder(record.result_key, record.job_id))

    def _contents(self) -> dict[str, Content]:
        """Return what each source of a job or an upload of this namespace holds of the participant."""
        options: dict[str, Mapping[str, Any]] = {
            f"{self._settings.store_url().rstrip('/')}/{path}": {}
            for path in referenced_uploads(self._store, self._settings.namespace)
        }
        for record in self._records:
            if source := record.arguments.get("source"):
                options[str(source)] = record.arguments.get("options", {})
        return {source: content_of(source, chosen, self._participant) for source, chosen in options.items()}

    def _remove_uploads(self, contents: dict[str, Content]) -> None:
        in_use = {record.arguments.get("source") for record in self._records if not record.state.status.final}
        for source, content in contents.items():
            if not self._is_upload(source) or not content.may_hold or source in in_use:
                continue
            if content.members is None:
                self._unreached.append(
                    f"The upload {PurePath(source).name}{self._jobs_of(source)}, which can't be read: "
                    "delete its jobs, and it goes with them."
                )
                continue
            try:
                discard(source)
                self._uploads += 1
            except StoreError as error:
                self._unreached.append(f"The upload {PurePath(source).name}: {error.message}")
        remove_references(self._store, self._settings.namespace)

    def _list_sources(self, contents: Mapping[str, Content]) -> None:
        for source, content in contents.items():
            if self._is_upload(source) or not content.may_hold:
                continue
            doubt = "still holds" if content.members else "may hold"
            self._unreached.append(
                f"The study {without_secrets(source)}{self._jobs_of(source)} is outside the store and {doubt} data "
                "of the participant: remove them there. Processing it anew (refresh=True, other options, an upgrade) "
                "would bring them back."
            )

    def _list_active(self, contents: Mapping[str, Content]) -> None:
        for record in self._records:
            if isinstance(record, UnreadableRecord):
                self._unreached.append(f"The record of job {record.job_id} can't be read: delete the job.")
                continue
            content = contents.get(record.arguments.get("source", ""))
            if not record.state.status.final and content is not None and content.may_hold:
                self._unreached.append(f"Job {record.job_id} is {record.state.status}: {AGAIN}.")

    def _amend(self, record: Record, contents: Mapping[str, Content]) -> bool:
        content = contents.get(record.arguments.get("source", ""))
        redactor = Redactor(self._participant, (content and content.members) or ())
        return self._keeper.amend(
            record.job_id, lambda present: self._edited(present, redactor, contents), redactor.line
        )

    def _edited(self, record: Record, redactor: Redactor, contents: Mapping[str, Content]) -> Record:
        source = record.arguments.get("source", "")
        content = contents.get(source)
        arguments = dict(record.arguments)
        if "options" in arguments:
            arguments["options"] = redactor.options(arguments["options"])
        if content is None or not content.is_there or (self._is_upload(source) and content.members):
            arguments["source"] = redactor.location(source)
        return replace(
            record,
            arguments=arguments if arguments != record.arguments else record.arguments,
            source=redactor.location(record.source),
            tags=redactor.tags(record.tags),
            error=redactor.failure(record.error),
            notice=redactor.text(record.notice),
            result=None if record.result is None else self._edited_result(record.result, redactor),
        )

    def _edited_result(self, result: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
        manifest = None
        with suppress(StoreError, KeyError):
            manifest = Store.of(self._settings, result["store"]).manifest(result["prefix"])
        if manifest is not None and "revision" in manifest:
            kept = {"summary": manifest["summary"], "preview": manifest.get("preview")}
            return {**result, **{name: value for name, value in kept.items() if name in result}}
        if "preview" in result:
            return {**result, "preview": redactor.preview(result["preview"])}
        return result

    def _is_upload(self, source: str) -> bool:
        return is_upload(self._settings.store_url(), source)

    def _jobs_of(self, source: str) -> str:
        ids = [record.job_id for record in self._records if record.arguments.get("source") == source]
        return f" ({'job' if len(ids) == 1 else 'jobs'} {', '.join(ids)})" if ids else ""


def content_of(source: str, options: Mapping[str, Any], participant: str) -> Content:
    """Return what a source holds of the participant, whichever trials the options choose."""
    from analytics_kit.study.pipeline.plan import members_of

    if not is_url(source) and not Path(source).exists():
        return Content(frozenset(), is_there=False)
    try:
        whole = Options.of(**{**options, "participants": None, "tasks": None, "factors": None, "on_error": "skip"})
        with open_archive(source, whole) as archive:
            return Content(members_of(archive, whole, participant))
    except SourceNotFoundError:
        return Content(frozenset(), is_there=False)
    except (AnalyticsKitError, OSError):
        return Content(None)
