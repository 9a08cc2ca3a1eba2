"""Reads requests and their answers by the models of Prefactor's own client, and prints how many there are of each operation.

Each line of standard input is one: {"path", "request", "answer"}. What a model refuses, or does not know, ends this with an exception.
"""

import json
import sys
from collections import Counter

from prefactor_http.endpoints.agent_span import _validate_idempotency_key
from prefactor_http.models.agent_instance import (
    AgentInstance,
    AgentInstanceRecordQuality,
    FinishInstanceRequest,
    RegisterAgentInstanceRequest,
    TimestampRequest,
)
from prefactor_http.models.agent_span import AgentSpan, CreateAgentSpanRequest, FinishSpanRequest
from prefactor_http.models.base import ApiResponse
from prefactor_http.models.bulk import BulkRequest, BulkResponse

# The model of the request and that of what is answered, by the parts of the path behind /api/v1 that are no identities.
OPERATIONS = {
    ("agent_instance", "register"): (RegisterAgentInstanceRequest, AgentInstance),
    ("agent_instance", "start"): (TimestampRequest, AgentInstance),
    ("agent_instance", "finish"): (FinishInstanceRequest, AgentInstance),
    ("agent_instance", "record_quality"): (AgentInstanceRecordQuality, AgentInstance),
    ("agent_spans",): (CreateAgentSpanRequest, AgentSpan),
    ("agent_spans", "finish"): (FinishSpanRequest, AgentSpan),
}


def parsed_whole(model, said):
    """What the model makes of this, of which it knows every key: it is written again as it was."""
    request = model.model_validate(said)
    written = request.model_dump(exclude_unset=True, by_alias=True)
    assert written == said, f"{model.__name__}: {written} is not {said}"
    return request


counts = Counter()


def read(path, body, answer):
    """Reads a request and its answer."""
    parts = path.removeprefix("/api/v1/").split("/")
    operation = (parts[0], parts[-1]) if len(parts) > 1 else (parts[0],)
    counts["/".join(operation)] += 1
    if operation == ("bulk",):
        return read_bulk(body, answer)
    request_model, answer_model = OPERATIONS[operation]
    _validate_idempotency_key(body["idempotency_key"])
    if operation == ("agent_spans",):
        # The key stands beside the details, as the TypeScript SDK has it, and the model has it within.
        assert set(body) == {"details", "idempotency_key"}
        body = {**body["details"], "idempotency_key": body["idempotency_key"]}
    if operation == ("agent_instance", "record_quality"):
        # The client adds it behind the model's back.
        body = {key: value for key, value in body.items() if key != "idempotency_key"}
    # The model is older than what this says.
    if body.pop("sensitive_encoding", False):
        counts["sensitive"] += 1
    request = parsed_whole(request_model, body)
    answer = ApiResponse[answer_model](**answer).details
    if operation == ("agent_spans",):
        assert (answer.schema_name, answer.status) == (request.schema_name, request.status)
        assert answer.payload == request.payload and answer.result_payload == request.result_payload
        # Pydantic reads the moments that we write.
        assert (answer.finished_at is None) == (request.finished_at is None)
        assert answer.finished_at is None or answer.finished_at >= answer.started_at


def read_bulk(body, answer):
    """Reads a bulk request, and each item of it as the request that it stands for."""
    parsed_whole(BulkRequest, body)
    outputs = BulkResponse.model_validate(answer).outputs
    for item in body["items"]:
        beside = [item.pop(key, None) for key in ("_type", "method", "path", "agent_span_id")]
        assert beside[1] == "POST", beside
        read(beside[2], item, outputs[item["idempotency_key"]].model_dump())


for line in sys.stdin.buffer:
    exchange = json.loads(line)
    read(exchange["path"], exchange["request"], exchange["answer"])
print(json.dumps(counts))
