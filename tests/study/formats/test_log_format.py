"""The import path of LogFormat that was documented first works, and warns, until 1.0."""

import importlib

import pytest

from analytics_kit.study.formats import base, log_format


def test_log_format_from_the_former_path_warns_and_is_the_same_class():
    with pytest.warns(DeprecationWarning, match=r"import LogFormat from analytics_kit\.study\.formats\.base"):
        former = log_format.LogFormat
    assert former is base.LogFormat


def test_import_statement_of_the_former_path_warns():
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        exec("from analytics_kit.study.formats.log_format import LogFormat")  # noqa: S102


def test_importing_the_former_module_alone_does_not_warn(recwarn):
    importlib.reload(log_format)
    assert not recwarn.list


def test_other_name_of_the_former_module_is_an_attribute_error():
    with pytest.raises(AttributeError, match="LogFormats"):
        log_format.LogFormats  # noqa: B018
