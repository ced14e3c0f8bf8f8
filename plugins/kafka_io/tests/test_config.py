"""Location and ``channelConfig``: what is accepted, what is refused in which words, and which client gets what."""

from __future__ import annotations

import subprocess
import sys

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from pypz.core.commons.errors import ConfigurationError, PypzWarning
from pypz.plugins.kafka_io.config import Config, servers_of
from pypz.plugins.kafka_io.faults import Sight, make_client
from pypz.plugins.kafka_io.plugin import pypz_make_transport
from pypz.plugins.kafka_io.properties import COMMON, CONSUMER, GOVERNED, PRODUCER, SECRET
from pypz.plugins.kafka_io.translation import KNOWN, RENAMED, WITHOUT_COUNTERPART, new_name

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
        ("securty_protocol", "did you mean 'security.protocol'"),
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
    assert set(RENAMED.values()) <= KNOWN
    assert not WITHOUT_COUNTERPART.keys() & KNOWN


# --- names of kafka-python, which pypz 0.10 took ---

KAFKA_PYTHON = """
    bootstrap_servers client_id key_serializer value_serializer bootstrap_topics_filter compression_type batch_size linger_ms
    buffer_memory connections_max_idle_ms max_block_ms max_request_size metadata_max_age_ms retry_backoff_ms
    request_timeout_ms receive_buffer_bytes send_buffer_bytes socket_options sock_chunk_bytes reconnect_backoff_ms
    reconnect_backoff_max_ms max_in_flight_requests_per_connection security_protocol ssl_context ssl_check_hostname ssl_cafile
    ssl_certfile ssl_keyfile ssl_crlfile ssl_password ssl_ciphers api_version api_version_auto_timeout_ms metric_reporters
    metrics_num_samples metrics_sample_window_ms selector sasl_mechanism sasl_plain_username sasl_plain_password
    sasl_kerberos_service_name sasl_kerberos_domain_name sasl_oauth_token_provider group_id key_deserializer
    value_deserializer fetch_max_wait_ms fetch_min_bytes fetch_max_bytes max_partition_fetch_bytes auto_offset_reset
    enable_auto_commit auto_commit_interval_ms default_offset_commit_callback check_crcs partition_assignment_strategy
    max_poll_records max_poll_interval_ms session_timeout_ms heartbeat_interval_ms consumer_timeout_ms legacy_iterator
    exclude_internal_topics acks retries partitioner
    """.split()
"""Every option of its producer and consumer (2.0)."""


@pytest.mark.parametrize("name", KAFKA_PYTHON)
def test_every_option_of_kafka_python_has_a_new_name_or_a_way_out(name: str) -> None:
    assert new_name(name) in KNOWN or name in KNOWN or WITHOUT_COUNTERPART[name]


@pytest.mark.parametrize(
    ("old", "value", "new", "expected"),
    [
        ("security_protocol", "SASL_SSL", "security.protocol", "SASL_SSL"),
        ("sasl_plain_username", "me", "sasl.username", "me"),
        ("sasl_plain_password", "hunter2", "sasl.password", "hunter2"),
        ("ssl_cafile", "/ca.pem", "ssl.ca.location", "/ca.pem"),
        ("ssl_check_hostname", "false", "ssl.endpoint.identification.algorithm", "none"),
        ("ssl_check_hostname", "true", "ssl.endpoint.identification.algorithm", "https"),
        ("request_timeout_ms", "305000", "socket.timeout.ms", "300000"),
    ],
)
def test_an_option_of_kafka_python_reaches_every_client_by_its_new_name_with_a_warning(
    old: str, value: str, new: str, expected: str
) -> None:
    with pytest.warns(
        PypzWarning, match=f"{old!r} is kafka-python's name; it is taken as librdkafka's {new!r}"
    ) as told:
        config = Config(HERE, {old: value})
    assert [values[new] for values in (config.admin(), config.writer(), config.reader("g"))] == [expected] * 3
    assert "hunter2" not in f"{told[0].message} {config!r}"


def test_the_memory_of_a_producer_is_counted_in_kibibytes_now() -> None:
    with pytest.warns(PypzWarning, match=r"'queue.buffering.max.kbytes', with the value '32768'"):
        assert Config(HERE, {"buffer_memory": "33554432"}).writer()["queue.buffering.max.kbytes"] == "32768"


def test_what_was_none_is_left_to_the_default() -> None:
    plain = Config(HERE, {}).reader("g")
    assert Config(HERE, {"ssl_cafile": "None", "api_version": "None", "client_id": "None"}).reader("g") == plain


@pytest.mark.parametrize("name", sorted(WITHOUT_COUNTERPART))
def test_an_option_without_counterpart_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name!r}, which pypz 0.10 took, has no counterpart") as caught:
        Config(HERE, {name: "1"})
    assert WITHOUT_COUNTERPART[name] in str(caught.value)


@pytest.mark.filterwarnings("ignore::pypz.core.commons.errors.PypzWarning")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_id": "a", "client.id": "b"}, "has both 'client_id' .* and 'client.id'"),
        ({"buffer_memory": "much"}, "'buffer_memory' is 'much', expected a whole number"),
        ({"ssl_check_hostname": "maybe"}, "'ssl_check_hostname' is 'maybe', expected true or false"),
        ({"bootstrap_servers": "a:1"}, "'bootstrap.servers'.*the port's channelLocation says it"),
        ({"enable_auto_commit": "true"}, "'enable.auto.commit' is 'true', which pypz decides"),
        ({"group_id": "g"}, "'group.id'.*the group is named after the operator"),
    ],
)
def test_an_option_of_kafka_python_that_makes_no_sense_is_refused_by_name(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Config(HERE, options)


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
