"""Secrets stand as references in every description, and come back by environment variables (design 4)."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.core.commons.errors import PypzError
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.commons.secrets import mask, resolve_references, secrets_of, variable_name
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankPlugin
from pypz.core.specs.pipeline import Pipeline

CONFIG = {
    "bootstrap.servers": "b:9092",
    "sasl.username": "me",
    "sasl.password": "secret-1",
    "ssl.key.password": "secret-2",
    "ssl.key.pem": "secret-3",
    "ssl.keystore.password": "secret-4",
    "ssl_password": "secret-5",
    "sasl_plain_password": "secret-6",
    "sasl.oauthbearer.client.secret": "secret-7",
    "schema.registry.basic.auth.user.info": "secret-8",
    "schema.registry.url": "https://me:secret-9@host/path",
    "nested": {"list": [{"password": "secret-10"}]},
    "sasl.oauthbearer.token.endpoint.url": "https://host/token",
    "ssl.key.location": "/key.pem",
    "enable.idempotence": True,
}


class Reader(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = BlankInputPortPlugin()


class Reads(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.reader = Reader("re-ader")


def make(name: str = "p") -> Reads:
    pipeline = Reads(name)
    pipeline.set_parameter(">>channelConfig", CONFIG)
    pipeline.set_parameter(">>channelLocation", "amqp://me:secret-0@host:5672/vhost")
    return pipeline


def test_no_secret_stands_in_any_description() -> None:
    pipeline = make()
    pipeline.set_parameter("##channelConfig", CONFIG)
    for text in (
        str(pipeline),
        repr(pipeline.get_dto()),
        str(pipeline.reader.get_expected_parameters()),
        str(pipeline.reader.port.get_dto().to_dict()),
        repr(pipeline.reader.port),
    ):
        assert "secret-" not in text


def test_what_is_no_secret_stays_readable() -> None:
    parameters = make().reader.port.get_dto().parameters
    assert (
        parameters["channelLocation"] == "amqp://me:$(env:PYPZ_SECRET_P_RE_ADER_PORT_CHANNELLOCATION)@host:5672/vhost"
    )
    config = parameters["channelConfig"]
    for key in (
        "bootstrap.servers",
        "sasl.username",
        "sasl.oauthbearer.token.endpoint.url",
        "ssl.key.location",
        "enable.idempotence",
    ):
        assert config[key] == CONFIG[key]
    assert config["sasl.password"] == "$(env:PYPZ_SECRET_P_RE_ADER_PORT_CHANNELCONFIG_SASL_PASSWORD)"


def test_the_parameters_in_memory_stay_real() -> None:
    pipeline = make()
    str(pipeline)
    assert pipeline.reader.port.get_parameter("channelConfig") == CONFIG


def test_secrets_are_collected_at_any_depth() -> None:
    found = secrets_of(make())
    assert sorted(found.values()) == sorted(f"secret-{i}" for i in range(11))
    assert found["PYPZ_SECRET_P_RE_ADER_PORT_CHANNELLOCATION"] == "secret-0"
    assert found["PYPZ_SECRET_P_RE_ADER_PORT_CHANNELCONFIG_NESTED_LIST_0_PASSWORD"] == "secret-10"
    assert all(name.replace("_", "").isalnum() and name.isupper() for name in found)


def test_a_rebuilt_pipeline_gets_its_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = make()
    for name, value in secrets_of(pipeline).items():
        monkeypatch.setenv(name, value)
    again = Pipeline.create_from_string(str(pipeline))
    assert again == pipeline
    assert secrets_of(again) == {}
    again.reader.port._pypz_resolve_references()
    assert again.reader.port.get_parameter("channelConfig") == CONFIG
    assert again.reader.port.get_parameter("channelLocation") == "amqp://me:secret-0@host:5672/vhost"
    assert str(again) == str(pipeline)
    assert again == pipeline


def test_an_unset_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in secrets_of(make()):
        monkeypatch.delenv(name, raising=False)
    again = Pipeline.create_from_string(str(make()))
    with pytest.raises(PypzError, match="PYPZ_SECRET_P_RE_ADER_PORT_CHANNELCONFIG_SASL_PASSWORD") as caught:
        again.reader.port._pypz_resolve_references()
    assert "p.re-ader.port: parameter 'channelConfig'" in str(caught.value)


def test_other_unknown_variables_become_empty() -> None:
    assert resolve_references(["<$(env:PYPZ_NO_SUCH_VARIABLE)>", 1]) == ["<>", 1]


def test_references_of_the_user_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "x")
    parameters = {"channelConfig": {"sasl.password": "$(env:MY_PASSWORD)"}, "channelLocation": "amqp://u:$(env:MY)@h"}
    assert mask("p.o.i", parameters) == parameters


def test_masking_twice_changes_nothing() -> None:
    once = mask("p.o.i", {"channelConfig": CONFIG, "channelLocation": "kafka://u:p@h:1"})
    assert mask("p.o.i", once) == once
    assert mask("other", once) == once


def test_masking_leaves_the_given_parameters_alone() -> None:
    parameters = {"channelConfig": {"sasl.password": "x", "list": [1]}}
    masked = mask("p", parameters)
    masked["channelConfig"]["list"].append(2)
    assert parameters == {"channelConfig": {"sasl.password": "x", "list": [1]}}


@pytest.mark.parametrize(
    "location, masked",
    [
        ("localhost:9092", None),
        ("kafka://a:9092,b:9092", None),
        ("kafka://a:9092/x@y", None),
        ("memory:name", None),
        ("local:/dir/a@b:c", None),
        ("amqp://user@host", None),
        ("user:pass@host:9092", "user:$@host:9092"),
        ("user:pa@s:s@host:9092,other:9092", "user:$@host:9092,other:9092"),
        ("kafka://user:pa/s@s@host:9092", "kafka://user:$@host:9092"),
        ("amqp://:pass@host", "amqp://:$@host"),
        ("amqps://user:pass@host:1/v?heartbeat=3", "amqps://user:$@host:1/v?heartbeat=3"),
    ],
)
def test_only_the_password_of_a_location_is_masked(location: str, masked: str | None) -> None:
    reference = f"$(env:{variable_name('p.o.i', 'channelLocation')})"
    expected = location if masked is None else masked.replace("$", reference)
    assert mask("p.o.i", {"channelLocation": location}) == {"channelLocation": expected}


@pytest.mark.parametrize("value", [None, "", 1234])
def test_absent_secrets_stay_and_numbers_are_secrets_too(value: Any) -> None:
    masked = mask("p", {"channelConfig": {"sasl.password": value}})["channelConfig"]["sasl.password"]
    assert masked == (value if not value else "$(env:PYPZ_SECRET_P_CHANNELCONFIG_SASL_PASSWORD)")


def test_members_of_a_group_share_the_principals_variables() -> None:
    pipeline = make()
    pipeline.reader.set_parameter("replicationFactor", 1)
    replica: Any = pipeline.reader.get_replica(0)
    copied = replica.materialize()
    expected = secrets_of(pipeline.reader)
    assert secrets_of(pipeline) == secrets_of(replica) == secrets_of(copied) == expected
    assert copied.port.get_dto().parameters == pipeline.reader.port.get_dto().parameters
    assert "secret-" not in str(replica) + str(copied)


def test_equality_and_equivalence_do_not_look_at_secrets() -> None:
    one, other = make(), make()
    other.reader.port.set_parameter("channelConfig", {**CONFIG, "sasl.password": "another"})
    assert one == other
    assert one.is_equivalent_to(make("q"))
    assert one.is_equivalent_to(Pipeline.create_from_string(str(make("q"))))
    other.reader.port.set_parameter("channelConfig", {**CONFIG, "sasl.username": "another"})
    assert one != other


def test_two_secrets_with_one_variable_are_refused() -> None:
    pipeline = make()
    pipeline.second = Reader("re_ader", context=pipeline)
    pipeline.second.port.set_parameter("channelLocation", "amqp://u:other@h")
    with pytest.raises(
        PypzError, match=r"p\.re-ader\.port\.channelLocation and p\.re_ader\.port\.channelLocation"
    ) as caught:
        secrets_of(pipeline)
    assert "other@" not in str(caught.value)
    assert "secret-0" not in str(caught.value)


def test_a_parameter_may_be_described_as_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keyed(BlankPlugin):
        key = OptionalParameter(str, alt_name="apiKey", secret=True)
        keys = OptionalParameter(dict, secret=True)

    plugin = Keyed("k")
    plugin.key = "secret-a"
    plugin.keys = {"one": ["secret-b"], "none": None}
    assert "secret-" not in str(plugin) + str(plugin.get_expected_parameters())
    assert secrets_of(plugin) == {"PYPZ_SECRET_K_APIKEY": "secret-a", "PYPZ_SECRET_K_KEYS_ONE_0": "secret-b"}
    for name, value in secrets_of(plugin).items():
        monkeypatch.setenv(name, value)
    again = Keyed("k")
    again.update(str(plugin))
    again._pypz_resolve_references()
    assert (again.key, again.keys) == (plugin.key, plugin.keys)


def test_a_secret_number_cannot_be_described() -> None:
    with pytest.raises(TypeError, match="declare it as str"):
        OptionalParameter(int, secret=True)
