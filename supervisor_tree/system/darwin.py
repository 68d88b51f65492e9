"""Processes as libproc and sysctl show them on macOS. Written from the headers; not run where this was built."""

from __future__ import annotations

import ctypes
import struct

from supervisor_tree.system.means import Process, one_line

_PROC_PIDTBSDINFO = 3
_BSDINFO = struct.Struct("@IIIIIIIIIIII16s32sIIIIIiQQ")
_CTL_KERN = 1
_KERN_PROCARGS2 = 49
_ARGUMENTS_MAX = 1024 * 1024
_STATES = "?IRSTZ"

_library = ctypes.CDLL(None, use_errno=True)


def process(pid: int) -> Process | None:
    """``start`` in microseconds since the epoch, as the kernel noted it at the fork."""
    buffer = ctypes.create_string_buffer(_BSDINFO.size)
    got = _library.proc_pidinfo(pid, _PROC_PIDTBSDINFO, ctypes.c_uint64(0), buffer, _BSDINFO.size)
    if got != _BSDINFO.size:
        return None
    fields = _BSDINFO.unpack(buffer.raw)
    state = _STATES[fields[1]] if fields[1] < len(_STATES) else "?"
    name = fields[12].rstrip(b"\0").decode(errors="replace")
    return Process(pid, name, fields[4], fields[15], _library.getsid(pid), fields[20] * 1_000_000 + fields[21], state)


def processes() -> list[Process]:
    count = _library.proc_listallpids(None, 0)
    numbers = (ctypes.c_int * (count + 64))()
    count = _library.proc_listallpids(numbers, ctypes.sizeof(numbers))
    return [seen for pid in numbers[:count] if pid > 0 and (seen := process(pid)) is not None]


def _arguments(pid: int) -> tuple[list[bytes], list[bytes]] | None:
    """argv and environment: ``int argc | path | NULs | argv… | environment…``, each ended by NUL."""
    name = (ctypes.c_int * 3)(_CTL_KERN, _KERN_PROCARGS2, pid)
    buffer = ctypes.create_string_buffer(_ARGUMENTS_MAX)
    size = ctypes.c_size_t(_ARGUMENTS_MAX)
    if _library.sysctl(name, 3, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0 or size.value < 4:
        return None
    raw = buffer.raw[: size.value]
    (count,) = struct.unpack_from("@i", raw)
    rest = raw[4:]
    rest = rest[rest.find(b"\0") :].lstrip(b"\0")
    parts = rest.split(b"\0")
    return parts[:count], [each for each in parts[count:] if each]


def environment(pid: int) -> bytes | None:
    found = _arguments(pid)
    return None if found is None else b"\0".join(found[1])


def command(pid: int) -> str:
    found = _arguments(pid)
    return "" if found is None else one_line(b"\0".join(found[0]))


def boot_id() -> str:
    size = ctypes.c_size_t(64)
    buffer = ctypes.create_string_buffer(64)
    if _library.sysctlbyname(b"kern.bootsessionuuid", buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return ""
    return buffer.value.decode()


def pid_namespace() -> str:
    return ""
