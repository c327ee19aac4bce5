#!/usr/bin/env python3
"""The runner: configures and verifies an environment's servers from inside the tenant's network.

One file that needs only the standard library, delivered as a server's user data and run as root by
cloud-init; script.py fills in CONFIG. It detaches at once, since cloud-init must not wait for it,
and does nothing at a second start, since its token has been claimed. It fetches its job and the
pushed commit from the pipeline, copies the commit to the servers, runs what kumoi.yaml says and
posts log and results. It repeats every post until it is accepted: the pipeline may be down in
between.

It starts programs itself, which elsewhere only base/process.py does: it is not part of our
processes.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shlex
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CONFIG: dict[str, str] = {}

USER = "debian"
HOME = Path(os.environ.get("KUMOI_RUNNER_HOME", "/var/lib/kumoi-runner"))
REMOTE = "kumoi-source"
POST_DEADLINE_S = 900.0
SSH_DEADLINE_S = 150.0
STEP_TIMEOUT_S = 1_800.0
HTTP_WITHIN_S = 15.0
HTTP_BODY_MAX = 1 << 20
FLUSH_EVERY_S = 0.5
ALIVE_EVERY_S = 10.0
BATCH_MAX = 65_536
BUFFER_MAX = 4 << 20
OUTPUT_MAX = 8_000
RESULT_MAX = 800_000
PARALLEL_MAX = 16
UNAUTHORIZED, CONFLICT, SERVER_ERROR = 401, 409, 500

# Serverspec's target, loaded before any file of the user's.
TARGET = """
require "serverspec"
set :backend, :ssh
set :host, ENV.fetch("TARGET_HOST")
set :ssh_options, user: ENV.fetch("TARGET_USER"), keys: [ENV.fetch("TARGET_KEY")], keys_only: true,
    config: false, non_interactive: true, timeout: 15, verify_host_key: :accept_new,
    user_known_hosts_file: ENV.fetch("TARGET_KNOWN_HOSTS"), global_known_hosts_file: "/dev/null"
"""

Check = dict[str, Any]


class Stopped(Exception):
    """The pipeline accepts nothing more from this runner: its run has ended."""


class PipelineClient:
    """The runner's calls of the pipeline's API."""

    def __init__(self, url: str, ca: str) -> None:
        self._url = url
        self._tls = ssl.create_default_context(cadata=ca)
        self._session = secrets.token_urlsafe(32)

    def claim(self, token: str) -> dict[str, Any]:
        """The job. It may not be ready: this server may have started before the others."""
        answer = self._call("POST", "claim", {"session": self._session}, token)
        job: dict[str, Any] = json.loads(answer)
        return job

    def post(self, path: str, body: dict[str, Any]) -> None:
        self._call("POST", path, body, self._session)

    def tree(self) -> bytes:
        return self._call("GET", "tree", None, self._session)

    def _call(self, method: str, path: str, body: dict[str, Any] | None, token: str) -> bytes:
        """Repeats the call until it is answered, refused, or POST_DEADLINE_S is over."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        deadline_s = time.monotonic() + POST_DEADLINE_S
        pause_s = 0.1
        while True:
            request = urllib.request.Request(  # noqa: S310 - the URL is our pipeline's
                f"{self._url}/runner/v1/{path}", data, headers, method=method
            )
            try:
                with urllib.request.urlopen(request, timeout=30, context=self._tls) as response:  # noqa: S310
                    answer: bytes = response.read()
                    return answer
            except urllib.error.HTTPError as error:
                text = error.read().decode(errors="replace")
                if error.code == UNAUTHORIZED or "runner.claimed" in text:
                    raise Stopped(text) from error
                if error.code < SERVER_ERROR and error.code != CONFLICT:
                    raise RuntimeError(f"{path} was refused: {text}") from error
            except (OSError, ssl.SSLError):
                pass  # The pipeline restarts, or the network is not there yet.
            if time.monotonic() > deadline_s:
                raise Stopped(f"nobody answered {path} for {POST_DEADLINE_S:g} s")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 1.0)


