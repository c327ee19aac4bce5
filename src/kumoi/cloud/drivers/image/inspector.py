"""Who looks into images' files: a unit with a user of its own, which the API hands a descriptor.

Each file has a process of its own (engine/call_service.py), which reaches nothing but that descriptor: no
path, no network, no other process; with bounds on its memory and time.
"""

from __future__ import annotations

import importlib
import os
import resource
import socket
import sys

import msgspec

from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.drivers.image.inspector_client import InspectImage
from kumoi.hosts.units import launch, sandbox
from kumoi.hosts.units.confinement import UNIX, Confinement

CPU_S = 60
MEMORY_BYTES = 1 << 30


def prepare() -> None:
    """Once, before the first helper is forked: there helpers can read no library any more. An inspector whose API
    has had no image is smaller without it.
    """
    importlib.import_module("oslo_utils.imageutils.format_inspector")


def answer(content: bytes, descriptors: list[int], _connection: socket.socket) -> bytes:
    """The unit's part, in a process of its own."""
    hold()
    call = msgspec.json.decode(content, type=InspectImage)
    (handle,) = descriptors
    with os.fdopen(handle, "rb", buffering=0) as file:
        return msgspec.json.encode(inspect.check_file(file, call.disk_format, call.size))


def hold() -> None:
    """This process to what it was given, for good."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    confined = Confinement(user="", group="", families=(UNIX,), reads_tenants=True)
    launch.become(confined)
    sandbox.apply(confined, sys.executable)
