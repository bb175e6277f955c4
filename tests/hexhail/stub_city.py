"""A whole ride-hailing service in one dictionary, behind the real HTTP and WebSocket edges of the public API.

It can be stopped and started again on the same port with its memory kept, lose replies after having acted, and say
things on its streams that nobody expects.
"""

import asyncio
import contextlib
import json
import random
import socket
from collections import Counter
from typing import Any

import uvicorn
from fastapi import FastAPI, Header, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from kernel.clock import CityClock

#: City seconds that nobody misses: a busy machine thinks for longer than a minute of a fast city.
OFFER_S = QUOTE_S = 3_600.0
STEPS = {"arrived": ("ASSIGNED", "ARRIVED", "DriverArrived"), "picked-up": ("ARRIVED", "ON_TRIP", "RiderPickedUp"),
         "dropped-off": ("ON_TRIP", "COMPLETED", "RiderDroppedOff")}  # fmt: skip
STAMPS = {"ARRIVED": "arrived_s", "ON_TRIP": "picked_up_s", "COMPLETED": "dropped_off_s"}
OVER = ("COMPLETED", "CANCELLED", "EXPIRED")


def token_of(role: str, person_id: str) -> str:
    return f"{role}:{person_id}"


class StubCity:
    def __init__(self, clock: CityClock, *, loses_first_replies: bool = False, surge_multiplier: float = 1.0) -> None:
        self.clock = clock
        self.loses_first_replies = loses_first_replies
        self.replies_lost: set[tuple[str, ...]] = set()
        self.surge_multiplier = surge_multiplier
        self.quote_s = QUOTE_S
        self.offer_s = OFFER_S
        self.random = random.Random(1)
        self.rides: dict[str, dict[str, Any]] = {}
        self.offers: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.quotes: dict[str, dict[str, Any]] = {}
        self.online: dict[str, bool] = {}
        self.pings: dict[str, dict[str, float]] = {}
        self.inboxes: dict[str, list[dict[str, Any]]] = {}
        self.sockets: dict[str, WebSocket] = {}
        self.news: dict[str, asyncio.Event] = {}
        self.asked = Counter[str]()
        self.app = self._build()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # The service: whoever is free is asked; offers run out.

    def _now_s(self) -> float:
        return self.clock.now_s()

    def tell(self, person: str, name: str, **fields: Any) -> None:
        inbox = self.inboxes.setdefault(person, [])
        inbox.append({"type": "event", "seq": len(inbox) + 1, "event": name, "at_s": self._now_s(), **fields})
        if person in self.news:
            self.news[person].set()

    def busy(self) -> set[str]:
        live = {ride["driver_id"] for ride in self.rides.values() if ride["state"] not in OVER}
        return live | {offer["driver_id"] for offer in self.offers.values() if offer["live"]}

    def run_round(self) -> None:
        now_s = self._now_s()
        for offer in [offer for offer in self.offers.values() if offer["live"] and offer["expires_s"] < now_s]:
            self.end_offer(offer, "OfferExpired")
        for ride in [ride for ride in self.rides.values() if ride["state"] == "REQUESTED"]:
            free = sorted(
                {name for name, is_online in self.online.items() if is_online and name in self.pings} - self.busy()
            )
            if free:
                self.send_offer(ride, self.random.choice(free), now_s)

    def send_offer(self, ride: dict[str, Any], driver_id: str, now_s: float) -> None:
        offer_id = f"offer-{len(self.offers)}"
        self.offers[offer_id] = {
            "offer_id": offer_id, "ride_id": ride["ride_id"], "driver_id": driver_id, "live": True,
            "expires_s": now_s + self.offer_s,
        }  # fmt: skip
        ride["state"] = "OFFERED"
        self.tell(
            f"driver:{driver_id}", "OfferSent", ride_id=ride["ride_id"], offer_id=offer_id, driver_id=driver_id,
            token=len(self.offers), expires_s=now_s + self.offer_s, pickup_eta_s=30.0, pickup=ride["pickup"],
            dropoff=ride["dropoff"], fare_cents=ride["fare_cents"], currency="USD",
        )  # fmt: skip

    def end_offer(self, offer: dict[str, Any], name: str) -> None:
        offer["live"] = False
        self.rides[offer["ride_id"]]["state"] = "REQUESTED"
        self.tell(f"driver:{offer['driver_id']}", name, offer_id=offer["offer_id"], ride_id=offer["ride_id"])

    def tell_both(self, ride: dict[str, Any], name: str, **fields: Any) -> None:
        self.tell(f"rider:{ride['rider_id']}", name, ride_id=ride["ride_id"], **fields)
        if ride["driver_id"]:
            self.tell(f"driver:{ride['driver_id']}", name, ride_id=ride["ride_id"], **fields)

    # The edges.

    def _build(self) -> FastAPI:
        app = FastAPI()
        app.middleware("http")(self._lose_replies)
        app.post("/v1/quotes", status_code=201)(self._quote)
        app.post("/v1/rides", status_code=201)(self._request)
        app.get("/v1/rides/{ride_id}")(self._show)
        app.post("/v1/rides/{ride_id}/cancel")(self._cancel)
        app.post("/v1/rides/{ride_id}/{step}")(self._step)
        app.post("/v1/drivers/me/status")(self._status)
        app.post("/v1/offers/{offer_id}/{answer}")(self._answer)
        app.websocket("/v1/{who}/me/stream")(self._stream)
        return app

    async def _lose_replies(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        self.asked[request.url.path.rsplit("/", 1)[-1]] += 1
        which = (request.url.path, *(request.headers.get(name, "") for name in ("authorization", "idempotency-key")))
        if self.loses_first_replies and request.method == "POST" and which not in self.replies_lost:
            self.replies_lost.add(which)
            return Response("lost", 503, headers={"Retry-After": "0"})
        return response

    async def _quote(self, body: dict[str, Any]) -> Any:
        quote_id = f"quote-{len(self.quotes)}"
        self.quotes[quote_id] = {**body, "expires_s": self._now_s() + self.quote_s}
        return {
            "quote_id": quote_id, "price_cents": 900, "currency": "USD", "surge_multiplier": self.surge_multiplier,
            "distance_m": 100.0, "travel_time_s": 60.0, "pickup_eta_s": None, "expires_s": self._now_s() + self.quote_s,
        }  # fmt: skip

    async def _request(
        self, body: dict[str, str], authorization: str = Header(), idempotency_key: str = Header()
    ) -> Any:
        if idempotency_key in self.keys:
            return self.rides[self.keys[idempotency_key]]
        quote, ride_id = self.quotes[body["quote_id"]], f"ride-{len(self.rides)}"
        if quote["expires_s"] < self._now_s():
            return problem("quote_expired")
        self.keys[idempotency_key] = ride_id
        unset = dict.fromkeys(
            ("driver_id", "pickup_eta_s", "arrived_s", "picked_up_s", "dropped_off_s", "cancelled_by"), None
        )
        self.rides[ride_id] = {
            "ride_id": ride_id, "state": "REQUESTED", "rider_id": authorization.split(":")[1],
            "pickup": quote["pickup"], "dropoff": quote["dropoff"], "fare_cents": 900,
            "requested_s": self._now_s(), **unset,
        }  # fmt: skip
        self.tell_both(self.rides[ride_id], "RideRequested")
        return self.rides[ride_id]

    async def _show(self, ride_id: str) -> Any:
        return self.rides[ride_id] if ride_id in self.rides else problem("not_found", 404)

    async def _status(self, body: dict[str, Any], authorization: str = Header()) -> Any:
        self.online[authorization.split(":")[1]] = body["status"] == "online"
        return {"status": body["status"]}

    async def _answer(self, offer_id: str, answer: str) -> Any:
        offer = self.offers.get(offer_id)
        if offer is None or not offer["live"]:
            return problem("offer_gone")
        ride = self.rides[offer["ride_id"]]
        if answer == "decline":
            self.end_offer(offer, "OfferDeclined")
            return ride
        offer["live"] = False
        ride |= {"state": "ASSIGNED", "driver_id": offer["driver_id"], "pickup_eta_s": 30.0}
        self.tell_both(ride, "OfferAccepted", driver_id=offer["driver_id"], pickup_eta_s=30.0)
        return ride

    async def _step(self, ride_id: str, step: str, authorization: str = Header()) -> Any:
        ride = self.rides[ride_id]
        before, after, name = STEPS[step]
        if ride["state"] != before or ride["driver_id"] != authorization.split(":")[1]:
            return problem("illegal_move")
        ride |= {"state": after, STAMPS[after]: self._now_s()}
        self.tell_both(ride, name)
        return ride

    async def _cancel(self, ride_id: str, authorization: str = Header()) -> Any:
        ride, by = self.rides[ride_id], authorization.removeprefix("Bearer ").split(":")[0]
        if ride["state"] in (*OVER, "ON_TRIP"):
            return problem("illegal_move")
        for offer in self.offers.values():
            if offer["live"] and offer["ride_id"] == ride_id:
                self.end_offer(offer, "OfferWithdrawn")
        if by == "driver":
            self.tell_both(ride, "AssignmentCancelled")
            ride |= {"state": "REQUESTED", "driver_id": None}
        else:
            ride |= {"state": "CANCELLED", "cancelled_by": by}
            self.tell_both(ride, "RideCancelled", by=by)
        return ride

    async def _stream(self, websocket: WebSocket, last_seen: int = 0) -> None:
        person = websocket.headers["authorization"].removeprefix("Bearer ")
        await websocket.accept()
        self.sockets[person] = websocket
        await websocket.send_text(json.dumps({"type": "ready", "last_seen": last_seen}))
        sending = asyncio.create_task(self._send_inbox(websocket, person, last_seen))
        try:
            while True:
                frame = json.loads(await websocket.receive_text())
                self.pings[person.split(":")[1]] = frame["pings"][-1]
        except WebSocketDisconnect:
            pass
        finally:
            sending.cancel()
            self.sockets.pop(person, None)

    async def _send_inbox(self, websocket: WebSocket, person: str, sent: int) -> None:
        news = self.news[person] = asyncio.Event()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                news.clear()
                for event in self.inboxes.get(person, [])[sent:]:
                    await websocket.send_text(json.dumps(event))
                    sent = event["seq"]
                await news.wait()

    @contextlib.asynccontextmanager
    async def serving(self) -> Any:
        config = uvicorn.Config(
            self.app, port=self.port, log_level="critical", lifespan="off", ws="websockets-sansio",
            timeout_graceful_shutdown=0,
        )  # fmt: skip
        server = uvicorn.Server(config)
        server_task, rounds = asyncio.create_task(server.serve()), asyncio.create_task(self._rounds())
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            yield
        finally:
            rounds.cancel()
            server.should_exit = server.force_exit = True
            await server_task
            self.sockets.clear()

    async def _rounds(self) -> None:
        while True:
            self.run_round()
            await asyncio.sleep(0.05)


def problem(code: str, status: int = 409) -> JSONResponse:
    return JSONResponse({"code": code, "status": status}, status, media_type="application/problem+json")
