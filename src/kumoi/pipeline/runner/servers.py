"""The servers of the job, as the runner reaches them: over SSH, by the environment's own key."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from typing import Any

from kumoi.pipeline.runner.log import Log
from kumoi.pipeline.runner.programs import HOME, TREE, run_logged

USER = "debian"
REMOTE = "kumoi-source"
ONCE = ".kumoi-once"
GALAXY = (
    HOME / "galaxy"
)  # What repositories require of it; a kept environment's runner has it already.
SSH_DEADLINE_S = 150.0
LATE_S = 10.0  # The server ends a step that takes too long; the runner does where that fails.

Server = dict[str, str]


class Servers:
    """`secrets` are for steps and checks, as environment variables: they are in no command line, which others
    on a server could read, and in no file.
    """

    def __init__(
        self, job: dict[str, Any], log: Log, secrets: dict[str, str] | None = None
    ) -> None:
        self.job = job
        self.secrets = secrets or {}
        self._log = log
        self._known_hosts = HOME / "known_hosts"
        self._key = HOME / "key"
        self._turns = {server["name"]: threading.Lock() for server in job["servers"]}
        self._have_sources: set[str] = set()

    def in_group(self, group: str) -> list[Server]:
        return [server for server in self.job["servers"] if server["group"] == group]

    def await_ssh(self, server: Server) -> None:
        deadline_s = time.monotonic() + SSH_DEADLINE_S
        while self._run(server, "true").returncode != 0:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{server['name']} does not answer by SSH")
            time.sleep(0.1)

    def copy_sources(self, server: Server) -> None:
        """Once, where a step runs there."""
        with self._turns[server["name"]]:
            if server["name"] in self._have_sources:
                return
            with (HOME / "tree.tar").open("rb") as tar:
                unpack = f"rm -rf {REMOTE} && mkdir {REMOTE} && tar -x -C {REMOTE}"
                done = self._run(server, unpack, stdin=tar)
            if done.returncode != 0:
                raise RuntimeError(f"the sources could not be copied to {server['name']}")
            self._have_sources.add(server["name"])
            self._log.line("has the sources", server["name"])

    def run(
        self, server: Server, command: str, *, timeout_s: float, once: str = ""
    ) -> tuple[int, str]:
        """A command in the sources on one server. With `once` it is a migration: the server notes its
        success beside the data that it changed, and does it no second time.
        """
        exports = " ".join(
            f"{name}={shlex.quote(value)}" for name, value in self.variables(server).items()
        )
        words = f"timeout -k 5 {timeout_s:g} sh -c {shlex.quote(command)}"
        if once:
            done = f'"$HOME"/{ONCE}/{shlex.quote(once)}'
            words = (
                f"if test -e {done}; then echo {shlex.quote(once)} has been done here before; "
                f'else {words} && mkdir -p "$HOME"/{ONCE} && touch {done}; fi'
            )
        given = "".join(
            f"export {name}={shlex.quote(value)}\n" for name, value in self.secrets.items()
        )
        if given:
            words = f'eval "$(cat)" && exec </dev/null && {words}'
        remote = f"cd {REMOTE} && export {exports} && {words}"
        status, output = run_logged(
            [*self._ssh(server), remote],
            lambda line: self._log.line(line, server["name"]),
            timeout_s=timeout_s + LATE_S,
            given=given,
        )
        late = status == 124  # noqa: PLR2004 - what timeout says
        return status, output + (
            f"took longer than {timeout_s:g} s and was ended\n" if late else ""
        )

    def variables(self, server: Server | None = None) -> dict[str, str]:
        """What every step may know."""
        found = {
            "KUMOI_COMMIT": self.job["commit"],
            "KUMOI_BRANCH": self.job["branch"],
            "KUMOI_ENVIRONMENT": self.job["environment"],
            "KUMOI_NAME": self.job.get("name", ""),
            "KUMOI_URL": self.job.get("url", ""),
        }
        if server is not None:
            found |= {"KUMOI_SERVER": server["name"], "KUMOI_GROUP": server["group"]}
        for group in sorted({each["group"] for each in self.job["servers"]}):
            name = f"KUMOI_{group.upper().replace('-', '_')}_ADDRESSES"
            found[name] = " ".join(each["address"] for each in self.in_group(group))
        return found

    def environment(self, server: Server | None = None) -> dict[str, str]:
        """What each step and check has. What it is given besides comes after, so that no secret hides it."""
        return {**self.secrets, **self.variables(server)}

    def here(self) -> dict[str, str]:
        """What a command on the runner may know besides: how to reach the servers."""
        return {
            **self.environment(),
            "KUMOI_INVENTORY": str(HOME / "inventory"),
            "KUMOI_SSH_CONFIG": str(HOME / "ssh_config"),
            "KUMOI_SSH_KEY": str(self._key),
            "KUMOI_SSH_USER": USER,
        }

    def target(self, server: Server) -> dict[str, str]:
        """The variables with which Serverspec reaches a server."""
        return {
            **self.environment(server),
            "TARGET_HOST": server["address"],
            "TARGET_USER": USER,
            "TARGET_KEY": str(self._key),
            "TARGET_KNOWN_HOSTS": str(self._known_hosts),
        }

    def forget_others(self) -> None:
        """Of an earlier job: what stood at the same address is another server now."""
        known = HOME / "servers.json"
        ids = {each["address"]: each["id"] for each in self.job["servers"]}
        before = json.loads(known.read_text()) if known.exists() else {}
        known.write_text(json.dumps(ids))
        if any(before.get(address, server_id) != server_id for address, server_id in ids.items()):
            self._known_hosts.unlink(missing_ok=True)
            for server in self.job["servers"]:
                argv = [*self._ssh(server)[:-1], "-O", "exit", self._ssh(server)[-1]]
                subprocess.run(argv, capture_output=True, timeout=10, check=False)

    def write_inventory(self) -> None:
        """Ansible's inventory, and a configuration of SSH that knows the servers by name."""
        lines: list[str] = []
        for group in sorted({each["group"] for each in self.job["servers"]}):
            lines.append(f"[{group}]")
            lines += [
                f"{each['name']} ansible_host={each['address']}" for each in self.in_group(group)
            ]
        (HOME / "inventory").write_text("\n".join(lines) + "\n")
        known = {
            "kumoi_" + name.removeprefix("KUMOI_").lower(): value
            for name, value in self.variables().items()
        }
        (HOME / "variables.json").write_text(json.dumps(known))
        hosts = [
            f"Host {each['name']}\n  HostName {each['address']}\n" for each in self.job["servers"]
        ]
        options = "".join(f"  {name} {value}\n" for name, value in self._options().items())
        whole = f"Host *\n  User {USER}\n  IdentityFile {self._key}\n{options}"
        (HOME / "ssh_config").write_text("".join(hosts) + whole)

    def ansible(self, playbook: str, limit: str) -> tuple[list[str], dict[str, str]]:
        """A playbook's command and its variables."""
        argv = ["ansible-playbook", "-i", str(HOME / "inventory"), "-u", USER]
        argv += ["--private-key", str(self._key), "-e", f"@{HOME / 'variables.json'}"]
        argv += ["--limit", limit] if limit else []
        options = " ".join(f"-o {name}={value}" for name, value in self._options().items())
        return [*argv, playbook], {
            **self.environment(),
            "ANSIBLE_SSH_ARGS": options,
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": "16",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "ANSIBLE_COLLECTIONS_PATH": f"{TREE / 'collections'}:{GALAXY / 'collection'}:/usr/share/ansible/collections",
            "ANSIBLE_ROLES_PATH": f"{TREE / 'roles'}:{GALAXY / 'role'}:/etc/ansible/roles",
            "ANSIBLE_LOCAL_TEMP": str(HOME / "ansible"),
        }

    def _run(
        self, server: Server, command: str, stdin: Any = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[bytes]:
        argv = [*self._ssh(server), command]
        return subprocess.run(argv, stdin=stdin, capture_output=True, timeout=120, check=False)

    def _ssh(self, server: Server) -> list[str]:
        words = [
            word for name, value in self._options().items() for word in ("-o", f"{name}={value}")
        ]
        return ["ssh", *words, "-i", str(self._key), f"{USER}@{server['address']}"]

    def _options(self) -> dict[str, str]:
        return {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self._known_hosts),
            "ConnectTimeout": "2",
            "ServerAliveInterval": "15",
            "ControlMaster": "auto",
            "ControlPath": str(HOME / "ssh-%C"),
            "ControlPersist": "600",
            "LogLevel": "ERROR",
        }
