"""Each family of faults by itself, as `make faults` runs them."""

from __future__ import annotations

import pytest

from tests.conftest import needs
from tests.faults.frame import faults
from tests.faults.runner import perform

FAULTS = faults()


@pytest.mark.full
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", FAULTS)
def test_a_family_is_as_it_must_be(name: str) -> None:
    needs(FAULTS[name].missing())
    for result in perform(name, 20261128, full=False):
        assert result.good, result.text()
