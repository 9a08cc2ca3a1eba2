"""What the OpenAI Agents SDK makes of our items: [what its own types export, what its exporter sends to OpenAI] a line."""

import json
import sys

from agents.tracing import span_data as types
from agents.tracing.processors import BackendSpanExporter
from agents.tracing.spans import SpanImpl
from agents.tracing.traces import TraceImpl


def typed(data):
    """The SDK's type that says this."""
    said = {key: value for key, value in data.items() if key != "type"}
    kind = data["type"]
    if kind == "custom":
        sdk_type = data["data"].get("sdk_span_type")
        if sdk_type is None:
            return types.CustomSpanData(**said)
        inner = {key: value for key, value in data["data"].items() if key != "sdk_span_type"}
        return {"task": types.TaskSpanData, "turn": types.TurnSpanData}[sdk_type](**inner)
    if kind == "transcription":
        audio = said.pop("input")
        return types.TranscriptionSpanData(input=audio["data"], input_format=audio["format"], **said)
    if kind == "speech":
        audio = said.pop("output")
        return types.SpeechSpanData(output=audio["data"], output_format=audio["format"], **said)
    if kind == "response":
        response = types.ResponseSpanData(usage=said["usage"])
        response._response_id = said["response_id"]
        return response
    return {
        "agent": types.AgentSpanData,
        "function": types.FunctionSpanData,
        "generation": types.GenerationSpanData,
        "guardrail": types.GuardrailSpanData,
        "handoff": types.HandoffSpanData,
        "mcp_tools": types.MCPListToolsSpanData,
        "speech_group": types.SpeechGroupSpanData,
    }[kind](**said)


def exported(item):
    if item["object"] == "trace":
        return TraceImpl(item["workflow_name"], item["id"], item["group_id"], item["metadata"], None).export()
    span = SpanImpl(item["trace_id"], item["id"], item["parent_id"], None, typed(item["span_data"]), None)
    span._started_at, span._ended_at = item["started_at"], item["ended_at"]
    span.set_error(item["error"])
    return span.export()


exporter = BackendSpanExporter(api_key="none")
for line in sys.stdin:
    item = json.loads(line)
    print(json.dumps([exported(item), exporter._sanitize_for_openai_tracing_api(item)]))
