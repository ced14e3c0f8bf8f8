"""The errors that pypz raises on purpose.

Each is a `PypzError` and, where users of earlier versions catch a builtin type, of that type too. A foreign error that
caused one is chained. None carries a secret.
"""


class PypzError(Exception):
    """Root of all errors that pypz raises on purpose."""


class ConfigurationError(PypzError, ValueError):
    """A setting makes no sense: the text names the place, the value, what is accepted and the way out."""


class NotBuiltYetError(ConfigurationError, NotImplementedError):
    """A documented value that this version does not carry out; refused at start, by name."""


class PluginError(PypzError):
    """A plugin could not be loaded or answered nonsense."""


class PipelineFailedError(PypzError):
    """A member of the pipeline has failed for good; raised by `PipelineExecutor.start`.

    Attributes:
        exit_code: Exit code of the member that failed first, one of `ExitCodes`.
        operator: Full name of that member.
        exit_codes: Exit code of every member by full name.
    """

    def __init__(self, message: str, *, exit_code: int, operator: str, exit_codes: dict[str, int]) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.operator = operator
        self.exit_codes = exit_codes


class RunConflictError(PypzError):
    """Another run of this pipeline is alive at the same location: the text names run, host, process and ways out."""


class RecordError(PypzError, ValueError):
    """A record does not fit the schema, or is too large; the text names the field or the limit. Nothing was sent.

    Args:
        message: What is wrong with it.
        place: Its place in the list that was to be sent, counted from 0; None when the message tells it.
    """

    def __init__(self, message: str, place: int | None = None) -> None:
        super().__init__(message, place)
        self.message = message
        self.place = place

    def __str__(self) -> str:
        return self.message if self.place is None else f"record {self.place}: {self.message}"


class RecordRejectedError(PypzError, ValueError):
    """The operator has rejected a record that it was handed (`port.reject`)."""


class SchemaError(PypzError, ValueError):
    """A schema cannot be parsed, or writer and reader schema cannot be resolved."""


class DecodeError(PypzError, ValueError):
    """A block cannot be decoded: corrupt, of an unknown codec, or of a schema that does not resolve."""


class TransportError(PypzError):
    """The transport failed; the text tells the last cause seen. Trying again may help."""


class ChannelMismatchError(TransportError):
    """A channel of this name exists and cannot be made to fit (partitions, kind, names that collide)."""


class ChannelGoneError(TransportError):
    """The channel, or that incarnation of it, does not exist (any more)."""


class BlockTooLargeError(TransportError, ValueError):
    """A block is above the transport's limit; nothing was sent."""


class PositionGoneError(TransportError):
    """The log no longer holds the committed position (retention has passed it)."""


class FencedError(TransportError):
    """A later start of the same member exists: this one must stop, without end marker and without commit."""


class IndefiniteCommitError(TransportError):
    """A commit neither succeeded nor failed for certain; settle and the committed positions tell."""


class RetriableError(TransportError):
    """A commit failed and nothing of it became visible; the same unit may be committed again."""


class TransportTimeoutError(TransportError, TimeoutError):
    """A deadline passed; the text tells what was waited for and the last thing seen."""


class CheckpointError(PypzError, ValueError, TypeError):
    """A member note that cannot be stored; the text tells why."""


class PortClosedError(PypzError, PermissionError):
    """A port was used before it was opened or after it was closed."""


class WokenError(TransportError):
    """A wait was ended by `wake` before it had a result."""


class InstanceError(PypzError, AttributeError):
    """A name, nested instance, dependency, connection or description does not fit the model."""


class InstanceTypeError(PypzError, TypeError):
    """Something of another type was expected: an instance, a port, a description, a class."""


class ParameterTypeError(PypzError, TypeError):
    """A parameter's value or declared type is not accepted. The text tells types and places, never the value."""


class UnknownParameterError(PypzError, KeyError):
    """An instance has no such parameter."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingParametersError(PypzError, LookupError):
    """Required parameters have no value; the text lists all of them."""


class DependencyCycleError(PypzError, RecursionError):
    """Instances depend on each other in a circle."""


class LoggingRecursionError(PypzError, RecursionError):
    """A logger plugin used the logger that would call it again."""


class ClassNotFoundError(PypzError, ModuleNotFoundError):
    """The module of a class cannot be imported here."""


class MockedInstanceError(PypzError, PermissionError):
    """An instance whose class is not installed here was to be executed."""


class PypzWarning(UserWarning):
    """Something that is probably not what was meant, but allowed."""
