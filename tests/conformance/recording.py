"""Recorded calls: what was asked and what a server answered."""

import json
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path

from harness.rpc import Answer, answer_read


@dataclass
class Recorded:
    """One call of a recording. `params` is without the session."""

    number: int
    tag: str
    method: str
    session: str
    params: tuple
    answer: Answer


def recording_read(directory):
    """All calls of the directory, in the order in which they were made."""
    directory = Path(directory)
    calls = [call_read(directory, entry) for entry in json.loads((directory / "index.json").read_text())]
    return sorted(calls, key=lambda call: call.number)


def call_read(directory, entry):
    number = entry["n"]
    (request,) = directory.glob(f"{number:03d}-*.request.xml")
    (response,) = directory.glob(f"{number:03d}-*.response.xml")
    params, method = xmlrpc.client.loads(request.read_bytes(), use_builtin_types=True)
    return Recorded(number, entry["tag"], method, params[0], params[1:], answer_read(response.read_bytes()))
