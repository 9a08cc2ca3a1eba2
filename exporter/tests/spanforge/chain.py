"""Verifies a file of signed events as one chain, by SpanForge's own SDK, and prints what is wrong with it.

The arguments are the file and the key.
"""

import json
import sys

from spanforge.event import Event
from spanforge.signing import verify_chain

path, key = sys.argv[1:]
with open(path, encoding="utf-8", newline="\n") as file:
    events = [Event.from_json(line) for line in file.read().split("\n") if line]
result = verify_chain(events, key)
print(json.dumps({"events": len(events), "valid": result.valid, "tampered": result.tampered_count, "gaps": len(result.gaps)}))
