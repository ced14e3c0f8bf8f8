"""``pypz peek``: what is in a channel."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Annotated, Any

import typer

from pypz.cli.completion import complete_pipeline
from pypz.cli.errors import INTERRUPTED, told_plainly
from pypz.cli.location import location_options
from pypz.cli.options import AsJson, Debug, Parameters, PipelineName
from pypz.cli.peeking import ABSENT, AbsentFields, Peek, Seen, chosen, codec_of_port, field_of, read_condition
from pypz.cli.screen import as_json_line, stderr
from pypz.cli.target import load_pipeline, split_names
from pypz.core.channels.port import ChannelPort, channel_ports_of
from pypz.core.channels.runs.retiring import Place, places_at
from pypz.core.channels.runs.whole import address_of_port, namespace_of, operators_of, status_name
from pypz.core.codecs.spi import Codec
from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline


class From(Enum):
    """Where reading begins."""

    FIRST = "first"
    END = "end"


def peek(
    first: Annotated[
        str | None,
        typer.Argument(
            metavar="PIPELINE",
            autocompletion=complete_pipeline,
            help="As for `pypz run`; with --location: a channel's name.",
        ),
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="PORT", help="operator.port; an output port shows all that it sends to.")
    ] = None,
    location: Annotated[
        str | None, typer.Option("--location", help="Look here, for a channel by its name; no code is needed.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", metavar="FIELD=VALUE", help="Only such records; also != < > <= >=, and a.b for nested."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="A,B", help="Only these fields, separated by tabs.")
    ] = None,
    last: Annotated[int | None, typer.Option("--last", min=1, help="Only the last N records that are there.")] = None,
    begin: Annotated[From, typer.Option("--from", help="Where reading begins.")] = From.FIRST,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    parameter: Parameters = None,
    name: PipelineName = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show the records in a channel, decoded, one a line. Readers do not notice: nothing is taken, joined or committed.

    pypz peek letters:Letters sink.letters -p '>>channelLocation=localhost:9092' --last 5

    pypz peek --location kafka://localhost:9092 letters.sink.letters --where letter=p --columns letter

    With --json each line is an object: channel, partition, position, index, writer, run, record.
    The exit code is 0, 1 when there is no such channel or something in it could not be decoded, 130 after Ctrl-C.
    """
    with told_plainly(debug, as_json, on_one_line=True):
        if follow and last is not None:
            raise ConfigurationError("--follow with --last: there is no last record of what goes on; leave one out")
        conditions = [read_condition(text) for text in where or []]
        fields = [one.strip() for one in columns.split(",") if one.strip()] if columns else []
        found = (
            _by_location(location, first, second, parameter) if location else _by_port(first, second, parameter, name)
        )
        with found as (place, names, own), _ended_by_interrupt():
            peeking = Peek(place, PluginHost.default(), lambda text: stderr().print(f"pypz: warning: {text}"), own)
            channels = [peeking.find(one) for one in names]
            if follow and len(channels) > 1:
                raise ConfigurationError(f"--follow takes one channel, here are {', '.join(names)}; name an input port")
            if fields and not as_json:
                _write("\t".join(fields) + "\n")
            absent = AbsentFields([*(one.field for one in conditions), *fields])
            for channel in channels:
                records = absent.noted(peeking.records(channel, from_end=begin is From.END, follow=follow))
                for seen in chosen(records, conditions, last):
                    _write(_line(seen, fields, as_json))
            for text in absent.told():
                stderr().print(f"pypz: warning: {text}")
        raise typer.Exit(1 if peeking.failed else 0)


def _line(seen: Seen, fields: list[str], as_json: bool) -> str:
    record: Any = seen.record
    if fields:
        record = {one: None if (value := field_of(record, one)) is ABSENT else value for one in fields}
    if as_json:
        return as_json_line({**dataclasses.asdict(dataclasses.replace(seen, record=None)), "record": record})
    if fields:
        return "\t".join("" if value is None else str(value) for value in record.values()) + "\n"
    return as_json_line(record)


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Ctrl-C is how following ends: nothing to tell."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _by_location(
    location: str, channel: str | None, more: str | None, parameters: list[str] | None
) -> Iterator[tuple[Place, list[str], Codec | None]]:
    if channel is None or more is not None:
        raise ConfigurationError("with --location: expected one channel's name, such as letters.sink.letters")
    pipeline = channel.rsplit(".", 2)[0]
    options = location_options(parameters or [])
    with places_at(PluginHost.default(), pipeline, [(location, options)]) as (place,):
        yield place, [channel], None


@contextmanager
def _by_port(
    first: str | None, second: str | None, parameters: list[str] | None, name: str | None
) -> Iterator[tuple[Place, list[str], Codec | None]]:
    first, second = split_names(first, second)
    pipeline = load_pipeline(first, name, parameters or [], mock_nonexistent=True)
    port = _port_of(pipeline, second)
    address = address_of_port(port)
    if address is None:
        raise ConfigurationError(
            f"{pipeline.get_full_name()}.{second}: has no channelLocation here; -p '>>channelLocation=...' sets it"
        )
    names = [namespace_of(pipeline) + one for one in port.channel_names()]
    with places_at(PluginHost.default(), status_name(pipeline), [(address[0], dict(address[1]))]) as (place,):
        yield place, names, codec_of_port(PluginHost.default(), port)


def _port_of(pipeline: Pipeline, named: str | None) -> ChannelPort:
    prefix = f"{pipeline.get_full_name()}."
    ports = {
        f"{operator.get_simple_name()}.{port.get_simple_name()}": port
        for operator in operators_of(pipeline)
        for port in channel_ports_of(operator)
    }
    found = ports.get((named or "").removeprefix(prefix))
    if found is None:
        given = f"no channel port {named!r}" if named else "name a port, as operator.port"
        raise ConfigurationError(f"{pipeline.get_full_name()}: {given}; there are: {', '.join(ports) or 'none'}")
    return found
