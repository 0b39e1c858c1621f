"""SAM's mask decoder as a graph of OpenVINO's: all that comes after a prompt has become tokens."""

from openvino import Model, Node
from openvino import opset13 as ops

from cleanplate.engines.segmenters.sam_parts.decoder import HEADS, Attention, Decoder
from cleanplate.engines.segmenters.sam_parts.graph_nodes import (
    Value,
    constant,
    gelu,
    linear,
    normed,
    parameter,
    part,
    perceived,
    permuted,
    product,
    reshaped,
)
from cleanplate.engines.segmenters.sam_parts.layout import CHANNELS, GRID, MASK_SIDE, MASKS


def decoder_graph(decoder: Decoder) -> Model:
    """From tokens of the prompt, (any, CHANNELS), and of the image, (GRID · GRID, CHANNELS), to logits and scores."""
    tokens = parameter("tokens", (-1, CHANNELS))
    given = parameter("image", (GRID * GRID, CHANNELS))
    asked, image = _through_layers(decoder, tokens, given)
    masks = ops.concat([perceived(mask, part(asked, 0, n + 1, n + 2)) for n, mask in enumerate(decoder.masks)], 0)
    scores = reshaped(perceived(decoder.scores, part(asked, 0, 0, 1)), MASKS)
    return Model([_drawn(decoder, image, masks), scores], [tokens, given], "sam decoder")


def _through_layers(decoder: Decoder, tokens: Value, image: Value) -> tuple[Value, Value]:
    places, asked = constant(decoder.places), tokens
    for number, layer in enumerate(decoder.layers):
        if number == 0:
            asked = normed(layer.after_among, _attended(layer.among, asked, asked, asked))
        else:
            placed = ops.add(asked, tokens)
            asked = normed(layer.after_among, ops.add(asked, _attended(layer.among, placed, placed, asked)))
        seen = _attended(layer.at_image, ops.add(asked, tokens), ops.add(image, places), image)
        asked = normed(layer.after_image, ops.add(asked, seen))
        asked = normed(layer.after_perceptron, ops.add(asked, perceived(layer.perceptron, asked)))
        seen = _attended(layer.at_prompt, ops.add(image, places), ops.add(asked, tokens), asked)
        image = normed(layer.after_prompt, ops.add(image, seen))
    seen = _attended(decoder.final, ops.add(asked, tokens), ops.add(image, places), image)
    return normed(decoder.after_final, ops.add(asked, seen)), image


def _attended(attention: Attention, query: Value, key: Value, value: Value) -> Node:
    heads = [
        permuted(reshaped(linear(layer, tokens), -1, HEADS, len(layer.weight) // HEADS), 1, 0, 2)
        for layer, tokens in ((attention.query, query), (attention.key, key), (attention.value, value))
    ]
    mixed = ops.scaled_dot_product_attention(*(ops.unsqueeze(head, ops.constant(0)) for head in heads))
    mixed = permuted(ops.squeeze(mixed, ops.constant(0)), 1, 0, 2)
    return linear(attention.last, reshaped(mixed, -1, len(attention.value.weight)))


def _drawn(decoder: Decoder, image: Value, masks: Value) -> Node:
    """(MASKS, MASK_SIDE, MASK_SIDE)."""
    first, second = decoder.rise
    pixels = gelu(normed(decoder.after_rise, reshaped(linear(first, image), GRID * GRID * 4, -1)))
    pixels = reshaped(gelu(linear(second, pixels)), GRID * GRID * 16, -1)
    drawn = reshaped(product(masks, pixels, turned=True), MASKS, GRID, GRID, 2, 2, 2, 2)
    return reshaped(permuted(drawn, 0, 1, 3, 5, 2, 4, 6), MASKS, MASK_SIDE, MASK_SIDE)
