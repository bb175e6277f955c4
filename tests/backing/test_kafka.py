"""Replicas and security of the brokers as settings, without a broker."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from backing.faust_worker import build_faust_app
from backing.kafka import Copies, TopicsRefused, TopicState
from backing.kafka_security import Security
from hexhail.runtime.findings import region_finding, topic_findings
from hexhail.runtime.settings import Settings
from kernel.contracts.partitions import RegionPartitions


@pytest.mark.parametrize(
    ("copies", "brokers", "expected"),
    [
        (Copies(), 1, (1, 1)),
        (Copies(), 2, (2, 1)),
        (Copies(), 3, (3, 2)),
        (Copies(), 7, (3, 2)),
        (Copies(replication=2), 3, (2, 1)),
        (Copies(replication=3, min_insync=3), 3, (3, 3)),
        (Copies(min_insync=2), 1, (1, 1)),
    ],
)
def test_topics_have_three_replicas_where_there_are_brokers_for_them(
    copies: Copies, brokers: int, expected: tuple[int, int]
) -> None:
    assert copies.for_brokers(brokers) == expected


def test_more_replicas_than_brokers_are_refused_with_the_setting() -> None:
    with pytest.raises(TopicsRefused, match=r"3 replicas .* 1 are there: .* HEXHAIL_TOPIC_REPLICATION"):
        Copies(replication=3).for_brokers(1)


@pytest.mark.parametrize("wrong", [{"replication": 0}, {"min_insync": 0}, {"replication": 1, "min_insync": 2}])
def test_copies_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|cannot be in sync"):
        Copies(**wrong)


def test_an_existing_topic_with_fewer_replicas_is_named() -> None:
    """It was taken without a word before, and lost its messages with its one broker."""
    state = TopicState("driver.pings", 4, 1, 1, ())
    assert state.shortfall(3, 2) == "topic driver.pings has 1 replicas, not 3 and min.insync.replicas 1, not 2"
    assert state.shortfall(1, 1) == ""
    takes, replicas = topic_findings([state], 3, Copies())
    assert takes.ok
    assert not replicas.ok
    assert "kafka-reassign-partitions.sh" in replicas.remedy


def test_topics_that_take_no_messages_fail_the_doctor() -> None:
    states = [TopicState("driver.pings", 4, 3, 2, (0, 3)), TopicState("ride.events", 4, 3, 2, ())]
    takes, replicas = topic_findings(states, 3, Copies())
    assert not takes.ok
    assert takes.is_needed
    assert "driver.pings (fewer than 2 replicas in sync: partitions 0, 3)" in takes.seen
    assert replicas.ok
    _, too_few = topic_findings(states, 1, Copies(replication=3))
    assert not too_few.ok


def test_the_doctor_names_crowded_partitions_and_those_of_versions_before() -> None:
    spread = region_finding(RegionPartitions(["manhattan", "brooklyn"], 4))
    assert spread.ok
    assert spread.seen == 'manhattan 0, brooklyn 1 of 4; versions before the table had "brooklyn": [0]'
    crowded = region_finding(RegionPartitions(["manhattan", "brooklyn"], 4, {"brooklyn": [0], "manhattan": [0]}))
    assert not crowded.ok
    assert "share 0; nobody uses 1, 2, 3" in crowded.seen


def test_security_comes_from_the_settings() -> None:
    settings = Settings(broker_security="SASL_SSL", broker_username="hexhail", broker_password="secret")
    options = settings.security().client_options()
    assert isinstance(options.pop("ssl_context"), ssl.SSLContext)
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "hexhail",
        "sasl_plain_password": "secret",
    }
    assert Settings().security().client_options() == {"security_protocol": "PLAINTEXT", "ssl_context": None}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"protocol": "SASL_SSL"}, "SASL_SSL needs a user name and a password"),
        ({"protocol": "SSL", "username": "hexhail", "password": "secret"}, "SSL takes no user name"),
        ({"protocol": "PLAINTEXT", "ca_file": Path("ca.pem")}, "takes no certificates: SSL or SASL_SSL"),
    ],
)
def test_security_whose_parts_do_not_fit_is_refused(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Security(**wrong)


async def test_faust_workers_sign_in_like_the_others(tmp_path: Path) -> None:
    security = Security("SASL_SSL", None, None, None, "SCRAM-SHA-256", "hexhail", "secret")
    app = build_faust_app("worker", broker_url="kafka://one:9092", data_dir=tmp_path, security=security)
    credentials = app.conf.broker_credentials
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.mechanism.value == "SCRAM-SHA-256"
    assert (credentials.username, credentials.password) == ("hexhail", "secret")
    assert isinstance(credentials.ssl_context, ssl.SSLContext)
    encrypted = build_faust_app("other", broker_url="kafka://one:9092", data_dir=tmp_path, security=Security("SSL"))
    assert encrypted.conf.broker_credentials.protocol.value == "SSL"
    plain = build_faust_app("plain", broker_url="kafka://one:9092", data_dir=tmp_path)
    assert plain.conf.broker_credentials is None
