"""The settings of a cloud and those of one of its hosts: two frozen trees, a line per key with its
type, default and meaning.

`kumoi up` writes them to `cloud.toml`, which is the same on every host of a cloud, and `host.toml`,
which is not, both in the host's state directory. main.py reads them once and passes on what each
needs, the narrower of the two. Nothing else reads the environment or a file of settings.
`docs/reference/settings.md` is generated from here.

A file may be of another release. A role starts all the same, and unknown keys stay in the file
(design note 0006); `require_known` is for commands that a person gives, where an unknown key is a
slip of the pen. Each file names the keys that its `up` wrote, which tells another release's key
from a slip.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from kumoi import components, control_host, ha_policy
from kumoi.base import files, toml
from kumoi.base.errors import Invalid
from kumoi.base.files import Promise
from kumoi.components import Api
from kumoi.control_host import ControlHost
from kumoi.setting import key, names, of_type

CLOUD_FILE = "cloud.toml"
HOST_FILE = "host.toml"
CONTROL = "-control"  # Ends the name of the network namespace of a host's control plane.
WRITTEN = "written_by_up"
WRITTEN_MEANING = "What `kumoi up` wrote here: by this it tells another release's key from a slip."


class Role(enum.StrEnum):
    """The roles that a host may have. Each brings the engines that it needs on its host."""

    NETWORK = "network"  # OVN's central databases and northd.
    API = "api"
    WORKER = "worker"
    AGENT = "agent"  # With the host's switch and its controller.
    PIPELINE = "pipeline"


ROLES = tuple(role.value for role in Role)


class Keeper(enum.StrEnum):
    """Who keeps the processes of a host running."""

    SYSTEMD = "systemd"
    KUMOI = "kumoi"  # Our own supervisor.


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """The settings of the cloud, the same on each of its hosts."""

    name: str = key("kumoi", "Prefix of every namespace, link and container; 1 to 8 of a-z0-9.")
    region: str = key("RegionOne", "Region in the service catalogue.")
    database_url: str = key("", "The cloud's store; empty is SQLite in the state directory.")
    pipeline_database_url: str = key("", "The pipeline's store; empty is SQLite likewise.")
    public_cidr: str = key("172.24.4.0/24", "Floating IPs; its first address is this machine's.")
    underlay_cidr: str = key("172.24.5.0/28", "Between the control plane and the hosts.")
    control_hosts: tuple[ControlHost, ...] = key(
        (),
        "Hosts with the control plane, each {name, address}: 3 or 5; empty is the first one alone.",
    )
    shared_address: str = key("", "Of clients: one control host at a time has it; empty is none.")
    apis_off: tuple[str, ...] = key(
        (),
        f"APIs that are not served, of {', '.join(components.OPTIONAL_APIS)}.",
        one_of=components.OPTIONAL_APIS,
    )
    outbound: bool = key(
        default=False, meaning="Servers may open connections to the internet; the machine routes."
    )
    api_port: int = key(5000, "OpenStack APIs, on the first public address and the shared one.")
    api_public_url: str = key("", "Where clients reach the APIs; empty is this machine's own.")
    host_api_port: int = key(5001, "Host API, on the first underlay address.")
    southbound_url: str = key(
        "", "Where hosts reach OVN, such as ssl:172.24.5.1:6642; empty when there is one host."
    )
    pipeline_port: int = key(5002, "Pipeline API and git, likewise.")
    pipeline_address: str = key("", "Where the pipeline listens instead, where it runs alone.")
    pipeline_public_url: str = key("", "Where git and runners reach it; empty is its own address.")
    identity_url: str = key("", "The Keystone that the pipeline asks; empty is this cloud's own.")
    identity_ca: str = key(
        "", "PEM file of its authorities; empty is this cloud's own, `system` the machine's."
    )
    identity_user_domain: str = key(
        "Default", "Domain of the users who log in with git: its name, or `id:` and its id."
    )
    identity_project_domain: str = key("Default", "Domain of their projects, likewise.")
    token_ttl_s: int = key(14_400, "How long a token lives.")
    ha_policy: str = key(
        "wait",
        "Servers whose host is lost, where their metadata has no `ha:policy`: wait, rebuild or never.",
    )
    host_silent_s: int = key(30, "A host not heard of for this long is down.")
    login_attempts_per_minute: int = key(
        60, "Failed logins per minute of an address, and of an account, before they wait."
    )
    lockout_failure_attempts: int = key(
        0, "Failed logins one after the other that lock an account; 0 is never."
    )
    lockout_duration_s: int = key(
        1_800, "How long it stays locked; 0 is until an administrator enables it."
    )
    password_expires_days: int = key(0, "How long a password is good; 0 is for ever.")
    change_password_upon_first_use: bool = key(
        default=False, meaning="A password that an administrator sets is good for changing it."
    )
    unique_last_password_count: int = key(
        0, "Passwords of a user, the new one included, that must differ; 0 is any."
    )
    minimum_password_age_days: int = key(0, "How long a user keeps a password before the next.")
    password_regex: str = key("", "What a password must match, as Python reads it; empty is any.")
    password_regex_description: str = key("", "What the expression asks for, told to users.")
    disable_user_account_days_inactive: int = key(
        0, "A user who has not logged in for so long is disabled; 0 is never."
    )
    body_max_bytes: int = key(114_688, "Largest JSON body of the OpenStack APIs.")
    requests_per_client: int = key(
        128, "Requests in flight of a project, and of an address whose callers are not known yet."
    )
    connections_per_client: int = key(
        256,
        "Connections of an address, and of a project; its longest idle one gives way to a new one.",
    )
    connections_max: int = key(4_096, "Connections of a listener; those who hold most give way.")
    image_max_bytes: int = key(64 << 30, "Largest image.")
    image_import_networks: str = key(
        "", "Networks, with commas between, that images are downloaded from beside the internet."
    )
    image_project_max_bytes: int = key(256 << 30, "All image content of one project together.")
    audit_days: int = key(90, "How long it is kept who changed what.")
    environment_ttl_s: int = key(86_400, "How long a pushed environment lives by default.")
    run_deadline_s: int = key(3_600, "A pipeline run that takes longer has failed.")
    pipeline_runs: int = key(20, "Pipeline runs that go on at once; more wait, fairly by project.")
    project_runs: int = key(10, "Those of one project; more wait until one of them has ended.")
    project_environments: int = key(
        20, "Environments of a project that are there, those being deleted included."
    )
    project_environment_servers: int = key(
        100, "Servers of a project's environments together, runners included."
    )
    project_environment_gib: int = key(1_000, "Disk of these servers, by their flavors.")
    project_repositories: int = key(100, "Git repositories of a project.")
    project_repositories_mib: int = key(4_096, "What is pushed to them, together.")
    project_logs_mib: int = key(
        256, "Logs of a project's runs together; the oldest go when there is more."
    )
    run_log_days: int = key(30, "How long the log of a run that has ended is kept.")
    project_runs_kept: int = key(
        1_000, "Ended runs of a project that are kept; the oldest go when there are more."
    )
    run_days: int = key(90, "How long the run itself is kept, with its report.")
    webhook_networks: tuple[str, ...] = key(
        (), "Internal networks where git hosts may be that webhooks name, such as 10.1.0.0/16."
    )

    # What follows from the keys above.

    @property
    def apis(self) -> tuple[Api, ...]:
        """Those that are served."""
        return components.served(self.apis_off)

    @property
    def public_address(self) -> str:
        """The control plane's address on the external network, and its gateway."""
        return str(next(ipaddress.ip_network(self.public_cidr).hosts()))

    @property
    def edge_name(self) -> str:
        """The network namespace between this machine and the external network."""
        return f"{self.name}-edge"

    @property
    def edge_address(self) -> str:
        """The edge's own address on the external network, the source of its ARP requests."""
        return str(ipaddress.ip_network(self.public_cidr)[2])

    @property
    def control_address(self) -> str:
        """The control plane's address on the underlay."""
        return str(next(ipaddress.ip_network(self.underlay_cidr).hosts()))

    @property
    def own_addresses(self) -> frozenset[str]:
        """From which the control plane's own programs call each other."""
        here = (self.public_address, self.control_address, self.client_address, "127.0.0.1")
        return frozenset((*here, *(host.address for host in self.control_hosts)))

    @property
    def client_address(self) -> str:
        """Where clients are sent that know no other."""
        return self.shared_address or self.public_address

    @property
    def api_url(self) -> str:
        return self.api_public_url or f"https://{self.client_address}:{self.api_port}"

    @property
    def is_cluster(self) -> bool:
        """Whether other hosts may join: then OVN's southbound database listens for them."""
        return bool(self.southbound_url)

    @property
    def is_replicated(self) -> bool:
        """Whether the control plane and its databases are on several hosts."""
        return bool(self.control_hosts)

    def control_host(self, name: str) -> ControlHost | None:
        """The control host of that name; None for any other host."""
        return next((host for host in self.control_hosts if host.name == name), None)

    @property
    def host_api_url(self) -> str:
        return f"https://{self.control_address}:{self.host_api_port}"

    @property
    def pipeline_listens_at(self) -> str:
        return self.pipeline_address or self.public_address

    @property
    def pipeline_url(self) -> str:
        at = self.pipeline_address or self.client_address
        at = f"[{at}]" if ":" in at else at
        return self.pipeline_public_url or f"https://{at}:{self.pipeline_port}"

    @property
    def keystone_url(self) -> str:
        """Without the version."""
        return self.identity_url or f"{self.api_url}/identity"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The settings of this host."""

    name: str = key("kumoi-host1", "Its name among the hosts, and of its network namespace.")
    state_dir: str = key("/var/lib/kumoi", "Everything it keeps; `down --purge` removes it.")
    underlay_address: str = key("172.24.5.2", "Its address on the underlay: tunnels end here.")
    roles: tuple[str, ...] = key(ROLES, f"What runs here, of {', '.join(ROLES)}.", one_of=ROLES)
    keeper: str = key(
        "",
        "Who keeps its processes running, systemd or kumoi; empty: systemd where it is process 1.",
    )
    shares_machine: bool = key(
        default=False,
        meaning="It is beside the cloud's first host: a control plane of its has a network of its own.",
    )
    joins_stores: bool = key(
        default=False,
        meaning="It came instead of a control host that was lost: its member of etcd joins those that are there.",
    )
    underlay_interface: str = key(
        "",
        "A link of the machine, without addresses, to hosts on other machines; the underlay gets it.",
    )
    has_edge: bool = key(
        default=True,
        meaning="The external network is on its machine. Without, others answer for floating IPs of its servers.",
    )
    ram_allocation_ratio: float = key(
        1.0, "Memory that servers may be promised, times what there is; above 1.0 they may run out."
    )
    cpu_allocation_ratio: float = key(32.0, "Processors that servers may be promised, likewise.")
    disk_allocation_ratio: float = key(
        8.0, "Disk likewise: a server's disk takes room only as it is written."
    )
    reserved_host_memory_mib: int = key(
        1_024, "Memory that no server gets: the machine's own programs and the cloud's."
    )
    reserved_host_disk_gib: int = key(
        1, "Disk that no server gets: databases and logs. What else lies there is reserved as well."
    )

    # What follows from the keys above.

    @property
    def state(self) -> Path:
        return Path(self.state_dir)

    @property
    def control_namespace(self) -> str | None:
        """The network namespace of its control plane; None is the machine's own."""
        return f"{self.name}{CONTROL}" if self.shares_machine else None

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files."""
        return self.state / "run"

    @property
    def log_dir(self) -> Path:
        return self.state / "log"

    @property
    def release_dir(self) -> Path:
        """The code that roles run, a directory for each release."""
        return self.state / "releases"

    @property
    def pki_dir(self) -> Path:
        """`ca.crt`, and `<name>.crt` with `<name>.key` for what runs here."""
        return self.state / "pki"

    @property
    def store_dir(self) -> Path:
        """The cloud's store, where it is a file. SQLite makes others beside it."""
        return self.state / "cloud"

    @property
    def pipeline_dir(self) -> Path:
        """The pipeline's store, likewise."""
        return self.state / "pipeline"

    @property
    def image_dir(self) -> Path:
        """Image files by content hash."""
        return self.state / "images"

    @property
    def agent_dir(self) -> Path:
        """The host agent's files: its wanted state, servers, unpacked images."""
        return self.state / "host"

    @property
    def known_control_hosts(self) -> Path:
        """Where the agent keeps the addresses of host APIs that it was told of."""
        return self.agent_dir / "control-hosts.json"

    @property
    def wake_dir(self) -> Path:
        return self.run_dir / "wake"

    @property
    def inspector_socket(self) -> Path:
        """Where the unit is asked that looks into images' files."""
        return self.run_dir / "inspector" / "calls.sock"

    @property
    def authority_socket(self) -> Path:
        """Where the unit is asked that signs hosts' certificates."""
        return self.run_dir / "authority" / "calls.sock"

    @property
    def northbound_remote(self) -> str:
        """How to reach OVN's northbound database."""
        return f"unix:{self.run_dir / 'ovnnb-db/db.sock'}"

    @property
    def southbound_remote(self) -> str:
        """How to reach OVN's southbound database where it runs."""
        return f"unix:{self.run_dir / 'ovnsb-db/db.sock'}"

    @property
    def switch_remote(self) -> str:
        """How the host agent reaches its host's Open vSwitch database."""
        return f"unix:{self.run_dir / 'ovs-db/db.sock'}"