class Log:
    """Sends log lines to the pipeline in numbered batches. Lines beyond BUFFER_MAX are dropped."""

    def __init__(self, pipeline: PipelineClient) -> None:
        self._pipeline = pipeline
        self._waiting: list[str] = []
        self._size = 0
        self._sequence = 0
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def line(self, text: str, server: str = "") -> None:
        stamp = time.strftime("%H:%M:%S", time.gmtime())
        whole = f"{stamp} [{server}] {text}\n" if server else f"{stamp} {text}\n"
        sys.stdout.write(whole)
        with self._lock:
            if self._size < BUFFER_MAX:
                self._waiting.append(whole)
                self._size += len(whole)

    def flush(self) -> None:
        """Send all lines now. Only one thread sends at a time, so batches arrive in order."""
        with self._sending:
            while True:
                with self._lock:
                    text = "".join(self._waiting)
                    batch, rest = text[:BATCH_MAX], text[BATCH_MAX:]
                    self._waiting, self._size = [rest], len(rest)
                if not batch:
                    return
                self._sequence += 1
                self._pipeline.post("log", {"sequence": self._sequence, "text": batch})

    def end(self) -> None:
        self._ended.set()
        self._thread.join(timeout=30)
        self.flush()

    def _run(self) -> None:
        alive_s = time.monotonic()
        while not self._ended.wait(FLUSH_EVERY_S):
            try:
                self.flush()
                if time.monotonic() - alive_s > ALIVE_EVERY_S:
                    self._pipeline.post("log", {"sequence": 0, "text": ""})
                    alive_s = time.monotonic()
            except Stopped:
                os._exit(0)  # The run has ended without us; whatever still runs is useless.


class Servers:
    """The servers of the job, over SSH."""

    def __init__(self, job: dict[str, Any], log: Log) -> None:
        self._job = job
        self._log = log
        self._known_hosts = HOME / "known_hosts"
        self._key = HOME / "key"

    def in_group(self, group: str) -> list[dict[str, str]]:
        return [server for server in self._job["servers"] if server["group"] == group]

    def copy_sources(self, server: dict[str, str]) -> None:
        """Wait for SSH, then copy the sources there."""
        deadline_s = time.monotonic() + SSH_DEADLINE_S
        while self._run(server, "true").returncode != 0:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{server['name']} does not answer by SSH")
            time.sleep(0.1)
        with (HOME / "tree.tar").open("rb") as tar:
            unpack = f"rm -rf {REMOTE} && mkdir {REMOTE} && tar -x -C {REMOTE}"
            done = self._run(server, unpack, stdin=tar)
        if done.returncode != 0:
            raise RuntimeError(f"the sources could not be copied to {server['name']}")
        self._log.line("has the sources", server["name"])

    def run(self, server: dict[str, str], command: str) -> Check:
        """A configure step on one server, as a check."""
        variables = {
            "KUMOI_SERVER": server["name"],
            "KUMOI_GROUP": server["group"],
            "KUMOI_COMMIT": self._job["commit"],
            "KUMOI_BRANCH": self._job["branch"],
            "KUMOI_ENVIRONMENT": self._job["environment"],
        }
        exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        remote = f"cd {REMOTE} && export {exports} && exec sh -c {shlex.quote(command)}"
        began_s = time.monotonic()
        argv = [*self._ssh(server), remote]
        status, output = run_logged(argv, lambda line: self._log.line(line, server["name"]))
        if status != 0:
            output += f"ended with status {status}\n"
        return check("configure", command, server, began_s, failed=status != 0, output=output)

    def environment(self, server: dict[str, str]) -> dict[str, str]:
        """The variables with which Serverspec reaches a server."""
        return {
            "TARGET_HOST": server["address"],
            "TARGET_USER": USER,
            "TARGET_KEY": str(self._key),
            "TARGET_KNOWN_HOSTS": str(self._known_hosts),
            "KUMOI_SERVER": server["name"],
            "KUMOI_GROUP": server["group"],
            "KUMOI_COMMIT": self._job["commit"],
        }

    def _run(
        self, server: dict[str, str], command: str, stdin: Any = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[bytes]:
        argv = [*self._ssh(server), command]
        return subprocess.run(argv, stdin=stdin, capture_output=True, timeout=120, check=False)

    def _ssh(self, server: dict[str, str]) -> list[str]:
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self._known_hosts),
            "ConnectTimeout": "2",
            "ServerAliveInterval": "15",
            "ControlMaster": "auto",
            "ControlPath": str(HOME / "ssh-%C"),
            "ControlPersist": "60",
            "LogLevel": "ERROR",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", *words, "-i", str(self._key), f"{USER}@{server['address']}"]


