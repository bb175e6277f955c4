"""One ride, from the quote to the fare, over the public API: a rider and a driver in sixty lines."""

import json
import os
import subprocess
import time
import uuid

import httpx
from websockets.sync.client import connect

API = os.environ["HEXHAIL_API_URL"]
TIMES_SQUARE = {"lat_deg": 40.7580, "lng_deg": -73.9855}
UNION_SQUARE = {"lat_deg": 40.7359, "lng_deg": -73.9911}


def client(role: str, name: str) -> tuple[httpx.Client, dict[str, str]]:
    token = subprocess.check_output(["hexhail", "token", "--role", role, "--subject", name], text=True).strip()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=API, headers=headers, timeout=10), headers


def post(who: httpx.Client, path: str, body: dict | None = None, **headers: str) -> dict:
    answer = who.post(path, json=body, headers=headers)
    assert answer.is_success, answer.text  # problem+json: what was wrong, and what to do
    return answer.json()


def wait_for(stream, event: str) -> dict:
    while True:
        message = json.loads(stream.recv(timeout=60))
        if message.get("event") == event:
            return message


rider, rider_headers = client("rider", f"alice-{uuid.uuid4().hex[:8]}")
driver, driver_headers = client("driver", f"dora-{uuid.uuid4().hex[:8]}")

# The driver goes on shift and says where she is; times are the city's.
shift = post(driver, "/v1/drivers/me/status", {"status": "online", "seats": 4})
post(driver, "/v1/drivers/me/pings", {"pings": [{"t_s": shift["changed_s"], **TIMES_SQUARE}]})

# The rider asks for a price and takes it. The key makes it safe to send the request again.
quote = post(rider, "/v1/quotes", {"pickup": TIMES_SQUARE, "dropoff": UNION_SQUARE})
digits = quote["minor_unit_digits"]  # amounts are whole minor units: 1250 is 12.50 USD and 1250 JPY
print(f"{quote['price_cents'] / 10**digits:.{digits}f} {quote['currency']}, {quote['distance_m']:.0f} m")
key = {"Idempotency-Key": str(uuid.uuid4())}
ride = post(rider, "/v1/rides", {"quote_id": quote["quote_id"]}, **key)

# Whoever is matched gets an offer on the stream and has some seconds to answer.
with connect(f"{API.replace('http', 'ws')}/v1/drivers/me/stream", additional_headers=driver_headers) as stream:
    offer = wait_for(stream, "OfferSent")
    print(f"offer: pickup in {offer['pickup_eta_s']:.0f} s for {offer['fare_cents'] / 10**digits:.{digits}f}")
    post(driver, f"/v1/offers/{offer['offer_id']}/accept")

for step in ("arrived", "picked-up", "dropped-off"):
    post(driver, f"/v1/rides/{ride['ride_id']}/{step}")

# The rider's stream replays what was missed: name the last seq you saw, 0 for all.
replay = f"{API.replace('http', 'ws')}/v1/riders/me/stream?last_seen=0"
with connect(replay, additional_headers=rider_headers) as stream:
    fare = wait_for(stream, "RiderDroppedOff")
print(
    f"arrived after {time.strftime('%M:%S', time.gmtime(fare['at_s'] - ride['requested_s']))}: "
    f"{fare['fare_cents'] / 10**digits:.{digits}f} {fare['currency']}"
)
