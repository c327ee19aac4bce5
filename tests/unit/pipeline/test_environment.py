"""What kumoi.yaml may say, and the one line that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base.errors import Invalid
from kumoi.pipeline import environment
from kumoi.pipeline.environment import Configure, Http, RunnerSection, ServersSection, Verify, parse

SMALL = "servers:\n  web: {image: debian-12, flavor: small}\n"


def test_the_annotated_example_is_read_in_full() -> None:
    text = (Path(environment.__file__).parent / "environment.example.yaml").read_text()
    read = parse(text)
    assert read.servers == {
        "web": ServersSection(image="debian-12", flavor="small", count=2, ports=(80,))
    }
    assert read.runner == RunnerSection()
    assert read.configure == (Configure(on="web", run="./deploy/web.sh"),)
    assert read.verify == (
        Verify(serverspec="spec/", on="web"),
        Verify(http=Http(on="web", path="/", port=80, status=200, contains="hello")),
    )
    assert read.ttl_s == 86_400


def test_the_hello_example_is_read() -> None:
    text = (Path(__file__).parents[3] / "examples" / "hello" / "kumoi.yaml").read_text()
    assert parse(text).servers["web"].count == 2


def test_a_group_alone_is_enough() -> None:
    assert parse(SMALL).servers["web"].count == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "kumoi.yaml: expected object, got null"),
        ("servers: [", "kumoi.yaml:1: is not YAML"),
        ("a: 1\n", "kumoi.yaml:1: there is no key a"),
        ("ttl: 1h\n", "kumoi.yaml:1: the key servers is missing"),
        ("servers: {}\n", "kumoi.yaml:1: servers: expected 1 to 10 groups, got 0"),
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
            "kumoi.yaml:2: servers.web: there is no key flavour",
        ),
        ("servers:\n  web: {image: x}\n", "kumoi.yaml:2: servers.web: the key flavor is missing"),
        (
            "servers:\n  web: {image: x, flavor: y}\n  web: {image: x, flavor: y}\n",
            "kumoi.yaml:3: servers.web: is given twice",
        ),
        (
            "servers:\n  runner: {image: x, flavor: y}\n",
            "kumoi.yaml:2: servers.runner: this name is the pipeline's own",
        ),
        (
            "servers:\n  Web: {image: x, flavor: y}\n",
            "kumoi.yaml:2: servers.Web: " + environment.NAME_RULE,
        ),
        (
            "servers:\n  web: {image: x, flavor: y, count: 0}\n",
            "kumoi.yaml:2: servers.web.count: expected 1 to 50, got 0",
        ),
        (
            "servers:\n  web: {image: x, flavor: y, ports: [0]}\n",
            "kumoi.yaml:2: servers.web.ports: expected ports from 1 to 65535, got 0",
        ),
        (
            SMALL + "configure:\n  - {on: db, run: x}\n",
            "kumoi.yaml:4: configure.0.on: there is no group of servers 'db'",
        ),
        (
            SMALL + "verify:\n  - {on: web}\n",
            "kumoi.yaml:4: verify.0: expected either serverspec or http",
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
            SMALL + "ttl: forever\n",
            "kumoi.yaml:3: ttl: expected a time such as 90m, 24h or 7d up to 30d, got 'forever'",
        ),
        (
            SMALL + "ttl: 99d\n",
            "kumoi.yaml:3: ttl: expected a time such as 90m, 24h or 7d up to 30d, got '99d'",
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
    assert str(refused.value) == "kumoi.yaml:5: servers.web: there is no key colour"
    with pytest.raises(Invalid) as refused:
        parse("servers:\n  web:\n    image: debian\n    flavor: small\nserver: {}\n")
    assert str(refused.value) == "kumoi.yaml:5: there is no key server"
