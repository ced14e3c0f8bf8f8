"""Location and ``channelConfig``: what is accepted, what is refused in which words, and which client gets what."""

from __future__ import annotations

import subprocess
import sys

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from pypz.core.commons.errors import ConfigurationError
from pypz.plugins.kafka_io.config import KNOWN, Config, servers_of
from pypz.plugins.kafka_io.faults import Sight, make_client
from pypz.plugins.kafka_io.plugin import pypz_make_transport
from pypz.plugins.kafka_io.properties import COMMON, CONSUMER, GOVERNED, KAFKA_PYTHON, PRODUCER, SECRET

HERE = "kafka://127.0.0.1:9092"


@pytest.mark.parametrize(
    "location, servers",
    [
        ("kafka://a", "a:9092"),
        ("kafka://a:1,b.example:2", "a:1,b.example:2"),
        ("kafka://a:1, b:2/", "a:1,b:2"),
        ("kafka://[::1]:9092", "[::1]:9092"),
    ],
)
def test_a_location_names_one_or_more_brokers(location: str, servers: str) -> None:
    assert servers_of(location) == servers


@pytest.mark.parametrize(
    "location", ["kafka://", "kafka://a:0", "kafka://a:x", "kafka://a:70000", "kafka://a,,b", "kafka://a/b"]
)
def test_a_location_that_is_none_is_refused_with_what_is_expected(location: str) -> None:
    with pytest.raises(ConfigurationError, match=r"expected kafka://HOST\[:PORT\]"):
        Config(location, {})


def test_a_password_in_the_location_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"sasl\.password") as caught:
        Config("kafka://me:hunter2@a:9092", {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "option, words",
    [
        ("linger.mss", "did you mean 'linger.ms'"),
        ("securty.protocol", "did you mean 'security.protocol'"),
        ("security_protocol", "its name there is 'security.protocol'"),
        ("sasl_plain_password", "its name there is 'sasl.password'"),
        ("ssl_cafile", "its name there is 'ssl.ca.location'"),
        ("bootstrap_servers", "belong to the port's channelLocation"),
        ("qqqq", "see its list of configuration properties"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_name(option: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match="is not known to librdkafka") as caught:
        Config(HERE, {option: "x-secret-x"})
    assert words in str(caught.value)
    assert "x-secret-x" not in str(caught.value)


@pytest.mark.parametrize("option", sorted(GOVERNED))
def test_what_pypz_decides_is_refused_with_the_reason_unless_it_is_the_same(option: str) -> None:
    accepted, reason = GOVERNED[option]
    with pytest.raises(ConfigurationError, match="which pypz decides") as caught:
        Config(HERE, {option: "something else"})
    assert reason in str(caught.value)
    for value in accepted:
        Config(HERE, {option: value})


def test_options_reach_every_client_that_they_concern() -> None:
    config = Config(HERE, {"security.protocol": "ssl", "linger.ms": "7", "fetch.min.bytes": "3", "acks": "all"})
    everywhere = (
        config.admin(),
        config.writer(),
        config.reader("g"),
        config.status_writer(),
        config.status_reader("g"),
    )
    assert all(values["security.protocol"] == "ssl" for values in everywhere)
    assert all(values["bootstrap.servers"] == "127.0.0.1:9092" for values in everywhere)
    assert [values.get("linger.ms") for values in everywhere] == [None, "7", None, "7", None]
    assert [values.get("fetch.min.bytes") for values in everywhere] == [None, None, "3", None, "3"]


def test_a_users_alias_replaces_our_value_of_the_same_property() -> None:
    values = Config(HERE, {"queue.buffering.max.ms": "9", "max.partition.fetch.bytes": "1000000"})
    assert "linger.ms" not in values.writer()
    assert "fetch.message.max.bytes" not in values.reader("g")
    make_client(Producer, values.writer(), Sight(values))


def test_secrets_appear_in_no_repr_and_are_masked_in_texts() -> None:
    config = Config(HERE, {"sasl.password": "hunter2", "sasl.username": "me"})
    assert "hunter2" not in repr(config)
    assert "me" in repr(config)
    assert config.masked("login hunter2 failed") == "login *** failed"
    assert "hunter2" not in repr(pypz_make_transport(HERE, {"sasl.password": "hunter2"}))


def test_a_value_that_makes_no_sense_to_librdkafka_is_a_configuration_error_without_secrets() -> None:
    config = Config(HERE, {"batch.size": "much", "ssl.key.password": "hunter2"})
    with pytest.raises(ConfigurationError, match=r"batch\.size") as caught:
        make_client(Producer, config.writer(), Sight(config))
    assert "hunter2" not in str(caught.value)


def test_our_own_settings_are_accepted_by_librdkafka() -> None:
    config = Config(HERE, {})
    make_client(AdminClient, config.admin(), Sight(config))
    make_client(Producer, config.writer(100_000), Sight(config))
    make_client(Producer, config.status_writer(), Sight(config))
    make_client(Consumer, config.status_reader("g"), Sight(config)).close()


def test_every_name_in_our_lists_is_one_of_librdkafkas() -> None:
    unknown = []
    for option in sorted(KNOWN):  # the second one is surely unknown, so that no client is made of such values
        with pytest.raises((KafkaException, TypeError, ValueError)) as caught:
            Consumer({"group.id": "g", option: "1", "no.such": "1"})
        if f'No such configuration property: "{option}"' in str(caught.value):
            unknown.append(option)
    assert unknown == []
    assert not COMMON & PRODUCER
    assert not COMMON & CONSUMER
    assert SECRET <= KNOWN
    assert set(GOVERNED) <= KNOWN
    assert set(KAFKA_PYTHON.values()) <= KNOWN


def test_the_hook_answers_for_kafka_locations_only() -> None:
    assert pypz_make_transport("memory:x", {}) is None
    assert pypz_make_transport("127.0.0.1:9092", {}) is None
    made = pypz_make_transport(HERE, {})
    assert made is not None
    made.close()


def test_importing_plugin_and_ports_loads_no_client_library() -> None:
    script = (
        "import sys, pypz.plugins.kafka_io.plugin, pypz.plugins.kafka_io.ports; print('confluent_kafka' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_a_bare_address_of_a_kafka_port_is_kafka_and_any_other_location_stands() -> None:
    from pypz.plugins.kafka_io.ports import KafkaChannelInputPort, KafkaChannelOutputPort

    for port in (KafkaChannelInputPort("port"), KafkaChannelOutputPort("port")):
        port.set_parameter("channelLocation", "a:9092,b:9092")
        assert port.transport_location() == "kafka://a:9092,b:9092"
        port.set_parameter("channelLocation", "memory:x")
        assert port.transport_location() == "memory:x"
