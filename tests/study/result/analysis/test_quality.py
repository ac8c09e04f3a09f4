"""The table of quality: rows, losses, artefacts, gaps, thinning and missing files of each participant."""

import numpy as np
import pytest

from analytics_kit import EventFormat
from tests.study.make_study import folder, mouse, typed

KINDS = ["mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard"]
STEP_COLUMNS = ["step_median_s", "step_95_s", "gap_longest_s", "gap_share", "step_median_px", "short_step_share"]


def study():
    """Participant 1 has two trials with steps of 5, 5, 20, 65,515 px; participant 2 has keys only."""
    first, second = folder(1), folder(1, trial=2)
    return {
        f"{first}/Mouse Movement.csv": mouse((0, 0, 0), (0.02, 3, 4), (0.04, 6, 8), (3, 6, 8)) + "10:00:00,x,1,1\n",
        f"{first}/Mouse Clicks.csv": mouse((1, 5, 5), (1.1, 5, 5)),
        f"{second}/Mouse Movement.csv": mouse((0, 0, 20), (0.1, 20, 20), (0.3, 65535, 20)),
        f"{second}/Mouse Scrolls.csv": mouse((1, 5, 65535)),
        f"{folder(2)}/Keyboard Inputs.csv": typed((0.1, "a")) + "10:00:00,0.2\n",
    }


@pytest.fixture
def quality(process):
    return process(study()).quality().set_index("participant")


def test_rows_and_losses_are_counted_per_participant(quality):
    assert quality.index.tolist() == ["1", "2"]
    assert quality.trial_count.tolist() == [2, 1]
    rows = [f"{kind}_rows" for kind in [*KINDS, "mouse_unknown"]]
    assert quality.loc["1", rows].tolist() == [7, 2, 1, 0, 0]
    assert quality.loc["2", rows].tolist() == [0, 0, 0, 1, 0]
    assert quality.rows_dropped.tolist() == [1, 1]
    assert quality.artefact_rows.tolist() == [2, 0]


def test_steps_by_hand(quality):
    """Times 0.02, 0.02, 2.96, 0.1, 0.2; lengths 5, 5, 0, 20, 65515. None from trial to trial."""
    found = quality.loc["1"]
    assert found.step_median_s == pytest.approx(0.1)
    assert found.step_95_s == pytest.approx(np.quantile([0.02, 0.02, 2.96, 0.1, 0.2], 0.95))
    assert found.gap_longest_s == pytest.approx(2.96)
    assert found.gap_share == 0.4
    assert found.step_median_px == 5
    assert found.short_step_share == 0.6
    assert quality.loc["2", STEP_COLUMNS].isna().all()


def test_missing_share_is_the_fraction_of_trials_without_a_file(quality):
    missing = [f"{kind}_missing_share" for kind in KINDS]
    assert quality.loc["1", missing].tolist() == [0, 0.5, 0.5, 1]
    assert quality.loc["2", missing].tolist() == [1, 1, 1, 0]


def test_empty_file_is_not_missing(process):
    found = process({f"{folder()}/Mouse Movement.csv": mouse((0, 0, 0)), f"{folder()}/Keyboard Inputs.csv": typed()})
    table = found.quality().iloc[0]
    assert (table.keyboard_rows, table.keyboard_missing_share) == (0, 0)
    assert np.isnan(table.step_median_s)


def test_duplicate_files_count_once(process):
    """Of two with the same name the later counts; two files of a kind are no more than one."""
    first, second = folder(1), folder(1, trial=2)
    found = process([
        (f"{first}/Mouse Movement.csv", mouse((0, 0, 0), (1, 1, 1))),
        (f"{first}/Mouse Movement.csv", mouse((0, 0, 0))),
        (f"{first}/Keyboard Inputs.csv", typed((0.1, "a"))),
        (f"{first}/Keyboard Input.csv", typed((0.2, "a"))),
        (f"{second}/Mouse Movement.csv", mouse((0, 0, 0))),
    ])  # fmt: skip
    table = found.quality().iloc[0]
    assert table.mouse_movement_rows + table.rows_dropped == 4
    assert table.rows_dropped == found.issues.rows_dropped.sum() == 2
    assert (table.mouse_movement_missing_share, table.keyboard_missing_share) == (0, 0.5)


