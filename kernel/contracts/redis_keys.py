"""Every key in Redis, and what it holds. What stands in braces decides the slot of a cluster: all keys of a region are
in one, all of an inbox bucket in another, and a call names keys of one slot only.

Losing them loses no ride: positions return with the next pings, the rest is rebuilt from SQL.
"""

from __future__ import annotations

import zlib

# -- where drivers are: written by location_ingest ---------------------------------------------------------------------


def cell_prefix(region_id: str) -> str:
    """How the key of every cell of the region begins; the name of the cell follows."""
    return f"{{{region_id}}}:cell:"


def cell(region_id: str, cell_name: str) -> str:
    """Hash: driver_id -> packed position (`geo.positions`). ``cell_name`` is the H3 cell in hexadecimal digits."""
    return cell_prefix(region_id) + cell_name


def driver_index(region_id: str) -> str:
    """Hash: driver_id -> `<cell>|<t_ms>`, 15 and 13 digits: the driver's cell, and the time of the position."""
    return f"{{{region_id}}}:index"


def stale_drivers(region_id: str) -> str:
    """Stream: a `DriverWentStale` for each driver taken out of the cells, with `driver_id` and `seen_ms`."""
    return f"{{{region_id}}}:stale"


def rejected_pings(region_id: str, reason: str) -> str:
    """List: the last pings rejected for the reason, MessagePack, the newest first."""
    return f"{{{region_id}}}:rejected:{reason}"


def unbelieved(region_id: str, driver_id: str) -> str:
    """String `<reason>|<t_ms>`: why the driver's newest ping was not believed, and its time; kept for ten minutes."""
    return f"{{{region_id}}}:unbelieved:{driver_id}"


def totals(region_id: str) -> str:
    """Hash: counters that outlive a process, by the names below."""
    return f"{{{region_id}}}:totals"


#: Fields of `totals`. cells.lua writes the first two, a reason follows the second; signals.lua is given the others.
PINGS_ACCEPTED = "pings_accepted"
PINGS_REJECTED_PREFIX = "pings_rejected:"
RIDE_EVENTS_CONSUMED = "ride_events_consumed"
QUOTES_CONSUMED = "quotes_consumed"

# -- whether writes are taken: written by who asks --------------------------------------------------------------------


def write_probe(region_id: str) -> str:
    """String, there for a moment: whether the server takes writes."""
    return f"{{{region_id}}}:probe"


# -- what one person may do: written by the api ---------------------------------------------------------------------


def counted(region_id: str, what: str, subject: str) -> str:
    """Sorted set: a thing that a person did -> when, city milliseconds; only those of a moving window."""
    return f"{{{region_id}}}:counted:{what}:{subject}"


def flags(region_id: str) -> str:
    """Stream: who does far more than people do, `kind`, `subject`, `at_ms`, `count`, `window_ms`."""
    return f"{{{region_id}}}:flags"


def flag_quiet(region_id: str, kind: str, subject: str) -> str:
    """String, there while the same flag is not raised again."""
    return f"{{{region_id}}}:flags:quiet:{kind}:{subject}"


def request_rate(kind: str, inbox_name: str) -> str:
    """String, over all regions: when the person `<role>:<id>` has the whole budget of requests of a kind again, wall
    microseconds; absent if so.
    """
    return f"rate:{kind}:{inbox_name}"


# -- leases, and what operators see of rounds: written by dispatch -----------------------------------------------------


def fence(region_id: str) -> str:
    """Integer: the newest fencing token of the region."""
    return f"{{{region_id}}}:fence"


def driver_lease(region_id: str, driver_id: str) -> str:
    """String `<token>|<expires_ms>`: the lease that holds the driver."""
    return f"{{{region_id}}}:lease:driver:{driver_id}"


def ride_lease(region_id: str, ride_id: str) -> str:
    """String `<token>|<expires_ms>`: the lease that holds the ride."""
    return f"{{{region_id}}}:lease:ride:{ride_id}"


def rounds(region_id: str) -> str:
    """List: figures of the last matching rounds, JSON, the newest first."""
    return f"{{{region_id}}}:rounds"


def trace(region_id: str, ride_id: str) -> str:
    """List: the trace of the ride's last rounds, newest first, kept for an hour."""
    return f"{{{region_id}}}:trace:{ride_id}"


def acceptance(region_id: str) -> str:
    """Hash: `state` of the acceptance model, MessagePack, and its `figures`, JSON."""
    return f"{{{region_id}}}:acceptance"


# -- prices, and the demand they follow: written by pricing ------------------------------------------------------------


def tariffs(region_id: str) -> str:
    """Hash: version -> the tariff as JSON, of every version that a quote was given by."""
    return f"{{{region_id}}}:tariffs"


def surge(region_id: str) -> str:
    """Hash: cell -> `<multiplier>|<updated_ms>`; `frozen` while an operator holds all prices at 1.0; and `epoch`, the
    newest pricer that wrote.
    """
    return f"{{{region_id}}}:surge"


