"""What kumoi.yaml may say, and the one line that says what is wrong with it."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kumoi.base.errors import Invalid
from kumoi.pipeline import environment
from kumoi.pipeline.environment import (
    EnvironmentFile,
    FileShape,
    HealthMonitorSection,
    Http,
    ListenerSection,
    RunnerSection,
    parse,
)

SMALL = "servers:\n  web: {image: debian-12, flavor: small}\n"


def example() -> str:
    return (Path(environment.__file__).parent / "environment.example.yaml").read_text()


def test_the_annotated_example_is_read_in_full() -> None:
    read = parse(example())
    web = read.base.servers["web"]
    assert (web.image, web.flavor, web.count, web.ports) == ("debian-12", "small", 2, (22,))
    assert (web.networks, web.is_reached) == (("front", "back"), False)
    assert read.base.load_balancers["shop"].listeners == (
        ListenerSection(
            on="web",
            member_port=8080,
            health_monitor=HealthMonitorSection(path="/health", delay_s=2),
        ),
    )
    assert read.base.runner == RunnerSection()
    assert [step.once for step in read.base.configure] == ["", "", "0001-orders"]
    assert read.base.verify[2].http == Http(on="shop", port=80, contains="hello")
    assert read.base.ttl_s == 86_400
    assert not read.base.keep


def test_the_annotated_example_names_every_key() -> None:
    """Of every shape of the file."""
    text = example()
    shapes: list[type[msgspec.Struct]] = [FileShape, environment.Override]
    seen: set[str] = set()
    while shapes:
        shape = shapes.pop()
        for item in msgspec.structs.fields(shape):
            seen.add(item.encode_name)
            shapes += [each for each in inner(item.type) if each not in shapes]
    missing = sorted(name for name in seen if not re.search(rf"\b{name}:", text))
    assert missing == []


def inner(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The shapes that a field's type is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for each in typing.get_args(kind):
        yield from inner(each)


def test_a_branch_makes_the_environment_that_names_it() -> None:
    read = parse(example())
    assert read.of_branch("production").name == "production"
    assert read.of_branch("production").servers["web"].count == 4
    assert read.of_branch("production").keep
    assert read.of_branch("release/1.2").name == "staging"
    assert read.of_branch("release/1.2").servers == read.base.servers
    assert read.of_branch("try") == read.base


def test_an_override_is_checked_and_named_where_it_stands() -> None:
    text = SMALL + "environments:\n  staging:\n    servers:\n      web: {count: 0}\n"
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert str(refused.value) == (
        "kumoi.yaml:6: environments.staging.servers.web.count: expected 1 to 50, got 0"
    )
    text = SMALL + "environments:\n  staging:\n    servers:\n      db: {flavor: small}\n"
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert str(refused.value) == (
        "kumoi.yaml:6: environments.staging.servers.db: the key image is missing"
    )


def test_null_in_an_override_removes() -> None:
    text = (
        "servers:\n  web: {image: a, flavor: b}\n  db: {image: a, flavor: b}\n"
        "environments: {small: {servers: {db: null}}}\n"
    )
    assert list(parse(text).named["small"].wanted.servers) == ["web"]


def test_a_file_of_the_release_before_is_read_as_it_was() -> None:
    stored = {
        "servers": {"web": {"image": "debian-12", "flavor": "small", "count": 2, "ports": [80]}},
        "runner": {"image": "debian-12-runner", "flavor": "small"},
        "configure": [{"on": "web", "run": "./deploy/web.sh"}],
        "verify": [
            {"serverspec": "spec/", "on": "web", "http": None},
            {"serverspec": "", "on": "", "http": {"on": "web", "path": "/", "port": 0,
             "status": 200, "contains": "hello"}},
        ],
        "ttl_s": 86_400,
    }  # fmt: skip
    text = (Path(__file__).parents[3] / "examples" / "hello" / "kumoi.yaml").read_text()
    assert msgspec.convert(stored, EnvironmentFile) == parse(text).base


def test_the_hello_example_is_read() -> None:
    text = (Path(__file__).parents[3] / "examples" / "hello" / "kumoi.yaml").read_text()
    assert parse(text).base.servers["web"].count == 2


def test_the_examples_are_read_and_the_broken_one_is_refused() -> None:
    texts = {
        path.parent.name: path.read_text()
        for path in (Path(__file__).parents[3] / "examples").glob("*/kumoi.yaml")
    }
    with pytest.raises(Invalid) as refused:
        parse(texts.pop("broken-receive"))
    assert str(refused.value) == (
        "kumoi.yaml:3: servers.web: there is no key flavour, did you mean flavor?"
    )
    assert {name for name, text in texts.items() if parse(text)} == {
        "broken-build",
        "broken-configure",
        "broken-verify",
        "chef",
        "hello",
        "lvs",
        "puppet",
        "salt",
        "shop",
    }


def test_a_group_alone_is_enough() -> None:
    assert parse(SMALL).base.servers["web"].count == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "kumoi.yaml: expected a mapping, got nothing"),
        ("servers: [", "kumoi.yaml:1: is not YAML"),
        (
            "xyz: 1\n",
            (
                "kumoi.yaml:1: there is no key xyz; there is configure, environments, keep, "
                "load_balancers, networks, runner, secrets, servers, ttl, verify"
            ),
        ),
        ("ttl: 1h\n", "kumoi.yaml:1: the key servers is missing"),
        ("servers: {}\n", "kumoi.yaml:1: servers: expected 1 to 10 entries, got 0"),
        (
            "servers:\n  web:\n    image: x\n    flavor: y\n    count: many\n",
            "kumoi.yaml:5: servers.web.count: expected int, got str",
        ),
        (
            "servers:\n  web: {image: x, flavor: y, ports: [80, http]}\n",
            "kumoi.yaml:2: servers.web.ports.1: expected int, got str",
        ),
        (
            "servers:\n  web: {image: x, flavour: y}\n",
            "kumoi.yaml:2: servers.web: there is no key flavour, did you mean flavor?",
        ),
        ("servers:\n  web: {image: x}\n", "kumoi.yaml:2: servers.web: the key flavor is missing"),
        (
            "servers:\n  web: {image: x, flavor: y}\n  web: {image: x, flavor: y}\n",
            "kumoi.yaml:3: servers.web: is given twice",
        ),
        (
            'servers:\n  web: {image: x, flavor: y}\nconfigure:\n  - run: "a\\0b"\n',
            "kumoi.yaml:4: configure.0.run: holds a NUL character",
        ),
        (
            "servers:\n  runner: {image: x, flavor: y}\n",
            "kumoi.yaml:2: servers.runner: this name is the pipeline's own",
        ),
        (
            "servers:\n  Web: {image: x, flavor: y}\n",
            f"kumoi.yaml:2: servers.Web: expected {environment.NAME_RULE}, got 'Web'",
        ),
        (
            "servers:\n  web: {image: x, flavor: y, count: 0}\n",
            "kumoi.yaml:2: servers.web.count: expected 1 to 50, got 0",
        ),
        (
            "servers:\n  web: {image: x, flavor: y, ports: [0]}\n",
            "kumoi.yaml:2: servers.web.ports.0: expected 1 to 65535, got 0",
        ),
        (
            SMALL + "configure:\n  - {on: db, run: x}\n",
            "kumoi.yaml:4: configure.0.on: there is no group of servers 'db'; there is web",
        ),
        (
            SMALL + "verify:\n  - {on: web}\n",
            "kumoi.yaml:4: verify.0: expected one of serverspec, testinfra, http and run",
        ),
        (
            SMALL + "verify:\n  - {serverspec: ../spec, on: web}\n",
            "kumoi.yaml:4: verify.0.serverspec: expected a path inside the repository",
        ),
        (
            SMALL + "verify:\n  - http: {on: web}\n",
            "kumoi.yaml:4: verify.0.http.port: is needed, since web has no ports",
        ),
        (
            SMALL + "load_balancers:\n  front: {listeners: [{on: wbe}]}\n",
            (
                "kumoi.yaml:4: load_balancers.front.listeners.0.on: "
                "there is no group of servers 'wbe', did you mean web?"
            ),
        ),
        (
            SMALL + "load_balancers:\n  web: {listeners: [{on: web}]}\n",
            "kumoi.yaml:4: load_balancers.web: a group of servers has this name",
        ),
        (
            SMALL + "load_balancers:\n  front: {listeners: [{on: web, protocol: FTP}]}\n",
            (
                "kumoi.yaml:4: load_balancers.front.listeners.0.protocol: "
                "expected HTTP or TCP, got 'FTP'"
            ),
        ),
        (
            SMALL + "networks: {a: {cidr: 10.0.0.0/24}, b: {cidr: 10.0.0.128/25}}\n",
            "kumoi.yaml:3: networks.b.cidr: overlaps with a",
        ),
        (
            SMALL + "networks: {a: {cidr: 10.0.0.1/24}}\n",
            (
                "kumoi.yaml:3: networks.a.cidr: "
                "expected a network such as 10.0.0.0/24, got '10.0.0.1/24'"
            ),
        ),
        (
            SMALL + "configure:\n  - {on: web, run: x, ansible: site.yml}\n",
            "kumoi.yaml:4: configure.0: expected either run or ansible",
        ),
        (
            SMALL + "configure:\n  - {on: web, run: x, timeout: soon}\n",
            (
                "kumoi.yaml:4: configure.0.timeout: "
                "expected a time such as 90s, 10m, 24h or 7d, got 'soon'"
            ),
        ),
        (
            SMALL + "verify:\n  - {serverspec: spec/, on: web, junit: a.xml}\n",
            "kumoi.yaml:4: verify.0.junit: belongs to a check that has run",
        ),
        (
            "servers:\n  web: {image: x, flavor: y, count: 10000}\n",
            "kumoi.yaml:2: servers.web.count: expected 1 to 50, got 10000",
        ),
        (
            SMALL + "ttl: forever\n",
            "kumoi.yaml:3: ttl: expected a time such as 90m, 24h or 7d up to 30d, got 'forever'",
        ),
        (
            SMALL + "secrets: [db-password]\n",
            (
                "kumoi.yaml:3: secrets.0: expected a name of A-Z, 0-9 and _, and none that is ours: "
                "KUMOI_…, PATH, HOME, got 'db-password'"
            ),
        ),
        (
            SMALL + "secrets: [A, B,\n  A]\n",
            "kumoi.yaml:4: secrets.2: names A twice",
        ),
        (
            SMALL + "ttl: 99d\n",
            "kumoi.yaml:3: ttl: expected a time up to 30d, got '99d'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_field_and_line(text: str, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert str(refused.value) == message


def test_references_that_explode_are_refused() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    with pytest.raises(Invalid, match="has more than 5000 values"):
        parse(bomb)


@pytest.mark.parametrize("text", ["servers: &a [*a]", "[" * 30_000, "{a: " * 5_000])
def test_what_is_nested_without_end_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"is nested too deeply|is not YAML"):
        parse(text)


def test_a_large_file_is_refused() -> None:
    with pytest.raises(Invalid, match="larger than"):
        parse("#" * 70_000)


def test_an_unknown_key_is_named_with_its_own_line() -> None:
    text = "servers:\n  web:\n    image: debian\n    flavor: small\n    colour: red\n"
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert (
        str(refused.value) == "kumoi.yaml:5: servers.web: there is no key colour; there is "
        "count, flavor, floating_ip, image, networks, ports, user_data"
    )
    with pytest.raises(Invalid) as refused:
        parse("servers:\n  web:\n    image: debian\n    flavor: small\nserver: {}\n")
    assert str(refused.value) == "kumoi.yaml:5: there is no key server, did you mean servers?"


def test_a_secret_is_known_by_its_place_and_an_override_has_its_own() -> None:
    more = "environments:\n  production:\n    branches: [production]\n    secrets:\n      - TOKEN\n"
    file = parse(SMALL + "secrets: [PASSWORD]\n" + more)
    assert file.base.secret_places == {"PASSWORD": "kumoi.yaml:3: secrets.0"}
    assert file.of_branch("production").secret_places == {
        "TOKEN": "kumoi.yaml:8: environments.production.secrets.0"
    }


def test_a_file_without_secrets_is_stored_as_a_release_that_knows_none_reads_it() -> None:
    assert "secrets" not in msgspec.to_builtins(parse(SMALL).base)
