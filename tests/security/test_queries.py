"""A tenant asks for a list by more words than anybody needs: it is answered or refused in few statements, in
memory of a bound, and is nobody's fault but his.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from kumoi.cloud.store import listing
from kumoi.engine.http.limits import QUERY_MAX_BYTES
from tests.security.in_process import InProcessCloud

TAGS = ",".join(f"t{number}" for number in range(1_200))
PROPERTIES = "&".join(f"p{number}=v" for number in range(900))
MANY = {
    "tags of networks": f"/network/v2.0/networks?tags={TAGS}",
    "tags that networks lack": f"/network/v2.0/networks?not-tags={TAGS}",
    "any tags of networks": f"/network/v2.0/networks?tags-any={TAGS}",
    "tags of projects": f"/identity/v3/projects?tags={TAGS}",
    "tags of balancers": f"/load-balancer/v2.0/lbaas/loadbalancers?tags={TAGS}",
    "tags of servers": f"/compute/v2.1/servers?tags={TAGS}",
    "tags of images": "/image/v2/images?" + "&".join(f"tag=t{n}" for n in range(800)),
    "ids of networks": "/network/v2.0/networks?" + "&".join(f"id=i{n}" for n in range(1_000)),
    "orders of networks": "/network/v2.0/networks?" + "&".join(["sort_key=name"] * 580),
    "orders of images": "/image/v2/images?sort=" + ",".join(["name"] * 1_500),
    "orders of balancers": (
        "/load-balancer/v2.0/lbaas/loadbalancers?sort=" + ",".join(["name"] * 1_500)
    ),
    "orders of servers": "/compute/v2.1/servers?" + "&".join(["sort_key=display_name"] * 350),
}
SELECTS_MAX, ORDERS_MAX = 10, 5
"""Of one statement: SQLAlchemy takes a tenth of a millisecond and some KiB for each part."""


@pytest.mark.parametrize("path", MANY.values(), ids=MANY.keys())
def test_a_list_by_very_many_words_is_a_statement_of_usual_length(
    on_each: InProcessCloud, path: str
) -> None:
    """1,200 tags were as many subqueries, which SQLite refuses: 500."""
    said: list[str] = []

    def heard(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        said.append(statement)

    sa.event.listen(on_each.database.engine, "before_cursor_execute", heard)
    try:
        answer = on_each.ask("GET", path)
    finally:
        sa.event.remove(on_each.database.engine, "before_cursor_execute", heard)
    assert answer.status_code == 200, answer.text
    for statement in said:
        assert statement.count("SELECT") < SELECTS_MAX
        assert statement.partition("ORDER BY")[2].count(",") < ORDERS_MAX


def test_an_image_has_no_more_properties_than_it_may_have(on_each: InProcessCloud) -> None:
    assert on_each.ask("GET", f"/image/v2/images?{PROPERTIES}").status_code == 400
    assert on_each.ask("GET", "/image/v2/images?p1=v&p2=v").status_code == 200


def test_a_query_that_is_longer_than_openstacks_is_not_read(on_each: InProcessCloud) -> None:
    word = "&name=x"
    most = word * (QUERY_MAX_BYTES // len(word))
    assert on_each.ask("GET", f"/network/v2.0/networks?{most[1:]}").status_code == 200
    answer = on_each.ask("GET", f"/network/v2.0/networks?{most}{word}")
    assert answer.status_code == 414
    assert "at most 8192 bytes" in answer.text


def test_orders_that_repeat_themselves_are_remembered_once(on_each: InProcessCloud) -> None:
    """Each was compiled and kept: a thousand of them took gigabytes."""
    path = "/network/v2.0/networks?sort_key=name"
    on_each.ask("GET", path).raise_for_status()
    before = len(listing._SHAPES)
    for count in range(1, 40):
        on_each.ask("GET", path + "&sort_key=name" * count).raise_for_status()
    assert len(listing._SHAPES) == before


def test_what_tags_select_is_what_they_say(on_each: InProcessCloud) -> None:
    path = "/network/v2.0/networks"
    for name in ("ab", "a", "b", ""):
        made = on_each.ask("POST", path, {"network": {"name": f"tagged-{name}"}})
        key = made.json()["network"]["id"]
        on_each.ask("PUT", f"{path}/{key}/tags", {"tags": list(name)}).raise_for_status()

    def found(query: str) -> set[str]:
        rows = on_each.ask("GET", f"{path}?{query}").json()["networks"]
        return {
            row["name"].removeprefix("tagged-") for row in rows if row["name"].startswith("tagged-")
        }

    assert found("tags=a,b") == {"ab"}
    assert found("tags=a,a") == {"ab", "a"}
    assert found("tags-any=a,b") == {"ab", "a", "b"}
    assert found("not-tags=a,b") == {"a", "b", ""}
    assert found("not-tags-any=a,b") == {""}
    assert found("tags=a&not-tags-any=b") == {"a"}