def configure(job: dict[str, Any], servers: Servers, log: Log) -> list[Check]:
    """Each step on all servers of its group; the first step that fails ends the stage."""
    checks: list[Check] = []
    for step in job["configure"]:
        log.line(f"configure {step['on']}: {step['run']}")

        def on_server(server: dict[str, str], command: str = step["run"]) -> Check:
            return servers.run(server, command)

        checks += in_parallel(on_server, servers.in_group(step["on"]))
        if any(each["outcome"] == "failed" for each in checks):
            break
    return checks


def verify(job: dict[str, Any], servers: Servers, log: Log) -> list[Check]:
    """Every check on every server of its group, also after one has failed."""
    checks: list[Check] = []
    for number, wanted in enumerate(job["verify"]):
        if wanted["http"]:
            http = wanted["http"]
            log.line(f"verify {http['on']}: http {http['path']}")

            def expect(server: dict[str, str], http: dict[str, Any] = http) -> list[Check]:
                return [http_check(server, http)]

            found = in_parallel(expect, servers.in_group(http["on"]))
        else:
            log.line(f"verify {wanted['on']}: serverspec {wanted['serverspec']}")

            def spec(
                server: dict[str, str], path: str = wanted["serverspec"], number: int = number
            ) -> list[Check]:
                return serverspec(server, servers.environment(server), path, number, log)

            found = in_parallel(spec, servers.in_group(wanted["on"]))
        for each in itertools.chain.from_iterable(found):
            log.line(f"{each['outcome']}: {each['name']}", each["server"])
            checks.append(each)
    return checks


def serverspec(
    server: dict[str, str], environment: dict[str, str], path: str, number: int, log: Log
) -> list[Check]:
    """Run one path of Serverspec files against a server; RSpec's JSON report as checks."""
    report = HOME / f"rspec-{number}-{server['name']}.json"
    argv = ["rspec", "-I", str(HOME / "rspec"), "-r", "kumoi_target", "--no-color",
            "--format", "json", "--out", str(report), "--format", "progress", path]  # fmt: skip
    began_s = time.monotonic()
    status, output = run_logged(
        argv,
        lambda line: log.line(line, server["name"]),
        cwd=HOME / "tree",
        environment=environment,
    )
    try:
        examples = json.loads(report.read_text())["examples"]
    except (OSError, ValueError, KeyError):
        examples = []
    checks = [_rspec_check(each, server) for each in examples]
    if not checks or (status != 0 and all(each["outcome"] != "failed" for each in checks)):
        name = f"serverspec {path}"
        text = output or "no examples were found"
        checks.append(check("serverspec", name, server, began_s, failed=True, output=text))
    return checks


def http_check(server: dict[str, str], http: dict[str, Any]) -> Check:
    """Repeats the request until the answer is the expected one, for HTTP_WITHIN_S at most: a
    service may just be starting.
    """
    url = f"http://{server['address']}:{http['port']}{http['path']}"
    expected = f"status {http['status']}"
    expected += f" with {http['contains']!r}" if http["contains"] else ""
    name = f"GET {http['path']} on port {http['port']} answers {expected}"
    began_s = time.monotonic()
    while True:
        status, body = _get(url)
        text = f"status {status}" if status else "no answer"
        if status == http["status"] and http["contains"] in body:
            return check("http", name, server, began_s, failed=False, output=text)
        if time.monotonic() - began_s > HTTP_WITHIN_S:
            text = f"expected {expected}\n     got {text}\n{body}"
            return check("http", name, server, began_s, failed=True, output=text)
        time.sleep(0.3)


