"""Reads events from standard input, one a line, by SpanForge's own SDK, and prints how many of each type there are.

The argument is the key that they are signed with. What the SDK refuses, or reads as something else, ends this with an exception.
"""

import json
import sys
from collections import Counter

from spanforge.event import Event
from spanforge.namespaces.trace import AgentRunPayload, AgentStepPayload, SpanPayload
from spanforge.signing import verify, verify_chain
from spanforge.validate import validate_event

SORTS = {
    "llm.trace.span.completed": SpanPayload,
    "llm.trace.span.failed": SpanPayload,
    "llm.trace.agent.step": AgentStepPayload,
    "llm.trace.agent.completed": AgentRunPayload,
}

key = sys.argv[1]
counts = Counter()
chain = []
for line in sys.stdin.buffer.read().decode().split("\n"):
    if not line:
        continue
    event = Event.from_json(line)
    event.validate()
    validate_event(event)
    assert event.to_json() == line, "the canonical form is the SDK's"
    assert verify(event, key), "the SDK makes the same signature"
    payload = SORTS[event.event_type].from_dict(dict(event.payload)).to_dict()
    for name, value in payload.items():
        if name != "tool_calls":  # Their raw content is not written unless the SDK is configured so.
            assert event.payload[name] == value, name
    counts[event.event_type] += 1
    if event.prev_id is None:
        assert not chain or verify_chain(chain, key).valid
        chain = []
    chain.append(event)
assert verify_chain(chain, key).valid
print(json.dumps(counts))
