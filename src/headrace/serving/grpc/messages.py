"""The messages of the Open Inference Protocol's gRPC form, made when they are first asked for.

Fields and numbers are those of the protocol's own definition
(https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto). They are
made here rather than by a compiler ahead of time, as generated code is bound to the very version of protobuf that made
it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

SERVICE: Final = "inference.GRPCInferenceService"
_PACKAGE: Final = "inference"
_TENSOR: Final = "string name 1; string datatype 2; *int64 shape 3; map parameters 4; .InferTensorContents contents 5"
_MESSAGES: Final = {
    "InferParameter": "bool bool_param 1; int64 int64_param 2; string string_param 3; double double_param 4;"
    " uint64 uint64_param 5",
    "InferTensorContents": "*bool bool_contents 1; *int32 int_contents 2; *int64 int64_contents 3;"
    " *uint32 uint_contents 4; *uint64 uint64_contents 5; *float fp32_contents 6;"
    " *double fp64_contents 7; *bytes bytes_contents 8",
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready 1",
    "ModelReadyRequest": "string name 1; string version 2",
    "ModelReadyResponse": "bool ready 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name 1; string version 2; *string extensions 3",
    "ModelMetadataRequest": "string name 1; string version 2",
    "TensorMetadata": "string name 1; string datatype 2; *int64 shape 3",
    "ModelMetadataResponse": "string name 1; *string versions 2; string platform 3; *.TensorMetadata inputs 4;"
    " *.TensorMetadata outputs 5",
    "InferInputTensor": _TENSOR,
    "InferRequestedOutputTensor": "string name 1; map parameters 2",
    "ModelInferRequest": "string model_name 1; string model_version 2; string id 3; map parameters 4;"
    " *.InferInputTensor inputs 5; *.InferRequestedOutputTensor outputs 6; *bytes raw_input_contents 7",
    "InferOutputTensor": _TENSOR,
    "ModelInferResponse": "string model_name 1; string model_version 2; string id 3; map parameters 4;"
    " *.InferOutputTensor outputs 5; *bytes raw_output_contents 6",
}
"""By name, fields as `[*]TYPE NAME NUMBER`: `*` for repeated, `.NAME` for a message, `map` from text to a parameter.
Messages that the definition nests stand beside the others: their names are never on the wire."""
METHODS: Final = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")


@cache
def messages() -> dict[str, Any]:
    """The classes, by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    Field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="headrace/inference.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        made = file.message_type.add(name=name)
        if name == "InferParameter":
            made.oneof_decl.add(name="parameter_choice")
        for text in filter(None, fields.split(";")):
            kind, field_name, number = text.split()
            repeated = kind.startswith("*")
            kind = kind.removeprefix("*")
            field = made.field.add(name=field_name, number=int(number))
            field.label = Field.LABEL_REPEATED if repeated or kind == "map" else Field.LABEL_OPTIONAL
            if kind == "map":
                entry = made.nested_type.add(name="ParametersEntry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
                value = entry.field.add(name="value", number=2, type=Field.TYPE_MESSAGE, label=Field.LABEL_OPTIONAL)
                value.type_name = f".{_PACKAGE}.InferParameter"
                field.type, field.type_name = Field.TYPE_MESSAGE, f".{_PACKAGE}.{name}.ParametersEntry"
            elif kind.startswith("."):
                field.type, field.type_name = Field.TYPE_MESSAGE, f".{_PACKAGE}{kind}"
            else:
                field.type = Field.Type.Value(f"TYPE_{kind.upper()}")
            if name == "InferParameter":
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()  # a client in the same process has its own in the usual one
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }
