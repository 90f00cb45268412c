"""Joins concurrent requests for one signature with TensorFlow's batching operation."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from tfzoo.serving.config_files import Batching
from tfzoo.serving.loading import without


def joined(
    graph: tf.Graph, signature: meta_graph_pb2.SignatureDef, parameters: Batching
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Adds a batched copy of a signature to its graph: concurrent runs share a batch.

    Args:
        graph: graph of a loaded SavedModel; its session picks the copy up at its next run.
        signature: every input and output has a batch axis of any size as axis 0.
        parameters: sizes, waits and threads.

    Returns:
        The tensors to feed and those to fetch, by the signature's names.
    """
    feeds = {name: info.name for name, info in sorted(signature.inputs.items())}
    fetches = {name: info.name for name, info in sorted(signature.outputs.items())}
    ends = sorted({name.split(":")[0] for name in fetches.values()})
    with without("tensorflow", "Instructions for updating"):
        definition = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ends)
    with graph.as_default():
        placeholders = {
            name: tf.compat.v1.placeholder(
                graph.get_tensor_by_name(tensor).dtype, graph.get_tensor_by_name(tensor).shape
            )
            for name, tensor in feeds.items()
        }
        state = _state(graph, definition, set(feeds.values()))

        @tf.nondifferentiable_batch_function(
            num_batch_threads=parameters.num_batch_threads,
            max_batch_size=parameters.max_batch_size,
            batch_timeout_micros=parameters.batch_timeout_micros,
            allowed_batch_sizes=list(parameters.allowed_batch_sizes) or None,
            max_enqueued_batches=parameters.max_enqueued_batches,
            autograph=False,
            enable_large_batch_splitting=parameters.enable_large_batch_splitting,
        )
        def run(*inputs: tf.Tensor) -> list[tf.Tensor]:
            inside = tf.compat.v1.get_default_graph()
            replaced = {name: inside.capture(tensor) for name, tensor in state.items()}
            replaced |= dict(zip(feeds.values(), inputs, strict=True))
            return tf.import_graph_def(
                definition, replaced, return_elements=list(fetches.values()), name="signature"
            )

        outputs = run(*placeholders.values())
    return placeholders, dict(zip(fetches, outputs, strict=True))


def _state(
    graph: tf.Graph, definition: tf.compat.v1.GraphDef, feeds: set[str]
) -> Mapping[str, tf.Tensor]:
    """Removes the variables and tables from a graph's description and returns them.

    The batched function is separate from the graph but must share the session's state.
    """
    state: dict[str, tf.Tensor] = {}
    kept = []
    for node in definition.node:
        operation = graph.get_operation_by_name(node.name)
        source = not operation.inputs and operation.op_def.is_stateful
        if source and node.op not in ("Placeholder", "StatefulPartitionedCall"):
            state |= {output.name: output for output in operation.outputs}
        elif f"{node.name}:0" not in feeds:
            kept.append(node)
    del definition.node[:]
    definition.node.extend(kept)
    return state
