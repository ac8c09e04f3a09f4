"""Steps whose workers never get ready."""

from tests.backends.sample_steps import *  # noqa: F403


def warm():
    raise RuntimeError("the kernels can't be compiled")