def rides_counted(region_id: str) -> str:
    """Hash: ride_id -> last sequence counted."""
    return f"{{{region_id}}}:pricing:seen"


def rides_counted_at(region_id: str) -> str:
    """Sorted set: ride_id by the time of its last counted event in milliseconds, by which old rides are forgotten."""
    return f"{{{region_id}}}:pricing:seen_at"


def quotes_counted(region_id: str) -> str:
    """Hash: the wish behind a quote, `<rider_id>|<cell index>|<window>` -> 1."""
    return f"{{{region_id}}}:pricing:quotes_seen"


def quotes_counted_at(region_id: str) -> str:
    """Sorted set: the same quotes by their time in milliseconds."""
    return f"{{{region_id}}}:pricing:quotes_seen_at"


def requests(region_id: str) -> str:
    """Hash: cell -> `<decayed count>|<counted_to_ms>` of requests."""
    return f"{{{region_id}}}:pricing:requests"


def quotes(region_id: str) -> str:
    """Hash: cell -> `<decayed count>|<counted_to_ms>` of quotes."""
    return f"{{{region_id}}}:pricing:quotes"


def advice(region_id: str) -> str:
    """Hash: driver_id -> where the driver had better wait, JSON."""
    return f"{{{region_id}}}:advice"


def advice_planned(region_id: str) -> str:
    """String: city time in milliseconds of the plan that the advice is of."""
    return f"{{{region_id}}}:advice:planned"


# -- learned travel times: written by traffic --------------------------------------------------------------------------


def traffic(region_id: str) -> str:
    """Hash: the weights in force (`version`, `epoch`, `made_ms`, `roads`, `factors` as 32-bit floats by edge), the
    newest owner's term `claimed`, the last judgement `last` as JSON, and `refused:<reason>` -> how often.
    """
    return f"{{{region_id}}}:traffic"


# -- maps: written by every process that has one ----------------------------------------------------------------------


def maps(region_id: str) -> str:
    """Hash: `<role>@<host>:<process id>` -> `<map id>|<wall ms of the report>`."""
    return f"{{{region_id}}}:maps"


def learned_aside(region_id: str) -> str:
    """Hash: `<role>@<host>:<process id>` -> `<learned files set aside, and why>|<wall ms of the report>`."""
    return f"{{{region_id}}}:learned_aside"


# -- inboxes of riders and drivers: written by the relay, over all regions ---------------------------------------------


#: Inboxes are shared out among so many buckets, each of which is in one slot of a cluster: enough to spread over any
#: number of servers that a city has, few enough to ask for all of them in one round trip.
INBOX_BUCKETS = 64


def inbox_bucket(name: str) -> int:
    """The bucket of the inbox of the rider or driver `<role>:<id>`."""
    return zlib.crc32(name.encode()) % INBOX_BUCKETS


def inbox(name: str) -> str:
    """Stream: what the rider or driver `<role>:<id>` is told; entry ids are `<position>-0`."""
    return f"inbox:{{{inbox_bucket(name):02d}}}:{name}"


def inboxes_complete(bucket: int) -> str:
    """Integer: the position up to which the inboxes of the bucket are complete.

    It never goes back, and only a rebuild makes it: it is absent as long as Redis lacks what was written before.
    """
    return f"inbox.complete:{{{bucket:02d}}}"


def inboxes_rebuilding(bucket: int) -> str:
    """String: the claim of the relay that rebuilds the inboxes of the bucket."""
    return f"inbox.rebuilding:{{{bucket:02d}}}"


#: What the keys of all inboxes match, and of those without a bucket too.
INBOXES_MATCH = "inbox:*"
#: Channel: names of inboxes that have grown, with a space between.
INBOX_NEWS = "inbox.news"
#: String: changes each time the inboxes were cleared because SQL was restored to an older state. Streams that are open
#: then are told.
INBOXES_RESTORED = "inbox.restored"


def unbucketed_inbox(name: str) -> str:
    """Stream: an inbox as version 0.2 wrote it; read while a relay of that version still runs."""
    return f"inbox:{name}"


#: Stream whose one entry is what `inboxes_complete` is, of all unbucketed inboxes together.
UNBUCKETED_INBOXES_COMPLETE = "inbox.complete"

# -- tokens that no longer count: written by the API, over all regions -------------------------------------------------

#: Hash: `token:<jti>` or `subject:<role>:<id>` -> the revocation as JSON. One tag, so that a cluster has all three
#: keys in one slot.
REVOKED = "{tokens}:revoked"
#: Sorted set: the same names by the wall milliseconds at which they may be forgotten.
REVOKED_UNTIL = "{tokens}:revoked:until"
#: Integer: how many revocations there were; a process that knows it has read them all.
REVOKED_VERSION = "{tokens}:revoked:version"