def run_logged(
    argv: Sequence[str],
    line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run a program to its end and pass each line of its output to `line`. Its status, and the last
    OUTPUT_MAX characters.
    """
    output = ""
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    ) as program:
        timer = threading.Timer(STEP_TIMEOUT_S, program.kill)
        timer.start()
        for raw in program.stdout or ():
            text = raw.decode(errors="replace")
            output = (output + text)[-OUTPUT_MAX:]
            line(text.rstrip("\r\n"))
        status = program.wait()
        timer.cancel()
    return status, output


def check(
    suite: str, name: str, server: dict[str, str], began_s: float, *, failed: bool, output: str
) -> Check:
    return {
        "suite": suite,
        "name": name,
        "server": server["name"],
        "seconds": round(time.monotonic() - began_s, 3),
        "outcome": "failed" if failed else "passed",
        "output": output[-OUTPUT_MAX:],
    }


def in_parallel(
    call: Callable[[dict[str, str]], Any], servers: Sequence[dict[str, str]]
) -> list[Any]:
    with ThreadPoolExecutor(PARALLEL_MAX) as pool:
        return list(pool.map(call, servers))


def _rspec_check(example: dict[str, Any], server: dict[str, str]) -> Check:
    """One example of RSpec's JSON report."""
    outcome = {"passed": "passed", "failed": "failed"}.get(example["status"], "skipped")
    message = (example.get("exception") or {}).get("message", "")
    where = f"{example.get('file_path', '')}:{example.get('line_number', '')}"
    return {
        "suite": "serverspec",
        "name": example["full_description"],
        "server": server["name"],
        "seconds": round(float(example.get("run_time") or 0), 3),
        "outcome": outcome,
        "output": f"{message.strip()}\n{where}"[-OUTPUT_MAX:] if outcome == "failed" else "",
    }


def _get(url: str) -> tuple[int, str]:
    """Status and body; 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http, by us
            return answer.status, answer.read(HTTP_BODY_MAX).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(HTTP_BODY_MAX).decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, str(error)


def _result(stage: str, checks: list[Check], reason: str = "") -> dict[str, Any]:
    """A stage's result as it is posted; outputs are shortened when it would be too large."""
    passed = not reason and all(each["outcome"] != "failed" for each in checks)
    result = {"stage": stage, "passed": passed, "reason": reason, "checks": checks}
    if len(json.dumps(result)) > RESULT_MAX:
        result["checks"] = [{**each, "output": each["output"][-200:]} for each in checks]
    return result


def prepare(private_key: str, pipeline: PipelineClient) -> None:
    """The key, the sources, and Serverspec's target, on this server's disk."""
    key = HOME / "key"
    key.touch(mode=0o600)
    key.write_text(private_key)
    (HOME / "tree.tar").write_bytes(pipeline.tree())
    (HOME / "tree").mkdir(exist_ok=True)
    subprocess.run(["tar", "-xf", HOME / "tree.tar", "-C", HOME / "tree"], check=True)  # noqa: S607
    (HOME / "rspec").mkdir(exist_ok=True)
    (HOME / "rspec" / "kumoi_target.rb").write_text(TARGET)
    if not (HOME / "tree" / "spec" / "spec_helper.rb").exists():
        (HOME / "rspec" / "spec_helper.rb").write_text("# kumoi_target.rb sets everything.\n")


def work(job: dict[str, Any], private_key: str, pipeline: PipelineClient, log: Log) -> None:
    """The job's two stages. An error of the runner's own becomes the stage's result, too."""
    servers = Servers(job, log)
    stage = "configure"
    try:
        prepare(private_key, pipeline)
        log.line(f"commit {job['commit'][:10]} fetched; waiting for the servers")
        in_parallel(servers.copy_sources, job["servers"])
        for stage, act in (("configure", configure), ("verify", verify)):
            result = _result(stage, act(job, servers, log))
            log.line(f"{stage} {'passed' if result['passed'] else 'failed'}")
            log.flush()
            pipeline.post("result", result)
            if not result["passed"]:
                return
    except Stopped:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost place: any error is reported
        log.line(f"{stage} failed: {error}")
        log.flush()
        pipeline.post("result", _result(stage, [], str(error)))


def detach() -> None:
    """Become a process of our own, since the caller waits for its child, and log to a file."""
    if os.fork():
        os._exit(0)
    os.setsid()
    out = os.open(HOME / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)


def main(argv: list[str]) -> int:
    HOME.mkdir(parents=True, exist_ok=True, mode=0o700)
    if "--stay" not in argv:
        detach()
    pipeline = PipelineClient(CONFIG["url"], CONFIG["ca"])
    log = Log(pipeline)
    try:
        claimed = pipeline.claim(CONFIG["token"])
        log.start()
        log.line(f"runner of run {claimed['job']['run']}")
        work(claimed["job"], claimed["private_key"], pipeline, log)
        log.end()
    except Stopped as stopped:
        sys.stdout.write(f"stopped: {stopped}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
