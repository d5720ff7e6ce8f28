"""What a worker says, read from a file of the home that both see: a reader that starts again misses nothing."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dagster import PipesMessageReader

from resources.kubernetes.causes import Said

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster._core.pipes.context import PipesMessageHandler
    from dagster_pipes import PipesParams

Payload = dict[str, Any]


class HomeMessages(PipesMessageReader):
    """dagster-pipes messages in `file`, which a pod sees as `path_in_pod`; `forward` brings what is new."""

    expected_writer_count = 1  # dagster warns of a preview when its own is asked

    def __init__(self, file: Path, path_in_pod: str) -> None:
        self._file = file
        self._path_in_pod = path_in_pod
        self._read = 0
        self._handler: PipesMessageHandler | None = None
        self.said = Said()

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[PipesParams]:
        """Yield where the worker writes."""
        self._handler = handler
        yield {"path": self._path_in_pod}

    def no_messages_debug_text(self) -> str:
        """Return where messages were looked for."""
        return f"Looked for messages in {self._file}."

    def forward(self) -> list[Payload]:
        """Hand Dagster what is new, and return the worker's own payloads among it."""
        payloads = []
        for message in self._new():
            if self._handler is not None:
                self._handler.handle_message(message)  # type: ignore[arg-type]
            if message["method"] == "report_custom_message":
                payload: Payload = message["params"]["payload"]
                payloads.append(payload)
                self._note(payload)
        return payloads

    def _new(self) -> Iterator[dict[str, Any]]:
        try:
            stream = self._file.open("rb")
        except FileNotFoundError:
            return
        with stream:
            stream.seek(self._read)
            for line in stream:
                if not line.endswith(b"\n"):
                    return  # half a line: the rest comes
                self._read += len(line)
                with suppress(ValueError):  # torn by a file system: what was said before and after still counts
                    message = json.loads(line)
                    if isinstance(message, dict) and "method" in message:
                        yield message

    def _note(self, payload: Payload) -> None:
        match payload["kind"]:
            case "done":
                self.said = replace(self.said, done=True)
            case "error":
                self.said = replace(self.said, error=payload)
            case "interrupted":
                self.said = replace(self.said, interrupted=True)
            case "out of memory":
                self.said = replace(self.said, out_of_memory=True)
