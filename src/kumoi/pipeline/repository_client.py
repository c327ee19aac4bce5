"""The pushed repositories as the pipeline sees them: by asking the unit that owns them.

The pipeline has no right to a repository. It hands over descriptors of files in its spool, where the
bodies of git's requests and answers are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

import msgspec

from kumoi.base import trees
from kumoi.base.errors import KumoiError
from kumoi.config import HostSettings
from kumoi.engine import calls
from kumoi.pipeline import repository_calls
from kumoi.pipeline.repository_calls import Call, CommitChanges, CopyNote, RepositoryOperation
from kumoi.pipeline.spool import Spool

if TYPE_CHECKING:
    from kumoi.pipeline import environment

RECEIVE = "git-receive-pack"  # The second request of a push.
NO_CHANGE = CopyNote()
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

    def remove(self, project_id: str, name: str, id: str = "") -> None:
        """With an id, where it is that one."""
        self._ask(
            Call(operation=RepositoryOperation.REMOVE, project_id=project_id, name=name, id=id)
        )

    def list_heads(self, project_id: str, name: str) -> dict[str, str] | None:
        call = Call(operation=RepositoryOperation.LIST_HEADS, project_id=project_id, name=name)
        return msgspec.json.decode(self._ask(call), type=dict[str, str] | None)

    def read_file(self, project_id: str, name: str, commit: str) -> environment.ProjectFile:
        from kumoi.pipeline import environment  # noqa: PLC0415 - reads YAML; `copies` does without

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
        change: CopyNote = NO_CHANGE,
    ) -> None:
        """The output of git http-backend output, of a request with that body, goes to `out`. What a push that
        was ended left behind goes, too: no other one is under way there (pushes.py).
        A change is noted, and as the next number when it was made.
        """
        call = Call(
            operation=RepositoryOperation.PUSH if is_push else RepositoryOperation.FETCH,
            project_id=project_id,
            name=name,
            rest=rest,
            variables=variables,
            id=change.id,
            number=change.number,
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

    def list_copies(self) -> dict[str, CopyNote]:
        """What is noted of each repository that is here, by "project/name"."""
        call = Call(operation=RepositoryOperation.LIST_COPIES, project_id="", name="")
        return msgspec.json.decode(self._ask(call), type=dict[str, CopyNote])

    def note(self, project_id: str, name: str) -> CopyNote | None:
        """Of one repository; None where it is not here."""
        call = Call(operation=RepositoryOperation.NOTE, project_id=project_id, name=name)
        return msgspec.json.decode(self._ask(call), type=CopyNote | None)

    def haves(self, project_id: str, name: str) -> list[str]:
        """Commits that are here, of which others need send nothing."""
        call = Call(operation=RepositoryOperation.HAVES, project_id=project_id, name=name)
        return msgspec.json.decode(self._ask(call), type=list[str])

    def pack(self, project_id: str, name: str, haves: IO[bytes], out: IO[bytes]) -> None:
        """All of it but for what those commits have, a line each, for `take`."""
        call = Call(operation=RepositoryOperation.PACK, project_id=project_id, name=name)
        self._ask(call, haves, out)

    def take(self, project_id: str, name: str, id: str, packed: IO[bytes]) -> CopyNote:
        """What another host packed, from where the file stands, unless what is here is as new. What is noted
        then.
        """
        call = Call(operation=RepositoryOperation.TAKE, project_id=project_id, name=name, id=id)
        return msgspec.json.decode(self._ask(call, packed), type=CopyNote)

    def _ask(self, call: Call, *handed: IO[bytes]) -> msgspec.Raw:
        return calls.ask(
            self._socket,
            msgspec.json.encode(call),
            [one.fileno() for one in handed],
            about=f"the repository {call.name}",
            within_s=ANSWER_WITHIN_S,
        )
