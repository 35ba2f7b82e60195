"""Makes a VM of the template on standard input; run on the front-end's network by test_share.py.

    allocate.py CREDENTIALS     prints the moments (seconds of the epoch) before and after the call, and the id
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

from callers import Server  # noqa: E402  (the path comes first)
from harness.rpc import Session  # noqa: E402

session = Session(Server, sys.argv[1])
template = sys.stdin.read()
# A session that was found good is remembered: its hash is no part of the boot.
session.ok("system.version")
before = time.time()
identifier = session.ok("vm.allocate", template, False)
print(before, time.time(), identifier)
