"""Which providers could take what is asked for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kumoi.cloud.domain.placement.provider import Amounts, ProviderFilter, ResourceProvider, room


@dataclass(frozen=True, slots=True)
class CandidateWish:
    """All `groups` are wanted of one provider; `isolated` wants another for each."""

    groups: tuple[ProviderFilter, ...]
    isolated: bool

    @property
    def amounts(self) -> Amounts:
        """What all groups want together."""
        total: Counter[str] = Counter()
        for group in self.groups:
            total.update(group.amounts)
        return dict(total)


def candidates(rows: Sequence[ResourceProvider], wish: CandidateWish) -> list[ResourceProvider]:
    """None for groups that may not share a provider: what is beside each other has no common root."""
    amounts = wish.amounts
    return [
        row
        for row in rows
        if not wish.isolated
        and all(group.takes(row) for group in wish.groups)
        and all(
            name in row.inventories and need <= room(row, name) for name, need in amounts.items()
        )
    ]
