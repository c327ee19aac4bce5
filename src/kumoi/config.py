"""The settings: one frozen tree, a line per key with its type, default and meaning.

`kumoi up` writes them to `<state_dir>/kumoi.toml`; main.py reads that file once and passes the tree
on. Nothing else reads the environment or a file of settings. `docs/reference/settings.md` is
generated from here.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kumoi.base.errors import Invalid


def key(default: Any, meaning: str) -> Any:
    """One setting: its default and what it means."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """One cloud on one machine."""

    name: str = key("kumoi", "Prefix of every namespace, link and container; 1 to 8 of a-z0-9.")
    region: str = key("RegionOne", "Region in the service catalogue.")
    state_dir: str = key("/var/lib/kumoi", "Everything the cloud keeps; `down --purge` removes it.")
    database_url: str = key("", "The cloud's store; empty is SQLite in the state directory.")
    pipeline_database_url: str = key("", "The pipeline's store; empty is SQLite likewise.")
    public_cidr: str = key("172.24.4.0/24", "Floating IPs; its first address is this machine's.")
    underlay_cidr: str = key("172.24.5.0/28", "Between this machine and its virtual host.")
    outbound: bool = key(
        default=False, meaning="Servers may open connections to the internet; the machine routes."
    )
    api_port: int = key(5000, "OpenStack APIs, on the first public address.")
    api_public_url: str = key("", "Where clients reach the APIs; empty is this machine's own.")
    host_api_port: int = key(5001, "Host API, on the first underlay address.")
    pipeline_port: int = key(5002, "Pipeline API and git, on the first public address.")
    token_ttl_s: int = key(14_400, "How long a token lives.")
    host_silent_s: int = key(30, "A host not heard of for this long is down.")
    login_attempts_per_minute: int = key(60, "Failed logins per source address before it waits.")
    body_max_bytes: int = key(1_048_576, "Largest JSON body.")
    image_max_bytes: int = key(64 << 30, "Largest image.")
    image_project_max_bytes: int = key(256 << 30, "All image content of one project together.")
    environment_ttl_s: int = key(86_400, "How long a pushed environment lives by default.")
    run_deadline_s: int = key(3_600, "A pipeline run that takes longer has failed.")

    # What follows from the keys above.

    @property
    def state(self) -> Path:
        return Path(self.state_dir)

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files."""
        return self.state / "run"

    @property
    def log_dir(self) -> Path:
        return self.state / "log"

    @property
    def pki_dir(self) -> Path:
        """`ca.crt`, and `<name>.crt` with `<name>.key` for api, pipeline and each host."""
        return self.state / "pki"

    @property
    def image_dir(self) -> Path:
        """Image files by content hash."""
        return self.state / "images"

    @property
    def host_dir(self) -> Path:
        """What the host agent keeps: its wanted state, servers, unpacked images."""
        return self.state / "host"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.state / 'cloud.db'}"

    @property
    def pipeline_database(self) -> str:
        return self.pipeline_database_url or f"sqlite:///{self.state / 'pipeline.db'}"

    @property
    def wake_dir(self) -> Path:
        return self.run_dir / "wake"

    @property
    def public_address(self) -> str:
        """This machine's address on the external network, and its gateway."""
        return str(next(ipaddress.ip_network(self.public_cidr).hosts()))

    @property
    def edge_name(self) -> str:
        """The network namespace between this machine and the external network."""
        return f"{self.name}-edge"

    @property
    def edge_address(self) -> str:
        """In whose name the edge asks for links on the external network."""
        return str(ipaddress.ip_network(self.public_cidr)[2])

    @property
    def underlay_address(self) -> str:
        """This machine's address on the underlay."""
        return str(next(ipaddress.ip_network(self.underlay_cidr).hosts()))

    @property
    def host_underlay_address(self) -> str:
        """The virtual host's address on the underlay: tunnels end here."""
        return str(ipaddress.ip_network(self.underlay_cidr)[2])

    @property
    def host_name(self) -> str:
        """The one virtual host: its name as a host, and its network namespace."""
        return f"{self.name}-host1"

    @property
    def api_url(self) -> str:
        return self.api_public_url or f"https://{self.public_address}:{self.api_port}"

    @property
    def host_api_url(self) -> str:
        return f"https://{self.underlay_address}:{self.host_api_port}"

    @property
    def pipeline_url(self) -> str:
        return f"https://{self.public_address}:{self.pipeline_port}"

    @property
    def northbound_remote(self) -> str:
        """How to reach OVN's northbound database."""
        return f"unix:{self.run_dir / 'ovnnb_db.sock'}"

    @property
    def southbound_remote(self) -> str:
        return f"unix:{self.run_dir / 'ovnsb_db.sock'}"

    @property
    def switch_remote(self) -> str:
        """How the host agent reaches its host's Open vSwitch database."""
        return f"unix:{self.run_dir / 'ovs' / 'db.sock'}"


def parse(text: str) -> Settings:
    """Settings from TOML. Raises Invalid naming the key that is unknown or of the wrong type."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise Invalid("the settings are not TOML", field="settings") from cause
    known = {item.name: item for item in fields(Settings)}
    for name, value in raw.items():
        if name not in known:
            raise Invalid(f"there is no setting {name}", field=name)
        if type(value) is not type(known[name].default):
            wanted = type(known[name].default).__name__
            raise Invalid(f"setting {name} must be {wanted}, not {value!r}", field=name)
    return Settings(**raw)


def render(settings: Settings) -> str:
    """The settings as TOML, each key with its meaning."""
    lines: list[str] = []
    for item in fields(settings):
        value = getattr(settings, item.name)
        lines += [f"# {item.metadata['meaning']}", f"{item.name} = {_toml(value)}", ""]
    return "\n".join(lines)


def changed(settings: Settings, **values: Any) -> Settings:
    """The same settings but for some keys."""
    return dataclasses.replace(settings, **values)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value).lower()
