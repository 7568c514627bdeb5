"""The messages of the server API, as protobuf sees them (facts.md 2.1 and 2.2).

Built at import, so that no generated code ties us to one version of protobuf. Every `string` of the originals is
declared `bytes` here, which is the same on the wire: Python 2 apps put bytes there that are not UTF-8.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_REQUIRED, _OPTIONAL = _Field.LABEL_REQUIRED, _Field.LABEL_OPTIONAL
_BYTES, _INT32, _MESSAGE = _Field.TYPE_BYTES, _Field.TYPE_INT32, _Field.TYPE_MESSAGE
_PACKAGE = "channel_emu"

_MESSAGES: dict[str, list[tuple[int, str, int, Any]]] = {
    # number, name, label, type
    "Request": [
        (2, "service_name", _REQUIRED, _BYTES),
        (3, "method", _REQUIRED, _BYTES),
        (4, "request", _REQUIRED, _BYTES),
        (5, "request_id", _OPTIONAL, _BYTES),
        (6, "trace_context", _OPTIONAL, _BYTES),
    ],
    "ApplicationError": [
        (1, "code", _REQUIRED, _INT32),
        (2, "detail", _REQUIRED, _BYTES),
    ],
    "RpcError": [
        (1, "code", _REQUIRED, _INT32),
        (2, "detail", _OPTIONAL, _BYTES),
    ],
    "Response": [
        (1, "response", _OPTIONAL, _BYTES),
        (2, "exception", _OPTIONAL, _BYTES),
        (3, "application_error", _OPTIONAL, "ApplicationError"),
        (4, "java_exception", _OPTIONAL, _BYTES),
        (5, "rpc_error", _OPTIONAL, "RpcError"),
    ],
    "CreateChannelRequest": [
        (1, "application_key", _REQUIRED, _BYTES),
        (2, "duration_minutes", _OPTIONAL, _INT32),
    ],
    "CreateChannelResponse": [
        (2, "token", _OPTIONAL, _BYTES),
        (3, "duration_minutes", _OPTIONAL, _INT32),
    ],
    "SendMessageRequest": [
        (1, "application_key", _REQUIRED, _BYTES),
        (2, "message", _REQUIRED, _BYTES),
    ],
}


class Malformed(ValueError):
    """Bytes that are not the message they should be; the text says why."""


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="channel_emu/remote_api.proto", package=_PACKAGE, syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message_name)
        for number, name, label, kind in fields:
            field = declared.field.add(number=number, name=name, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
    # A pool of our own: an app's code in the same process may have the originals in the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _build()
Request = _CLASSES["Request"]
Response = _CLASSES["Response"]
CreateChannelRequest = _CLASSES["CreateChannelRequest"]
CreateChannelResponse = _CLASSES["CreateChannelResponse"]
SendMessageRequest = _CLASSES["SendMessageRequest"]


def parse(kind: Any, data: bytes) -> Any:
    """The message of class `kind` in `data`; raises `Malformed`."""
    name = kind.DESCRIPTOR.name
    try:
        parsed = kind.FromString(data)
    except message.DecodeError:
        raise Malformed(f"This is no {name}: it cannot be decoded.") from None
    if not parsed.IsInitialized():
        raise Malformed(f"This {name} has no {', '.join(parsed.FindInitializationErrors())}.")
    return parsed
