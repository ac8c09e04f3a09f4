"""The first documented import path of LogFormat, which is deprecated."""

import pytest

from analytics_kit.study.formats import log_format
from analytics_kit.study.formats.base import LogFormat


def test_deprecated_path_gives_the_class_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"import LogFormat from analytics_kit\.study\.formats\.base"):
        assert log_format.LogFormat is LogFormat


def test_deprecated_path_has_no_other_names():
    with pytest.raises(AttributeError, match="Format"):
        log_format.Format  # noqa: B018
