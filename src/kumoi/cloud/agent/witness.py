"""Looks for another host that has lost its lease, when the control plane asks: does its underlay address
answer at all, and does our switch's tunnel to it work?
"""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

from kumoi.base import log, process
from kumoi.base.errors import KumoiError
from kumoi.cloud.hostapi.witness import DOWN, UNKNOWN, UP, Question, WitnessAnswer

PORTS = (22, 9)
"""Somebody may listen there or nobody: either is an answer."""
CONNECT_TIMEOUT_S = 1.0
SWITCH_TIMEOUT_S = 2


class Answering(Protocol):
    async def witness(self, answer: WitnessAnswer) -> None: ...


class WitnessStand:
    """`switch_remote` is where this host's switch is asked; empty where there is none."""

    def __init__(self, upstream: Answering, switch_remote: str) -> None:
        self._upstream = upstream
        self._switch_remote = switch_remote
        self._under_way: set[asyncio.Task[None]] = set()

    def hear(self, question: Question) -> None:
        """Answer it beside everything else."""
        task = asyncio.create_task(self._answer(question))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _answer(self, question: Question) -> None:
        reached, tunnel = await asyncio.gather(
            is_reached(question.address), asyncio.to_thread(self._tunnel, question.address)
        )
        answer = WitnessAnswer(host=question.host, reached=reached, tunnel=tunnel)
        try:
            await self._upstream.witness(answer)
        except KumoiError as error:  # It is asked again.
            log.failure("witness.not_heard", error)

    def _tunnel(self, address: str) -> str:
        if not self._switch_remote:
            return UNKNOWN
        ask = ["ovs-vsctl", f"--db={self._switch_remote}", f"--timeout={SWITCH_TIMEOUT_S}"]
        try:
            told = process.run(
                [*ask, "--format=json", "--columns=options,bfd_status", "list", "interface"]
            )
        except KumoiError as error:
            log.failure("tunnels.not_known", error)
            return UNKNOWN
        return tunnel_to(address, told.out)


async def is_reached(address: str) -> bool:
    """Whether anything is heard from it: somebody listens, or its kernel says that nobody does."""
    for port in PORTS:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(address, port)
        except ConnectionRefusedError:
            return True
        except OSError:
            continue
        writer.close()
        return True
    return False


def tunnel_to(address: str, told: str) -> str:
    """From what the switch's database says of its interfaces."""
    for options, status in json.loads(told)["data"]:
        if dict(options[1]).get("remote_ip") == address:
            state = dict(status[1]).get("state")
            return UNKNOWN if state is None else UP if state == "up" else DOWN
    return UNKNOWN
