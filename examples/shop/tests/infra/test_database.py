"""What the database server must be."""

from typing import Any


def test_the_database_runs_and_begins_with_the_server(host: Any) -> None:
    service = host.service("database")
    assert service.is_running
    assert service.is_enabled


def test_the_orders_are_the_programs_own(host: Any) -> None:
    orders = host.file("/var/lib/shop/orders.db")
    assert orders.user == "www-data"
