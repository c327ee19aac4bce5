"""The runner: configures and verifies an environment's servers from inside the tenant's network.

boot.py starts it as root. It detaches at once, since cloud-init must not wait for it. It fetches its job
and the pushed commit from the pipeline, runs what kumoi.yaml says against the servers and posts log and
results. It needs only the standard library, and imports nothing of Kumoi's but its own folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

from kumoi.pipeline.runner import tools
from kumoi.pipeline.runner import verify as verifying
from kumoi.pipeline.runner.configure import configure
from kumoi.pipeline.runner.log import Log
from kumoi.pipeline.runner.mask import MASK
from kumoi.pipeline.runner.programs import HOME, TREE, Check, end_all, in_parallel
from kumoi.pipeline.runner.servers import Servers
from kumoi.pipeline.runner.verify import verify
from kumoi.pipeline.runner.wire import PipelineClient, Stopped

RESULT_MAX = 800_000
NEXT = "--next"
SPARE_BYTES = 1 << 20
FULL = "the runner's disk is full: give it a larger flavor (runner.flavor), or the repository less"


def main(argv: list[str], config: str) -> int:
    HOME.mkdir(parents=True, exist_ok=True, mode=0o700)
    if "--stay" not in argv:
        detach()
    facts: dict[str, str] = json.loads(config)
    pipeline = PipelineClient([facts["url"], *facts.get("others", "").split()], facts["ca"])
    try:
        claimed = pipeline.next() if NEXT in argv else pipeline.claim(facts["token"])
        while True:
            serve(claimed, pipeline)
            if not claimed["job"]["kept"]:
                verifying.SPEC.end()
                break
            claimed = pipeline.next()
    except Stopped as stopped:
        sys.stdout.write(f"stopped: {stopped}\n")
    return 0


def serve(claimed: dict[str, Any], pipeline: PipelineClient) -> None:
    """One job to its end. Where its run ends before, a kept environment's runner begins anew."""
    job = claimed["job"]

    def stop() -> None:
        end_all()
        verifying.SPEC.end()
        if not job["kept"]:
            os._exit(0)
        again = [sys.executable, sys.argv[0], "--stay", NEXT]
        os.execv(sys.executable, again)  # noqa: S606 - ourselves

    MASK.add(claimed["private_key"])
    given: dict[str, str] = claimed.get(
        "secrets", {}
    )  # None of a pipeline that does not know them.
    for secret in (*pipeline.secrets(), *given.values()):
        MASK.add(secret)
    log = Log(pipeline, stop)
    log.start()
    log.line(f"runner of run {job['run']}")
    try:
        work(claimed, pipeline, log)
        log.end()
    except Stopped:
        stop()


def detach() -> None:
    """Become a process of our own, since the caller waits for its child, and log to a file."""
    if os.fork():
        os._exit(0)
    os.setsid()
    out = os.open(HOME / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)


def work(claimed: dict[str, Any], pipeline: PipelineClient, log: Log) -> None:
    """The job's two stages. An error of the runner's own becomes the stage's result, too."""
    job: dict[str, Any] = claimed["job"]
    secrets: dict[str, str] = claimed.get("secrets", {})
    servers = Servers(job, log, secrets)
    stage = "configure"
    try:
        gone = [name for name in job.get("secrets", []) if name not in secrets]
        if gone:
            raise RuntimeError(f"there is no secret {gone[0]} any more")
        prepare(claimed["private_key"], pipeline)
        tools.ensure(job, log)
        verifying.prepare(job)
        servers.forget_others()
        servers.write_inventory()
        log.line(f"commit {job['commit'][:10]} fetched; waiting for the servers")
        began_s = time.monotonic()
        in_parallel(servers.await_ssh, job["servers"])
        log.line(f"all servers answer after {time.monotonic() - began_s:.1f} s")
        for stage, act in (("configure", configure), ("verify", verify)):
            began_s = time.monotonic()
            result = _result(stage, act(job, servers, log))
            took = f"{time.monotonic() - began_s:.1f} s"
            log.line(f"{stage} {'passed' if result['passed'] else 'failed'} in {took}")
            log.flush()
            pipeline.post("result", result)
            if not result["passed"]:
                return
    except Stopped:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost place: any error is reported
        is_full = shutil.disk_usage(HOME).free < SPARE_BYTES
        reason = FULL if is_full else str(error)
        log.line(f"{stage} failed: {reason}")
        log.flush()
        pipeline.post("result", _result(stage, [], reason))


def prepare(private_key: str, pipeline: PipelineClient) -> None:
    """The key and the sources, on this server's disk."""
    key = HOME / "key"
    key.touch(mode=0o600)
    key.write_text(private_key)
    (HOME / "tree.tar").write_bytes(pipeline.tree())
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir()
    subprocess.run(["tar", "-xf", HOME / "tree.tar", "-C", TREE], check=True)  # noqa: S607


def _result(stage: str, checks: list[Check], reason: str = "") -> dict[str, Any]:
    """A stage's result as it is posted; outputs are shortened when it would be too large."""
    passed = not reason and all(each["outcome"] != "failed" for each in checks)
    result: dict[str, Any] = MASK.deep(
        {"stage": stage, "passed": passed, "reason": reason, "checks": checks}
    )
    if len(json.dumps(result)) > RESULT_MAX:
        result["checks"] = [{**each, "output": each["output"][-200:]} for each in checks]
    return result
