import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cleanplate.codecs.rle import mask_from_rle, rle_from_mask

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40))


@settings(deadline=None)
@given(mask=masks)
def test_a_mask_survives_the_way_there_and_back(mask):
    height, width = mask.shape

    np.testing.assert_array_equal(mask_from_rle(rle_from_mask(mask), width=width, height=height), mask)


@settings(deadline=None)
@given(first=st.integers(1, 200_000), second=st.integers(1, 200_000), value=st.booleans())
def test_runs_of_any_length_survive_the_way_there_and_back(first, second, value):
    mask = np.repeat([value, not value], [first, second])[np.newaxis]

    np.testing.assert_array_equal(mask_from_rle(rle_from_mask(mask), width=first + second, height=1), mask)


@settings(deadline=None)
@given(data=st.data(), length_bits=st.tuples(*[st.integers(1, 16)] * 4), sample_bits=st.integers(1, 8))
def test_every_legal_way_to_write_the_samples_gives_the_same_mask(data, length_bits, sample_bits):
    values = st.integers(0, 2**sample_bits - 1)
    tokens = data.draw(
        st.lists(
            st.one_of(
                st.tuples(st.integers(0, 3), st.integers(1, 60), values),
                st.tuples(st.integers(0, 3), st.lists(values, min_size=1, max_size=20)),
            ),
            max_size=30,
        )
    )
    samples: list[int] = []
    bits = ""
    for choice, *rest in tokens:
        room = 2 ** length_bits[choice]
        is_run = len(rest) == 2
        written = [rest[1]] * min(rest[0], room) if is_run else rest[0][:room]
        samples += written
        bits += f"{is_run:b}{choice:02b}{len(written) - 1:0{length_bits[choice]}b}"
        bits += "".join(f"{value:0{sample_bits}b}" for value in (written[:1] if is_run else written))
    filler = 4 - len(samples) % 4
    for _ in range(filler):
        samples.append(1)
        bits += f"000{0:0{length_bits[0]}b}{1:0{sample_bits}b}"
    header = f"{len(samples):032b}{sample_bits - 1:05b}" + "".join(f"{width - 1:04b}" for width in length_bits)
    bits = header + bits + "0" * 7
    rle = [int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8)]

    mask = mask_from_rle(rle, width=len(samples) // 4, height=1)

    assert mask[0].tolist() == [alpha > 0 for alpha in samples[3::4]]
