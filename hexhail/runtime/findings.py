"""What a check of an installation finds, and what is found of topics and of the partitions of regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backing.kafka import Copies, TopicsRefused, TopicState
from kernel.contracts.partitions import RegionPartitions, partition_by_name

#: What to do about a topic that has fewer replicas than the settings ask for.
REPLICAS_REMEDY = (
    "Add replicas with kafka-reassign-partitions.sh, set min.insync.replicas with kafka-configs.sh, "
    "or set HEXHAIL_TOPIC_REPLICATION and HEXHAIL_TOPIC_MIN_INSYNC to what the topics have."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: part, status, observation and remedy."""

    part: str
    ok: bool
    seen: str
    remedy: str = ""
    #: Whether a city can not be served without it.
    is_needed: bool = True


def topic_findings(states: Sequence[TopicState], brokers: int, copies: Copies) -> list[Finding]:
    """Return whether topics take messages now, and whether they have the replicas that the settings ask for."""
    refusing = [
        f"{state.name} (fewer than {state.min_insync} replicas in sync: "
        f"partitions {', '.join(map(str, state.refusing))})"
        for state in states
        if state.refusing
    ]
    takes = Finding(
        "topics",
        not refusing,
        f"no messages are taken by {'; '.join(refusing)}" if refusing else f"{len(states)} take messages",
        "Bring back the brokers that are away; pings and `/v1/ops/health` recover by themselves.",
    )
    try:
        replication, min_insync = copies.for_brokers(brokers)
    except TopicsRefused as error:
        return [takes, Finding("replicas", ok=False, seen=f"{error}", remedy=REPLICAS_REMEDY, is_needed=False)]
    short = [shortfall for state in states if (shortfall := state.shortfall(replication, min_insync))]
    seen = "; ".join(short) or f"{replication} of each message, {min_insync} in sync to acknowledge it"
    if brokers == 1:
        seen += "; there is one broker: its loss loses what is in flight"
    return [takes, Finding("replicas", not short, seen, REPLICAS_REMEDY, is_needed=False)]


def region_finding(partitions: RegionPartitions) -> Finding:
    """Return which partitions the regions have, and whether some share one while another is empty."""
    crowded = partitions.crowded()
    before = {region_id: partition_by_name(region_id, partitions.count) for region_id in partitions.region_ids}
    moved = ", ".join(f'"{name}": [{at}]' for name, at in before.items() if partitions.pings(name) != (at,))
    seen = f"{partitions} of {partitions.count}"
    if moved:
        seen += f"; versions before the table had {moved}"
    remedy = "Give them partitions of their own in HEXHAIL_REGION_PARTITIONS, or none for an even spread."
    return Finding("regions", not crowded, f"{seen}; {crowded}" if crowded else seen, remedy, is_needed=False)
