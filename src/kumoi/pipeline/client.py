"""The command line's client of the pipeline's API, configured by an entry of clouds.yaml.

The pipeline answers on the host of the cloud's APIs, on its own port, unless the entry has
`pipeline_url`, with `pipeline_cacert` where another authority signed its certificate.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kumoi.base.errors import Invalid, KumoiError, NotFound, Transient
from kumoi.config import CloudSettings

if TYPE_CHECKING:
    from kumoi.pipeline.openstack_cloud import OpenStack

PORT = CloudSettings().pipeline_port
TIMEOUT_S = 60
NOT_FOUND = 404
WAITS_S = (0.5, 1.0, 2.0, 4.0)


class Client:
    """Calls the API as the user of one entry of clouds.yaml."""

    def __init__(self, os_cloud: str, url: str | None = None, ca: str | None = None) -> None:
        """`url` and `ca` are of the pipeline, where the entry is not to say them. Raises Invalid when
        there is no such entry.
        """
        import openstack  # noqa: PLC0415 - half a second, and not every command needs it
        from openstack.exceptions import ConfigException  # noqa: PLC0415

        try:
            connection = openstack.connect(cloud=os_cloud, app_name="kumoi")
        except ConfigException as cause:
            raise Invalid(f"clouds.yaml has no entry {os_cloud}; is the cloud up?") from cause
        entry = connection.config.config
        host = urlsplit(str(entry["auth"]["auth_url"])).hostname
        self.url: str = url or entry.get("pipeline_url") or f"https://{host}:{PORT}"
        self.ca = str(ca or entry.get("pipeline_cacert") or entry.get("cacert") or "")
        self.connection = connection
        self._auth: dict[str, str] = entry["auth"]
        self._session = connection.session

    @property
    def project(self) -> str:
        return str(self._auth.get("project_name") or self._session.get_project_id())

    def login(self) -> str:
        """As git sends it. Raises Invalid where the entry has neither a password nor a credential."""
        for name, secret in (
            ("application_credential_id", "application_credential_secret"),
            ("username", "password"),
        ):
            if name in self._auth and secret in self._auth:
                return f"{self._auth[name]}:{self._auth[secret]}"
        raise Invalid("this entry of clouds.yaml has no login that git could send")

    def credential(self) -> tuple[str, str] | None:
        """The id and the secret of the application credential that the entry has."""
        names = ("application_credential_id", "application_credential_secret")
        found = [self._auth[name] for name in names if name in self._auth]
        return (found[0], found[1]) if len(found) == len(names) else None

    def cloud(self) -> OpenStack:
        """The cloud itself, as the same user."""
        from kumoi.pipeline.openstack_cloud import OpenStack  # noqa: PLC0415 - see __init__

        return OpenStack(self.connection, self.connection.config.region_name or "")

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", path, parameters).json()
        return answer

    def text(self, path: str) -> str:
        return str(self._ask("GET", path, {}).text)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("POST", path, {}, body or None).json()
        return answer

    def put(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("PUT", path, {}, body).json()
        return answer

    def delete(self, path: str) -> dict[str, Any]:
        answer = self._ask("DELETE", path, {})
        shown: dict[str, Any] = answer.json() if answer.content else {}
        return shown

    def _ask(
        self,
        method: str,
        path: str,
        parameters: dict[str, str | int],
        body: dict[str, Any] | None = None,
    ) -> Any:
        """Raises a KumoiError with the pipeline's own words."""
        from keystoneauth1 import exceptions  # noqa: PLC0415 - see __init__

        url = f"{self.url}/pipeline/v1/{path}"
        try:
            again(self._session.get_auth_headers)  # Nobody logs in again where that is cut off.
            answer = self._session.request(
                url, method, params=parameters, json=body, raise_exc=False, timeout=TIMEOUT_S,
                connect_retries=len(WAITS_S) if method == "GET" else 0,
                headers={"Accept": "*/*"}, verify=self.ca or True,
            )  # fmt: skip
        except exceptions.Unauthorized as cause:
            raise Invalid("the cloud does not take the login of this clouds.yaml entry") from cause
        except exceptions.ClientException as cause:
            raise Transient(f"the pipeline at {self.url} does not answer") from cause
        if answer.status_code == NOT_FOUND:
            noun, _, key = path.partition("/")
            raise NotFound(noun.removesuffix("s"), key.split("/")[0], message=_said(answer))
        if not answer.ok:
            raise KumoiError(answer.json()["error"]["message"])
        return answer


def again(ask: Callable[[], object]) -> None:
    """As often as it takes another host to have the address of one that is lost. Raises what the last one
    raised.
    """
    from keystoneauth1 import exceptions  # noqa: PLC0415 - see Client

    for wait_s in WAITS_S:
        with contextlib.suppress(exceptions.ConnectFailure):
            ask()
            return
        time.sleep(wait_s)
    ask()


def _said(answer: Any) -> str:
    """The pipeline's own words; empty where something else answered."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(answer.json()["error"]["message"])
    return ""