def test_gap_share_follows_the_option(process):
    assert process(study(), idle_gap_s=0.25).quality().gap_share[0] == 0.2


def test_counts_are_int64_and_other_columns_float64(quality):
    kinds = quality.dtypes.astype(str)
    counts = ["trial_count", "rows_dropped", "artefact_rows", *(n for n in quality.columns if n.endswith("_rows"))]
    assert set(kinds[counts]) == {"Int64"}
    assert set(kinds.drop(counts)) == {"float64"}


def test_quality_is_independent_of_the_cut_into_shards(studies):
    """Trials of a participant lie in several shards, and shards hold several participants."""
    members = {
        f"{folder(p, trial=k)}/Mouse Movement.csv": mouse(*((i * k / 10, p * i * i, k * i) for i in range(9)))
        for p in range(1, 6) for k in range(1, 4)
    }  # fmt: skip
    whole = studies.process(members).quality()
    for shard_bytes in (1, 500):
        assert studies.process(members, shard_bytes=shard_bytes).quality().equals(whole)
    alone = studies.process(members, participants=["4"]).quality()
    assert alone.iloc[0].equals(whole.iloc[3].rename(0))


def test_unnamed_participants_have_a_row(process):
    nobody = "UnknownSession_participant_session/Search_A_trial_1/Mouse Movement.csv"
    found = process({f"{folder(1)}/Mouse Movement.csv": mouse((0, 0, 0)), nobody: mouse((0, 0, 0), (1, 0, 11))})
    table = found.quality()
    assert table.participant.isna().tolist() == [False, True]
    assert table.mouse_movement_rows.tolist() == [1, 2]
    assert table.short_step_share.tolist()[1] == 0


def test_events_are_read_one_shard_at_a_time(process, studies, monkeypatch):
    """A participant is summarised before the next shard is read, if its last trial was in the previous one."""
    from analytics_kit.study.result.files import ResultFiles

    members = {f"{folder(p)}/Mouse Movement.csv": mouse((0, 0, 0), (1, p, 0)) for p in range(1, 5)}
    result = studies.process(members, shard_bytes=1)
    log = []
    events_by_shard = ResultFiles.events_by_shard

    def watched(self, kind, columns):
        for events in events_by_shard(self, kind, columns):
            log.append("read")
            yield events

    import analytics_kit.study.result.analysis.quality as module

    describe_steps = module._describe_steps
    monkeypatch.setattr(ResultFiles, "events_by_shard", watched)
    monkeypatch.setattr(
        module, "_describe_steps", lambda *arguments: log.append("summarise") or describe_steps(*arguments)
    )
    result.quality()
    assert log[-8:] == ["read", "summarise"] * 4


def test_log_with_several_kinds_and_trials_in_one_file(process):
    described = EventFormat(
        columns={"t": "t", "x": "x", "y": "y", "kind": "k", "participant": "who", "trial": "n"},
        kinds={"m": "mouse_movement", "c": "mouse_clicks"},
    )
    text = "t,x,y,k,who,n\n0,0,0,m,a,1\n1,3,4,m,a,1\n2,3,4,c,a,1\n0,0,0,m,a,2\nx,0,0,m,b,1\n0,1,1,m,b,1\n"
    quality = process({"all.csv": text}, format=described).quality().set_index("participant")
    assert quality.mouse_movement_rows.tolist() == [3, 1]
    assert quality.mouse_clicks_rows.tolist() == [1, 0]
    assert quality.step_median_px.tolist()[0] == 5
    assert quality.mouse_clicks_missing_share.tolist() == [0, 0]
    assert quality.keyboard_missing_share.tolist() == [1, 1]


def test_missing_share_is_nan_without_the_count_metric(process):
    quality = process(study(), metrics=["movement_count"]).quality()
    assert quality.mouse_movement_missing_share.tolist() == [0, 1]
    assert quality.keyboard_missing_share.isna().all()
