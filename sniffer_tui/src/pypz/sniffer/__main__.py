"""``python -m pypz.sniffer DOCUMENT``: watch the pipeline of a YAML or JSON document; its classes need not be installed.

The document is given itself, as a file's name, or as ``-`` on standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.sniffer.viewer import PipelineSnifferViewer


def main(arguments: list[str]) -> int:
    """Watch; gives the process's exit code."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        sys.stderr.write(f"{__doc__}")
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    try:
        PipelineSnifferViewer.create_from_string(document_of(arguments[0])).mainloop()
    except (PypzError, TypeError, ValueError, AttributeError) as error:
        sys.stderr.write(f"pypz: error: {error}\n")
        return 1
    return 0


def document_of(argument: str) -> str:
    """Give the document that an argument names or is.

    Raises:
        ConfigurationError: It is the name of a file that cannot be read.
    """
    if argument == "-":
        return sys.stdin.read()
    if "\n" in argument or argument.lstrip().startswith("{"):
        return argument
    try:
        return Path(argument).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{argument}: cannot be read: {reason}; expected a YAML or JSON document, the name of a file with one, or -"
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
