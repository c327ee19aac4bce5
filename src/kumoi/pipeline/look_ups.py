"""Names that tenants give, looked up while they wait: for so long, of each project one at a time, and of all
some. A resolver that is asked for a name whose servers are silent takes half a minute, and nothing ends it
before; a thread of its own waits for it then, and no request's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

WITHIN_S = 2.0
TOGETHER_MAX = 16


class LookUps:
    def __init__(self, within_s: float = WITHIN_S, most: int = TOGETHER_MAX) -> None:
        self._within_s = within_s
        self._most = most
        self._projects: set[str] = set()
        self._lock = threading.Lock()

    def look(self, project_id: str, work: Callable[[], object]) -> bool:
        """Whether it was done in time; not at all where another of the project's, or too many, are under way.
        Raises what the work does.
        """
        with self._lock:
            if project_id in self._projects or len(self._projects) >= self._most:
                return False
            self._projects.add(project_id)
        done: Future[None] = Future()
        threading.Thread(target=self._do, args=(project_id, work, done), daemon=True).start()
        try:
            done.result(self._within_s)
        except TimeoutError:
            return False
        return True

    def _do(self, project_id: str, work: Callable[[], object], done: Future[None]) -> None:
        raised: Exception | None = None
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            raised = error
        with self._lock:
            self._projects.discard(project_id)
        if raised is None:
            done.set_result(None)
        else:
            done.set_exception(raised)
