"""A file system behind `faulty://`: local files whose reads fail as a test wants."""

import errno
import io
from contextlib import contextmanager
from pathlib import Path

import fsspec


class FaultyFiles(fsspec.AbstractFileSystem):
    """Local files. `fault(number)` is called before each read, from 0 on, and may raise."""

    protocol = "faulty"
    reads = 0

    def _open(self, path, mode="rb", **_):
        return FaultyFile(path, mode)

    @staticmethod
    def fault(number):
        """Raise nothing."""


class FaultyFile(io.FileIO):
    """A file whose reads may fail."""

    @property
    def size(self):
        return Path(self.name).stat().st_size

    def read(self, size=-1):
        number, FaultyFiles.reads = FaultyFiles.reads, FaultyFiles.reads + 1
        FaultyFiles.fault(number)
        return super().read(size)


@contextmanager
def faulty(fault=lambda number: None):
    """Register the file system, let `fault` spoil the reads in the block, and yield the class, which counts them."""
    fsspec.register_implementation("faulty", FaultyFiles, clobber=True)
    FaultyFiles.reads, FaultyFiles.fault = 0, staticmethod(fault)
    try:
        yield FaultyFiles
    finally:
        FaultyFiles.fault = staticmethod(lambda number: None)


def disk_error():
    """Return what a broken disk raises."""
    return OSError(errno.EIO, "Input/output error")
