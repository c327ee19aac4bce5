from __future__ import annotations

from dataclasses import fields

import pytest

from kumoi.base.errors import Invalid
from kumoi.config import Settings, parse, render


def test_settings_survive_being_written_and_read() -> None:
    settings = Settings(name="x1", state_dir='/a "quoted" \\ place', api_port=7000, outbound=True)
    assert parse(render(settings)) == settings


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(Invalid, match="colour"):
        parse('colour = "red"')


def test_a_setting_of_the_wrong_type_is_named() -> None:
    with pytest.raises(Invalid, match="api_port must be int"):
        parse('api_port = "5000"')


def test_what_is_not_toml_is_refused() -> None:
    with pytest.raises(Invalid, match="not TOML"):
        parse("=")


def test_every_setting_says_what_it_means() -> None:
    assert all(len(item.metadata["meaning"]) > 10 for item in fields(Settings))


def test_addresses_follow_from_the_ranges() -> None:
    settings = Settings(public_cidr="10.1.0.0/24", underlay_cidr="10.2.0.0/28", name="t")
    assert settings.api_url == "https://10.1.0.1:5000"
    assert settings.host_api_url == "https://10.2.0.1:5001"
    assert settings.host_underlay_address == "10.2.0.2"
    assert settings.edge_address == "10.1.0.2"
    assert (settings.host_name, settings.edge_name) == ("t-host1", "t-edge")
