"""The command line's client of the pipeline's API, configured by an entry of clouds.yaml.

The pipeline answers on the host of the cloud's APIs, on its own port, unless the entry has
`pipeline_url`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from kumoi.base.errors import Invalid, KumoiError, NotFound, Transient
from kumoi.config import CloudSettings

PORT = CloudSettings().pipeline_port
TIMEOUT_S = 60
NOT_FOUND = 404


class Client:
    """Calls the API as the user of one entry of clouds.yaml."""

    def __init__(self, os_cloud: str, url: str | None = None) -> None:
        """Raises Invalid when there is no such entry."""
        import openstack  # noqa: PLC0415 - half a second, and not every command needs it
        from openstack.exceptions import ConfigException  # noqa: PLC0415

        try:
            connection = openstack.connect(cloud=os_cloud, app_name="kumoi")
        except ConfigException as cause:
            raise Invalid(f"clouds.yaml has no entry {os_cloud}; is the cloud up?") from cause
        entry = connection.config.config
        host = urlsplit(str(entry["auth"]["auth_url"])).hostname
        self._url = url or entry.get("pipeline_url") or f"https://{host}:{PORT}"
        self._session = connection.session

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("GET", path, parameters).json()
        return answer

    def text(self, path: str) -> str:
        return str(self._ask("GET", path, {}).text)

    def delete(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("DELETE", path, {}).json()
        return answer

    def _ask(self, method: str, path: str, parameters: dict[str, str | int]) -> Any:
        """Raises a KumoiError with the pipeline's own words."""
        from keystoneauth1 import exceptions  # noqa: PLC0415 - see __init__

        url = f"{self._url}/pipeline/v1/{path}"
        try:
            answer = self._session.request(
                url, method, params=parameters, raise_exc=False, connect_retries=0,
                timeout=TIMEOUT_S, headers={"Accept": "*/*"},
            )  # fmt: skip
        except exceptions.Unauthorized as cause:
            raise Invalid("the cloud does not take the login of this clouds.yaml entry") from cause
        except exceptions.ClientException as cause:
            raise Transient(f"the pipeline at {self._url} does not answer") from cause
        if answer.status_code == NOT_FOUND:
            noun, _, key = path.partition("/")
            raise NotFound(noun.removesuffix("s"), key.split("/")[0])
        if not answer.ok:
            raise KumoiError(answer.json()["error"]["message"])
        return answer
