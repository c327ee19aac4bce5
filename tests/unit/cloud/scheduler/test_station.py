from __future__ import annotations

from kumoi.cloud.scheduler.station import missing


def test_the_hosts_with_fewest_stations_get_the_next() -> None:
    assert missing([], {"a": 2, "b": 0, "c": 1}, wanted=2) == ("b", "c")


def test_a_host_has_one_station_of_a_balancer() -> None:
    assert missing(["a"], {"a": 1}, wanted=2) == ()
    assert missing(["a"], {"a": 1, "b": 9}, wanted=2) == ("b",)


def test_a_balancer_with_stations_enough_gets_no_other() -> None:
    assert missing(["a", "b"], {"a": 1, "b": 1, "c": 0}, wanted=2) == ()
