"""The tree of errors: drawn where it is defined, each with a hint, rebuilt in another process."""

from analytics_kit import errors
from analytics_kit.errors import AnalyticsKitError, BadMemberError, JobFailedError, rebuild


def test_the_tree_of_errors_is_drawn_at_the_top_of_its_file():
    drawn = {word for word in errors.__doc__.split() if word.endswith("Error") and word != "FileNotFoundError"}
    classes = {name for name in vars(errors) if name.endswith("Error")}
    assert drawn == classes
    for name in drawn - {"AnalyticsKitError"}:
        assert "default_hint" in vars(getattr(errors, name)), f"{name} has no hint of its own"


def test_an_error_survives_the_way_to_another_process():
    error = rebuild("BadMemberError", "line 3 is bad", "mend it")
    assert type(error) is BadMemberError
    assert (error.message, error.hint) == ("line 3 is bad", "mend it")
    assert rebuild("KeyError", "x").message == "KeyError: x"


def test_an_error_of_another_module_is_rebuilt_as_a_failed_job():
    """Whether that module is loaded differs between processes, and its errors may take other arguments."""

    class ForeignError(AnalyticsKitError):
        def __init__(self):
            super().__init__("busy")

    error = rebuild(ForeignError.__name__, "busy", "wait")
    assert type(error) is JobFailedError
    assert (error.message, error.hint) == ("ForeignError: busy", "wait")
