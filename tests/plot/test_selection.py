"""The selection of events and trials."""

from analytics_kit.plot import selection
from analytics_kit.study.schema import columns


def test_identity_columns_are_those_of_the_tables():
    assert selection.IDENTITY_COLUMNS == columns.TRIAL_COLUMNS
