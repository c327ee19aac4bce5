"""The pushed repositories as the pipeline sees them: by asking the unit that owns them.

The pipeline has no right to a repository. It hands over descriptors of files in its spool, where the
bodies of git's requests and answers are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import IO

import msgspec

from kumoi.base import trees
from kumoi.base.errors import KumoiError
from kumoi.config import HostSettings
from kumoi.engine import calls
from kumoi.pipeline import environment, repository_calls
from kumoi.pipeline.repository_calls import Call, CommitChanges, RepositoryOperation
from kumoi.pipeline.spool import Spool

RECEIVE = "git-receive-pack"  # The second request of a push.
ANSWER_WITHIN_S = 330.0  # Longer than the unit gives to what it starts.


class RepositoriesClient:
    """On the host that the pipeline runs on. Its methods are those of `Repositories`, and raise
    Transient when the unit does not answer.
    """

    def __init__(self, host: HostSettings) -> None:
        self.spool = Spool(host.state / "git-spool")
        self._socket = repository_calls.socket_of(host)

    def prepare(self) -> None:
        """Called at each start: empties the spool of what a killed process left there."""
        self.spool.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.spool.folder.iterdir():
            trees.remove(left)

    def ensure(self, project_id: str, name: str) -> None:
        self._ask(Call(operation=RepositoryOperation.ENSURE, project_id=project_id, name=name))

    def remove(self, project_id: str, name: str) -> None:
        self._ask(Call(operation=RepositoryOperation.REMOVE, project_id=project_id, name=name))

    def list_heads(self, project_id: str, name: str) -> dict[str, str] | None:
        call = Call(operation=RepositoryOperation.LIST_HEADS, project_id=project_id, name=name)
        return msgspec.json.decode(self._ask(call), type=dict[str, str] | None)

    def read_file(self, project_id: str, name: str, commit: str) -> environment.ProjectFile:
        call = Call(
            operation=RepositoryOperation.READ_FILE, project_id=project_id, name=name, commit=commit
        )
        return msgspec.json.decode(self._ask(call), type=environment.ProjectFile)

    def archive(self, project_id: str, name: str, commit: str, out: IO[bytes]) -> None:
        call = Call(
            operation=RepositoryOperation.ARCHIVE, project_id=project_id, name=name, commit=commit
        )
        self._ask(call, out)

    def changes(self, project_id: str, name: str, since: str, commit: str) -> CommitChanges:
        call = Call(
            operation=RepositoryOperation.CHANGES,
            project_id=project_id,
            name=name,
            commit=commit,
            since=since,
        )
        return msgspec.json.decode(self._ask(call), type=CommitChanges)

    def serve_git(
        self,
        project_id: str,
        name: str,
        *,
        rest: str,
        variables: Mapping[str, str],
        body: IO[bytes],
        out: IO[bytes],
        is_push: bool,
    ) -> None:
        """The output of git http-backend output, of a request with that body, goes to `out`. What a push that
        was ended left behind goes, too: no other one is under way there (pushes.py).
        """
        call = Call(
            operation=RepositoryOperation.PUSH if is_push else RepositoryOperation.FETCH,
            project_id=project_id,
            name=name,
            rest=rest,
            variables=variables,
        )
        try:
            self._ask(call, body, out)
        except KumoiError:
            if is_push and rest == RECEIVE:
                with contextlib.suppress(KumoiError):
                    self._ask(
                        Call(operation=RepositoryOperation.SWEEP, project_id=project_id, name=name)
                    )
            raise

    def _ask(self, call: Call, *handed: IO[bytes]) -> msgspec.Raw:
        return calls.ask(
            self._socket,
            msgspec.json.encode(call),
            [one.fileno() for one in handed],
            about=f"the repository {call.name}",
            within_s=ANSWER_WITHIN_S,
        )
