"""A tenant pushes, or sends, what makes a parser work for long or take much memory."""

from __future__ import annotations

import json
import resource

import pytest

from kumoi.base.errors import Invalid
from kumoi.pipeline import environment
from kumoi.pipeline.environment import FILE_MAX_BYTES
from tests.security.in_process import InProcessCloud

BOMB = "*a,*a,*a,*a,*a,*a,*a,*a,*a"
EXPLODING_KEY = (
    "? [&a [1,1,1,1,1,1,1,1,1], "
    f"&b [{BOMB}], &c [{BOMB.replace('a', 'b')}], &d [{BOMB.replace('a', 'c')}], "
    f"&e [{BOMB.replace('a', 'd')}], &f [{BOMB.replace('a', 'e')}], &g [{BOMB.replace('a', 'f')}]]\n"
    ": 1\n"
)
FILES = {
    "aliases inside a sequence that is a key": EXPLODING_KEY,
    "aliases that grow": EXPLODING_KEY.replace("? ", "servers: ").replace("\n: 1\n", "\n"),
    "many brackets": "[" * 30_000,
    "many braces": "{" * 30_000,
    "many dashes": "- " * 30_000,
    "many question marks": "? " * 30_000,
    "brackets in pairs": "servers: " + "[" * 900 + "]" * 900,
    "a wide list": "servers: [" + "1," * 25_000 + "]",
    "one long line": "servers: " + "x" * 60_000,
    "one long key": "x" * 60_000 + ": 1",
    "a number without an end": "servers: " + "9" * 60_000,
    "a number in base 60": "servers: 1" + ":1" * 20_000,
    "a fraction in base 60": "servers: 1" + ":1" * 20_000 + ".5",
    "a group with a long name": f"servers: {{web: {{image: a, flavor: b}}}}\nttl: {'t' * 60_000}",
    "a pattern of branches": (
        "servers: {web: {image: a, flavor: b}}\n"
        f"environments: {{a: {{branches: [{', '.join([repr('[' * 4_000)] * 15)}]}}}}"
    ),
    "too long a file": "#" * (FILE_MAX_BYTES + 1),
}
CPU_MAX_S = 2.0
GROWN_MAX_KIB = 64 << 10
WORDS_MAX = 600


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_a_pushed_file_is_refused_in_short_time_and_in_few_words(text: str) -> None:
    """30,000 brackets took 10 s, 279 bytes of aliases a gigabyte and a message of megabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(Invalid) as refused:
        environment.parse(text)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert len(str(refused.value)) < WORDS_MAX
    assert after.ru_utime - before.ru_utime < CPU_MAX_S
    assert after.ru_maxrss - before.ru_maxrss < GROWN_MAX_KIB


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"network": ' + b"[" * 100_000,
        b'{"network": {"name": ' + b"9" * 100_000 + b"}}",
        b'{"network": {"mtu": 1e' + b"9" * 1_000 + b"}}",
        b'{"network": {"name": "' + b"\\u0061" * 15_000 + b'"}}',
        json.dumps({"network": {f"key{number}": 1 for number in range(7_000)}}).encode(),
    ],
    ids=lambda body: str(body[:16]),
)
def test_deep_and_wide_json_is_refused_in_few_words(on_sqlite: InProcessCloud, body: bytes) -> None:
    answer = on_sqlite.ask("POST", "/network/v2.0/networks", body)
    assert answer.status_code == 400
    assert len(answer.text) < WORDS_MAX


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*" * 40, "a{99999999999}", "(" * 250, "((a{0,100}){0,100}){0,100}", "x" * 7_000],
)
def test_a_regular_expression_takes_linear_time_or_is_refused(
    on_sqlite: InProcessCloud, pattern: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    answer = on_sqlite.client.request(
        "GET",
        "/compute/v2.1/servers",
        params={"name": pattern},
        headers={"X-Auth-Token": on_sqlite.token},
    )
    assert answer.status_code in {200, 400}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < CPU_MAX_S


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*" * 40 + "b", "(" * 90 + ")" * 90, "((a{0,999}){0,999}){0,999}", "a|" * 120, "[" * 250],
)
def test_a_pattern_of_a_balancers_rule_is_read_in_short_time(
    on_sqlite: InProcessCloud, pattern: str
) -> None:
    """It is parsed here and matched by the proxy alone."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    rule = {"type": "PATH", "compare_type": "REGEX", "value": pattern}
    answer = on_sqlite.ask(
        "POST", "/load-balancer/v2.0/lbaas/l7policies/none/rules", {"rule": rule}
    )
    assert answer.status_code in {400, 404}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < CPU_MAX_S


@pytest.mark.parametrize("part", ["**a", "*a", "{x}a"])
def test_an_access_rule_of_many_wildcards_is_looked_at_in_short_time(
    on_sqlite: InProcessCloud, part: str
) -> None:
    """Five of them took 1.4 s of the event loop for a path of 100 letters, twice that 90 s."""
    user_id = on_sqlite.ask(
        "GET", "/identity/v3/auth/tokens", **{"X-Subject-Token": on_sqlite.token}
    ).json()["token"]["user"]["id"]
    rule = {"service": "compute", "method": "GET", "path": f"/v2.1/servers/{part * 12}b"}
    wanted = {"name": part, "secret": "secret", "access_rules": [rule]}
    answer = on_sqlite.ask(
        "POST",
        f"/identity/v3/users/{user_id}/application_credentials",
        {"application_credential": wanted},
    )
    assert answer.status_code == 201, answer.text
    made = {"id": answer.json()["application_credential"]["id"], "secret": "secret"}
    proof = {"methods": ["application_credential"], "application_credential": made}
    answer = on_sqlite.ask("POST", "/identity/v3/auth/tokens", {"auth": {"identity": proof}})
    token = answer.headers["X-Subject-Token"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for name, status in (("a" * 200, 401), ("a" * 200 + "b", 404), ("a" * 9_000 + "b", 401)):
        answer = on_sqlite.ask("GET", f"/compute/v2.1/servers/{name}", token=token)
        assert answer.status_code == status
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < CPU_MAX_S


SECRET = {"payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/key-manager/v1/secrets", SECRET | {"payload": "A" * 100_000}),
        ("/key-manager/v1/secrets", SECRET | {"payload": "=" * 10_000}),
        ("/key-manager/v1/secrets", SECRET | {"payload": "A" * 9_999}),
        (
            "/compute/v2.1/servers",
            {"server": {"name": "a", "flavorRef": "a", "imageRef": "a", "user_data": "A" * 90_000}},
        ),
        ("/network/v2.0/networks", {"network": {"name": "one line " * 10_000}}),
    ],
    ids=["long base64", "only its end", "a part of a byte", "long user data", "one long line"],
)
def test_long_texts_and_base64_are_refused_in_few_words(
    on_sqlite: InProcessCloud, path: str, body: dict[str, object]
) -> None:
    answer = on_sqlite.ask("POST", path, body)
    assert answer.status_code in {400, 413}
    assert len(answer.text) < WORDS_MAX
