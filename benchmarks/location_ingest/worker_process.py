"""Workers of the ingest benchmark as processes. Arguments: WAY BROKER REDIS TOPIC DATA_DIR.

`columns` is the product's own; `usual` takes one message a ping, and GEOADD and HSET for each.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from backing import faust_worker, kafka
from benchmarks.location_ingest.inputs import REGIONS, RESOLUTION
from location_ingest.adapters.faust_agent import attach
from location_ingest.adapters.kafka_pings import KafkaDeadLetters, new_producer
from location_ingest.adapters.ping_codec import MessagePackPings
from location_ingest.adapters.redis_cells import RedisCells
from location_ingest.column_engine import ColumnEngine
from location_ingest.metrics import IngestMetrics
from location_ingest.service import IngestService


async def main(way: str, broker: str, redis_url: str, topic: str, data_dir: str) -> None:
    """Work until told to stop."""
    redis = Redis.from_url(redis_url)
    producer = new_producer(kafka.bootstrap_servers(broker))
    await producer.start()
    app = faust_worker.build_faust_app(
        f"bench-{topic}", broker_url=broker, data_dir=Path(data_dir), session_timeout_s=3.0
    )
    if way == "columns":
        metrics = IngestMetrics(CollectorRegistry())
        service = IngestService(
            ColumnEngine(),
            MessagePackPings(),
            RedisCells(redis),
            KafkaDeadLetters(producer, f"{topic}.dead"),
            resolution_of_region=dict.fromkeys(REGIONS, RESOLUTION),
            metrics=metrics,
        )
        attach(app, topic, service, now_s=time.time, metrics=metrics)
    else:
        _attach_usual(app, topic, redis)
    await faust_worker.run_faust_app(app)


def _attach_usual(app: Any, topic_name: str, redis: Redis) -> None:
    topic = app.topic(topic_name, value_type=bytes, value_serializer="raw")

    async def take(stream: Any) -> None:
        async for value in stream:
            ping = msgspec.json.decode(value)
            pipeline = redis.pipeline(transaction=False)
            pipeline.geoadd("drivers", (ping["lng_deg"], ping["lat_deg"], ping["driver_id"]))
            fields = {name: ping[name] for name in ("t_s", "heading_deg", "speed_mps")}
            pipeline.hset(f"driver:{ping['driver_id']}", mapping=fields)
            pipeline.incr("count")
            await pipeline.execute()

    app.agent(topic, name="usual.pings")(take)


if __name__ == "__main__":
    faust_worker.use_uvloop()
    asyncio.run(main(*sys.argv[1:]))