def first_host(cloud: CloudSettings, state_dir: str) -> HostSettings:
    """The settings of a cloud's first host, which `up` makes of the machine it runs on."""
    address = str(ipaddress.ip_network(cloud.underlay_cidr)[2])
    return HostSettings(name=f"{cloud.name}-host1", state_dir=state_dir, underlay_address=address)


def is_first(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether it has the cloud's authority: of several control hosts, at the first underlay address."""
    if not cloud.is_replicated:
        return Role.API in host.roles
    own = cloud.control_host(host.name)
    return own is not None and own.address == cloud.control_address


Settings = TypeVar("Settings", CloudSettings, HostSettings)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Settings]):
    """A parsed file of settings. `unknown` are its keys that this release does not have; `written`
    are all keys, and all words of lists as "key.word", of the release that wrote the file.
    """

    settings: Settings
    unknown: Mapping[str, Any]
    written: frozenset[str]

    @property
    def unknown_names(self) -> list[str]:
        """The keys, and the words of lists as "key.word", that this release does not have."""
        words: list[str] = []
        for item in fields(self.settings):
            if item.metadata["one_of"]:
                words += (f"{item.name}.{word}" for word in getattr(self.settings, item.name))
        known = names(self.settings)
        return [name for name in (*self.unknown, *words) if name not in known]

    def require_known(self) -> Settings:
        """The settings. Raises Invalid for an unknown key or word that no `up` wrote, with the
        nearest known one.
        """
        for name in self.unknown_names:
            if name not in self.written:
                import difflib  # noqa: PLC0415 - for a mistake, and every process reads settings

                near = difflib.get_close_matches(name, names(self.settings), n=1, cutoff=0.5)
                hint = f": did you mean {near[0]}?" if near else ""
                raise Invalid(f"there is no setting {name}{hint}", field=name)
        return self.settings


