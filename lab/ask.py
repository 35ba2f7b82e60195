"""Makes one call of the API and prints its answer; run on the front-end's network by `Lab.api`.

    ask.py CREDENTIALS METHOD PARAMETERS     PARAMETERS as a JSON list
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

from callers import Server  # noqa: E402  (the path comes first)
from harness.rpc import Session  # noqa: E402

credentials, method, parameters = sys.argv[1:]
print(Session(Server, credentials).ok(method, *json.loads(parameters)))
