from __future__ import annotations

import pytest

from kumoi import components
from kumoi.base.errors import Invalid
from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.domain.identity import bootstrap
from kumoi.components import Api
from kumoi.config import CloudSettings, parse, render


def test_apis_that_are_off_survive_being_written_and_read() -> None:
    cloud = CloudSettings(apis_off=("compute", "placement"))
    again = parse(CloudSettings, render(cloud)).require_known()
    assert again == cloud
    left = (Api.IDENTITY, Api.IMAGE, Api.NETWORK, Api.LOAD_BALANCER, Api.KEY_MANAGER)
    assert again.apis == left


def test_a_cloud_has_every_api_until_one_is_put_off() -> None:
    assert parse(CloudSettings, "").settings.apis == tuple(Api)


def test_an_api_of_another_release_is_off_for_that_release_alone() -> None:
    text = 'apis_off = ["dns"]\nwritten_by_up = ["apis_off", "apis_off.dns"]\n'
    found = parse(CloudSettings, text).require_known()
    assert found.apis == tuple(Api)
    assert '"dns"' in render(found)


def test_a_mistyped_api_is_named_with_the_nearest() -> None:
    with pytest.raises(Invalid, match=r"apis_off\.placment: did you mean apis_off\.placement"):
        parse(CloudSettings, 'apis_off = ["placment"]').require_known()


@pytest.mark.parametrize(
    ("off", "words"),
    [
        (["compute"], "has compute, which placement needs: add placement or take compute out"),
        (["image"], "has image, which compute needs"),
        (["network", "compute", "placement"], "has network, which load-balancer needs"),
        (["identity"], "has identity, without which there is no cloud"),
    ],
)
def test_an_api_that_another_one_needs_is_not_off_alone(off: list[str], words: str) -> None:
    with pytest.raises(Invalid, match=f"setting apis_off {words}") as refused:
        parse(CloudSettings, f"apis_off = {off}")
    assert refused.value.field == "apis_off"


def test_what_is_needed_is_needed_with_what_that_needs() -> None:
    assert components.with_needs("placement") == {"placement", "compute", "image", "network"}
    assert components.with_needs("key-manager") == {"key-manager"}


def test_every_api_that_there_is_can_be_named() -> None:
    assert {service.type for service in SERVICES} == set(Api)
    assert all(service.prefix == service.type for service in SERVICES)
    assert {first.type for first in bootstrap.SERVICES} == set(Api)