def parse(kind: type[Settings], text: str) -> Parsed[Settings]:
    """Settings from TOML. Raises Invalid naming the key whose value is of the wrong type."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise Invalid("the settings are not TOML", field="settings") from cause
    written = raw.pop(WRITTEN, [])
    if not isinstance(written, list):
        raise Invalid(f"setting {WRITTEN} must be list, not {written!r}", field=WRITTEN)
    known = {item.name: item for item in fields(kind)}
    values = {
        name: of_type(name, value, known[name].default)
        for name, value in raw.items()
        if name in known
    }
    unknown = {name: value for name, value in raw.items() if name not in known}
    settings = kind(**values)
    if isinstance(settings, CloudSettings):
        components.check(settings.apis_off)
        ha_policy.check(settings.ha_policy)
        hosts, shared = settings.control_hosts, settings.shared_address
        control_host.check(hosts, settings.underlay_cidr, settings.control_address)
        control_host.check_shared(shared, hosts, settings.public_address)
    return Parsed(settings, unknown, frozenset(map(str, written)))


def file_of(kind: type[CloudSettings | HostSettings], directory: Path) -> Path:
    return directory / (CLOUD_FILE if kind is CloudSettings else HOST_FILE)


def read(kind: type[Settings], directory: Path) -> Parsed[Settings]:
    """Read the settings from their file in a host's state directory. Raises Invalid naming it."""
    path = file_of(kind, directory)
    try:
        return parse(kind, path.read_text())
    except Invalid as cause:
        raise Invalid(f"{path}: {cause.message}", field=cause.field) from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise Invalid(f"{path} cannot be read", field="settings") from cause


def write(settings: Settings, directory: Path) -> None:
    """Write the settings to their file. Keys of another release in the present file stay."""
    kind = type(settings)
    path = file_of(kind, directory)
    unknown = read(kind, directory).unknown if path.exists() else {}
    files.replace(path, render(settings, unknown), promise=Promise.NEW)


def render(settings: CloudSettings | HostSettings, unknown: Mapping[str, Any] | None = None) -> str:
    """The settings as TOML, each key with its meaning; then those of another release."""
    lines: list[str] = []
    for item in fields(settings):
        value = getattr(settings, item.name)
        if item.name == control_host.KEY:
            value = [each.table for each in value]
        lines += [f"# {item.metadata['meaning']}", f"{item.name} = {toml.written(value)}", ""]
    for name, value in (unknown or {}).items():
        lines += ["# Of another release.", f"{toml.written(name)} = {toml.written(value)}", ""]
    written = [*names(settings), *(unknown or {})]
    return "\n".join([*lines, f"# {WRITTEN_MEANING}", f"{WRITTEN} = {toml.written(written)}", ""])


def changed(settings: Settings, **values: Any) -> Settings:
    """The same settings but for some keys."""
    return dataclasses.replace(settings, **values)
