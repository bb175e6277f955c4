"""What the README shows, on SQLite; `tests/docs/test_examples.py` runs it on PostgreSQL."""

from __future__ import annotations

import pytest

from api.auth.tokens import Role
from tests.api.installation import Driver, Installation, People
from tests.readme_example import carry_out_the_example

pytestmark = pytest.mark.servers


async def test_the_example_carries_a_ride_from_quote_to_fare(installation: Installation, people: People) -> None:
    try:
        await carry_out_the_example(installation.url, installation.env)
    finally:
        for driver_id in {row[0] for row in installation.in_sql()["shifts"] if row[0].startswith("dora-")}:
            await Driver(installation, Role.DRIVER, driver_id, people.http).post(
                "/v1/drivers/me/status", {"status": "offline"}
            )
