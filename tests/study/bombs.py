"""Make ZIP bombs: small ZIPs that would inflate to a large size, built as their inventors describe them."""

import io
import struct
import zipfile
import zlib

from tests.study.make_study import zip_bytes

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")


def deflated(raw):
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(raw) + packer.flush()


def with_directory(body, entries):
    """Return a ZIP of local headers and data, with a directory of (name, packed, raw, crc, offset)."""
    listing = b"".join(
        _CENTRAL.pack(b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, packed, raw, len(name), 0, 0, 0, 0, 0, offset) + name
        for name, packed, raw, crc, offset in entries
    )
    count = len(entries)
    return body + listing + _END.pack(b"PK\5\6", 0, 0, count, count, len(listing), len(body), 0)


def local_header(name, packed, raw, crc=0):
    return _LOCAL.pack(b"PK\3\4", 20, 0, 8, 0, 0, crc, packed, raw, len(name), 0) + name


def quoted_overlap(files=250, kernel_bytes=19_500_000):
    """Return 42 kB that inflate to 4.9 GB: each file's data quotes the next header and goes on as its data."""
    names = [b"%d.csv" % i for i in range(files)]
    kernel = deflated(bytes(kernel_bytes))
    body, packed, raw = local_header(names[-1], len(kernel), kernel_bytes) + kernel, len(kernel), kernel_bytes
    entries = [(names[-1], packed, raw, len(body))]
    for name in names[-2::-1]:
        quoted = body[: _LOCAL.size + len(entries[-1][0])]
        quote = struct.pack("<BHH", 0, len(quoted), len(quoted) ^ 0xFFFF)
        packed, raw = packed + len(quote) + len(quoted), raw + len(quoted)
        body = local_header(name, packed, raw) + quote + body
        entries.append((name, packed, raw, len(body)))
    return with_directory(body, [(name, p, r, 0, len(body) - end) for name, p, r, end in reversed(entries)])


def full_overlap(files=600):
    """Return a ZIP whose entries all are the same file."""
    kernel = deflated(bytes(8_000_000))
    body = local_header(b"a.csv", len(kernel), 8_000_000) + kernel
    return with_directory(body, [(b"a.csv", len(kernel), 8_000_000, 0, 0)] * files)


def nested(sessions=30, raw_bytes=4_000_000):
    """Return a ZIP of ZIPs that are harmless alone."""
    return zip_bytes(
        {f"{i}.zip": zip_bytes({"A_B_trial_1/Mouse Movement.csv": bytes(raw_bytes)}) for i in range(sessions)}
    )


def deep(levels=20):
    """Return a ZIP in a ZIP in a ZIP …"""
    raw = zip_bytes({"a.csv": bytes(1_000_000)})
    for level in range(levels):
        raw = zip_bytes({f"{level}.zip": raw})
    return raw


def dense(raw_bytes):
    """Return a ZIP with one file of zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("1_participant_session/A_B_trial_1/Mouse Movement.csv", bytes(raw_bytes))
    return buffer.getvalue()
