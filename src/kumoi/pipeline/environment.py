"""The environment file `kumoi.yaml`: the servers, balancers, steps and checks that a push asks for.

`parse` alone validates it. The receive hook calls it through git.py and refuses a push whose file
it cannot read; the run begins with the parsed file. These shapes are the file's one definition: its JSON
Schema (docs/reference/kumoi.schema.json) is made of them, and a test holds the annotated example
beside this file to them. Unknown keys are refused, so that a key of a later version is never silently
ignored. What the types do not say is in environment_rules.py.
"""

from __future__ import annotations

import fnmatch
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kumoi.pipeline import environment_rules, yaml_tree
from kumoi.pipeline.yaml_tree import YamlTree

FILE_NAME = "kumoi.yaml"
SERVER_IMAGE, RUNNER_IMAGE = "debian-12", "debian-12-runner"
FILE_MAX_BYTES = yaml_tree.FILE_MAX_BYTES
GROUPS_MAX = 10
SERVERS_MAX = environment_rules.SERVERS_MAX
STEPS_MAX = 50
NAME_RULE = "a name of 1 to 31 of a-z, 0-9 and -, which begins with a letter"
SECRETS_MAX = 50
VARIABLE_RULE = "a name of A-Z, 0-9 and _, and none that is ours: KUMOI_…, PATH, HOME"
TTL_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
TTL_MAX_S = 30 * 86_400
EXTENSION_MIN_S = 60

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z", title=NAME_RULE)]
SecretName = Annotated[
    str,
    Meta(pattern=r"^(?!KUMOI_|(PATH|HOME)\Z)[A-Z][A-Z0-9_]{0,62}\Z", title=VARIABLE_RULE),
]
Text = Annotated[str, Meta(min_length=1, max_length=4_096)]
Path = Annotated[str, Meta(min_length=1, max_length=1_024)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Duration = Annotated[
    str, Meta(pattern=r"^[1-9][0-9]{0,4}[smhd]\Z", title="a time such as 90s, 10m, 24h or 7d")
]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of the file."""


class NetworkSection(Section, frozen=True):
    """A network of the environment's own, behind its router."""

    cidr: Annotated[str, Meta(description="IPv4 addresses of the network.")]


class ServersSection(Section, frozen=True):
    """A group of alike servers, called web-1, web-2, …"""

    image: Annotated[Text, Meta(description="Name of an image of the cloud.")]
    flavor: Annotated[Text, Meta(description="Name of a flavor of the cloud.")]
    count: Annotated[int, Meta(ge=1, le=SERVERS_MAX, description="How many.")] = 1
    ports: Annotated[
        tuple[Port, ...], Meta(max_length=20, description="TCP ports open to the world.")
    ] = ()
    networks: Annotated[
        tuple[Name, ...],
        Meta(max_length=8, description="The first network that the file names if left out."),
    ] = ()
    floating_ip: Annotated[
        bool | None,
        Meta(description="Whether the first server has one; if left out, when it has ports."),
    ] = None
    user_data: Annotated[
        str, Meta(max_length=16_384, description="For cloud-init, as the image understands it.")
    ] = ""

    @property
    def is_reached(self) -> bool:
        """Whether its first server has a floating IP."""
        return bool(self.ports) if self.floating_ip is None else self.floating_ip


class HealthMonitorSection(Section, frozen=True):
    """Which members get connections: those that answer."""

    path: Annotated[
        str, Meta(max_length=1_024, description="Asked by HTTP; if left out, by TCP.")
    ] = ""
    delay_s: Annotated[int, Meta(ge=1, le=3_600, description="From probe to probe.")] = 2
    max_retries: Annotated[int, Meta(ge=1, le=10)] = 2


class ListenerSection(Section, frozen=True):
    """A port of the balancer, and the group of servers behind it."""

    on: Annotated[Name, Meta(description="A group of servers.")]
    protocol: Annotated[
        str,
        Meta(
            pattern=r"^(HTTP|TCP)\Z",
            title="HTTP or TCP",
            description="HTTP knows requests; TCP passes connections on.",
        ),
    ] = "HTTP"
    port: Port = 80
    member_port: Annotated[
        int, Meta(ge=0, le=65_535, description="Of the servers; `port` if left out.")
    ] = 0
    algorithm: Annotated[
        str,
        Meta(
            pattern=r"^(ROUND_ROBIN|LEAST_CONNECTIONS|SOURCE_IP)\Z",
            title="ROUND_ROBIN, LEAST_CONNECTIONS or SOURCE_IP",
        ),
    ] = "ROUND_ROBIN"
    sticky: Annotated[
        bool, Meta(description="Whether a client keeps its server, by a cookie or its address.")
    ] = False
    health_monitor: HealthMonitorSection | None = None


class LoadBalancerSection(Section, frozen=True):
    """A load balancer in front of groups of servers."""

    listeners: Annotated[tuple[ListenerSection, ...], Meta(min_length=1, max_length=10)]
    network: Annotated[
        str, Meta(max_length=31, description="Where its address is; the first if left out.")
    ] = ""
    floating_ip: Annotated[bool, Meta(description="Whether the world reaches it.")] = True


class RunnerSection(Section, frozen=True):
    """The server that configures and verifies the others from inside the tenant."""

    image: Text = RUNNER_IMAGE
    flavor: Text = "small"


class Configure(Section, frozen=True):
    """One of: a shell command, run in a copy of the sources on each server of a group, or without one on
    the runner, as tools do that reach the servers from there; or an Ansible playbook, run by the runner
    against all of them.
    """

    on: Annotated[
        str,
        Meta(max_length=31, description="A group; the runner if left out. A playbook's limit."),
    ] = ""
    run: Annotated[str, Meta(max_length=4_096, description="A shell command.")] = ""
    ansible: Annotated[str, Meta(max_length=1_024, description="A playbook.")] = ""
    once: Annotated[
        str,
        Meta(
            pattern=r"^([a-zA-Z0-9][a-zA-Z0-9._-]{0,62})?\Z",
            title="a name of letters, digits and . _ -",
            description="A migration's name: it runs on the group's first server, until it has "
            "succeeded there once.",
        ),
    ] = ""
    timeout: Duration = "30m"


class Http(Section, frozen=True):
    """The answer that a balancer, or each server of a group, must give. `port` 0 stands for the first."""

    on: Annotated[Name, Meta(description="A balancer, or a group of servers.")]
    path: Annotated[str, Meta(max_length=1_024)] = "/"
    port: Annotated[int, Meta(ge=0, le=65_535, description="The first if left out.")] = 0
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    contains: Annotated[str, Meta(max_length=4_096)] = ""
    within: Annotated[
        Duration, Meta(description="It is asked again for so long: a service may be starting.")
    ] = "15s"


class Verify(Section, frozen=True):
    """One of: Serverspec files, testinfra files, an HTTP expectation, a command that writes JUnit."""

    serverspec: Annotated[
        str, Meta(max_length=1_024, description="Files or a folder, run against each server of on.")
    ] = ""
    testinfra: Annotated[str, Meta(max_length=1_024, description="Likewise.")] = ""
    on: Annotated[str, Meta(max_length=31, description="A group.")] = ""
    http: Http | None = None
    run: Annotated[str, Meta(max_length=4_096, description="A command, on the runner.")] = ""
    junit: Annotated[
        str, Meta(max_length=1_024, description="What it writes: a file, or a pattern of files.")
    ] = ""
    timeout: Duration = "30m"


Servers = Annotated[dict[Name, ServersSection], Meta(min_length=1, max_length=GROUPS_MAX)]
Networks = Annotated[dict[Name, NetworkSection], Meta(max_length=8)]
LoadBalancers = Annotated[dict[Name, LoadBalancerSection], Meta(max_length=GROUPS_MAX)]
ConfigureSteps = Annotated[tuple[Configure, ...], Meta(max_length=STEPS_MAX)]
VerifySteps = Annotated[tuple[Verify, ...], Meta(max_length=STEPS_MAX)]
Secrets = Annotated[
    tuple[SecretName, ...],
    Meta(
        max_length=SECRETS_MAX,
        description="Set by `kumoi secret set`; environment variables of each step and check.",
    ),
]


class EnvironmentFile(Section, frozen=True):
    """One environment as it is wanted, checked: the file, with what its name overrides. `ttl_s` is 0
    where the file leaves it to the installation. `secrets` has where each is named, "kumoi.yaml:3: secrets.0";
    it is left out where there are none, which a release that does not know them reads.
    """

    servers: Servers
    networks: Networks = {}
    load_balancers: LoadBalancers = {}
    runner: RunnerSection = RunnerSection()
    configure: ConfigureSteps = ()
    verify: VerifySteps = ()
    ttl_s: int = 0
    keep: bool = False
    name: str = ""
    secrets: dict[SecretName, str] | msgspec.UnsetType = msgspec.UNSET

    @property
    def secret_places(self) -> dict[str, str]:
        return {} if isinstance(self.secrets, msgspec.UnsetType) else self.secrets


BRANCH_PATTERN_MAX = 200  # As long as a branch's name: Python reads a pattern in quadratic time.
BranchPattern = Annotated[str, Meta(min_length=1, max_length=BRANCH_PATTERN_MAX)]


class NamedEnvironment(Section, frozen=True):
    """One that the file names, such as production, and the branches that make it."""

    branches: tuple[str, ...]
    wanted: EnvironmentFile


class ProjectFile(Section, frozen=True):
    """The whole file, checked."""

    base: EnvironmentFile
    named: dict[str, NamedEnvironment] = {}

    def of_branch(self, branch: str) -> EnvironmentFile:
        """What a push of that branch is made into."""
        for each in self.named.values():
            if any(fnmatch.fnmatchcase(branch, pattern) for pattern in each.branches):
                return each.wanted
        return self.base


class Override(Section, frozen=True):
    """What an environment of that name has instead: mappings are merged, null removes, all else
    replaces.
    """

    branches: Annotated[
        tuple[BranchPattern, ...],
        Meta(max_length=20, description="The branches that make it, such as main or release/*."),
    ] = ()
    servers: dict[str, Any] = {}
    networks: dict[str, Any] = {}
    load_balancers: dict[str, Any] = {}
    runner: dict[str, Any] = {}
    configure: tuple[Any, ...] = ()
    verify: tuple[Any, ...] = ()
    secrets: tuple[Any, ...] = ()
    ttl: str = ""
    keep: bool = False


class FileShape(Section, frozen=True):
    """kumoi.yaml: what a push of this repository is made into."""

    servers: Servers
    networks: Networks = {}
    load_balancers: LoadBalancers = {}
    runner: RunnerSection = RunnerSection()
    configure: ConfigureSteps = ()
    verify: VerifySteps = ()
    secrets: Secrets = ()
    ttl: Annotated[
        str,
        Meta(
            pattern=r"^([1-9][0-9]{0,4}[smhd])?\Z",
            title="a time such as 90m, 24h or 7d up to 30d",
            description="How long the environment lives. The installation's setting if left out.",
        ),
    ] = ""
    keep: Annotated[
        bool,
        Meta(
            description="Whether the next push changes this environment, instead of building another."
        ),
    ] = False
    environments: Annotated[dict[Name, Override], Meta(max_length=GROUPS_MAX)] = {}


def parse(text: str) -> ProjectFile:
    """The parsed and checked file. Raises Invalid with one line that names the field, and its line
    where known: "kumoi.yaml:3: servers.web.count: expected int, got str".
    """
    tree = yaml_tree.read(FILE_NAME, text)
    shape = tree.convert(FileShape)
    base = _environment(tree, shape, "")
    named: dict[str, NamedEnvironment] = {}
    plain = YamlTree(tree.file, {**tree.value, "environments": {}}, tree.lines)
    for name, override in shape.environments.items():
        said = dict(tree.value["environments"][name] or {})
        said.pop("branches", None)
        over = plain.overridden(said, f"environments.{name}")
        wanted = _environment(over, over.convert(FileShape), name)
        named[name] = NamedEnvironment(branches=override.branches, wanted=wanted)
    return ProjectFile(base=base, named=named)


def seconds(duration: str) -> int:
    """Of a text such as 90m."""
    return int(duration[:-1]) * TTL_UNITS_S[duration[-1]]


def _environment(tree: YamlTree, shape: FileShape, name: str) -> EnvironmentFile:
    ttl_s = seconds(shape.ttl) if shape.ttl else 0
    if ttl_s > TTL_MAX_S:
        raise tree.fault("ttl", f"expected a time up to 30d, got {shape.ttl!r}")
    places: dict[str, str] = {}
    for index, secret in enumerate(shape.secrets):
        if secret in places:
            raise tree.fault(f"secrets.{index}", f"names {secret} twice")
        places[secret] = tree.place(f"secrets.{index}")
    found = EnvironmentFile(
        servers=shape.servers,
        networks=shape.networks,
        load_balancers=shape.load_balancers,
        runner=shape.runner,
        configure=shape.configure,
        verify=shape.verify,
        ttl_s=ttl_s,
        keep=shape.keep,
        name=name,
        secrets=places or msgspec.UNSET,
    )
    for where, message in environment_rules.faults(found):
        raise tree.fault(where, message)
    return found
