import hashlib
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cleanplate.engines.weights import Published, Weights, digest_of, tensors_in
from cleanplate.engines.weights_parts.pickles import contents_of
from cleanplate.errors import EngineMissingError, WeightsError

PUBLISHED = Published(
    engine="lama",
    names=("big.pt", "big.safetensors", "big"),
    inside="models/best.ckpt",
    address="https://example.org/big.pt",
    size_bytes=205_669_692,
    licence="Apache-2.0",
    setting="CLEANPLATE_LAMA_CHECKPOINT",
)

# Instructions of a pickle, as torch writes them.


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def row(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def name(module: str, last: str) -> bytes:
    return f"c{module}\n{last}\n".encode()


def mapping(**entries: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def tensor(shape, *, key="0", strides=None, start=0, storage="FloatStorage") -> bytes:
    if strides is None:
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    stored = row(text("storage"), name("torch", storage), text(key), text("cpu"), number(4)) + b"Q"
    arguments = row(stored, number(start), row(*map(number, shape)), row(*map(number, strides)), b"\x89", b"N")
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def archive(path: Path, content: bytes, *members: bytes, packed: bool = False, **others: bytes) -> Path:
    """A zip file with this content as its pickle and these members as numbers."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr("big/data.pkl", b"\x80\x02" + content + b".", zipfile.ZIP_STORED)
        for key, numbers in enumerate(members):
            file.writestr(f"big/data/{key}", numbers)
        for other, value in others.items():
            file.writestr(f"big/{other}", value, zipfile.ZIP_STORED)
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    with tensors_in(path) as tensors:
        return {key: stored.read() for key, stored in tensors.items()}


def floats(count: int) -> bytes:
    return np.arange(count, dtype="<f4").tobytes()


# Which file


def test_the_checkpoint_that_is_set_is_taken(tmp_path) -> None:
    mine = tmp_path / "mine.pt"
    mine.touch()
    (tmp_path / "big.pt").touch()

    assert PUBLISHED.find(Weights(checkpoint=mine, folder=tmp_path)) == mine


def test_of_the_folder_the_best_published_name_is_taken(tmp_path) -> None:
    (tmp_path / "big.safetensors").touch()
    assert PUBLISHED.find(Weights(folder=tmp_path)) == tmp_path / "big.safetensors"

    (tmp_path / "big.pt").touch()
    assert PUBLISHED.find(Weights(folder=tmp_path)) == tmp_path / "big.pt"


def test_in_a_published_folder_the_checkpoint_is_where_its_makers_put_it(tmp_path) -> None:
    (tmp_path / "big" / "models").mkdir(parents=True)
    best = tmp_path / "big" / "models" / "best.ckpt"
    best.touch()

    assert PUBLISHED.find(Weights(checkpoint=tmp_path / "big")) == best
    assert PUBLISHED.find(Weights(folder=tmp_path)) == best


@pytest.mark.parametrize("weights", [Weights(), Weights(folder=Path("nowhere")), Weights(checkpoint=Path("mine.pt"))])
def test_a_missing_file_is_named_with_its_address_size_licence_and_setting(weights) -> None:
    wanted = r"big\.pt \(196 MiB, Apache-2\.0\) from https://example\.org/big\.pt.*CLEANPLATE_LAMA_CHECKPOINT"
    with pytest.raises(EngineMissingError, match=wanted):
        PUBLISHED.find(weights)


def test_a_checkpoint_that_is_set_and_missing_is_not_replaced_by_another(tmp_path) -> None:
    (tmp_path / "big.pt").touch()

    with pytest.raises(EngineMissingError, match=r"mine\.pt is not there"):
        PUBLISHED.find(Weights(checkpoint=tmp_path / "mine.pt", folder=tmp_path))


def test_a_folder_without_weights_is_not_called_missing(tmp_path) -> None:
    (tmp_path / "mine").mkdir()

    with pytest.raises(EngineMissingError, match=r"mine holds no models/"):
        PUBLISHED.find(Weights(checkpoint=tmp_path / "mine"))


def test_a_file_s_digest_is_that_of_its_bytes(tmp_path) -> None:
    (tmp_path / "big.pt").write_bytes(b"weights")

    assert digest_of(tmp_path / "big.pt") == hashlib.sha256(b"weights").hexdigest()


def test_a_file_that_cannot_be_opened_is_named(tmp_path) -> None:
    with pytest.raises(WeightsError, match="gone"):
        digest_of(tmp_path / "gone")
    with pytest.raises(WeightsError, match="gone"), tensors_in(tmp_path / "gone"):
        pass


# What is in it


def test_tensors_of_a_state_dict_are_read_by_name(tmp_path) -> None:
    content = mapping(first=tensor((2, 3)), second=tensor((), key="1"))

    tensors = read(archive(tmp_path / "big.pt", content, floats(6), floats(1)))

    np.testing.assert_array_equal(tensors["first"], [[0, 1, 2], [3, 4, 5]])
    assert tensors["second"] == np.float32(0)
    assert tensors["first"].dtype == np.float32


def test_only_the_state_dict_of_a_checkpoint_is_read(tmp_path) -> None:
    content = mapping(optimizer=mapping(w=tensor((2,))), state_dict=mapping(w=tensor((1,))))

    assert read(archive(tmp_path / "big.ckpt", content, floats(2))).keys() == {"w"}


def test_parts_of_scripted_modules_are_named_as_in_their_state_dict(tmp_path) -> None:
    inner = name("__torch__.nn", "Conv") + b")\x81" + mapping(weight=tensor((2,)), training=b"\x89") + b"b"
    outer = name("__torch__", "Net") + b")\x81" + mapping(conv=inner, bias=tensor((1,))) + b"b"

    assert read(archive(tmp_path / "big.pt", outer, floats(2))).keys() == {"conv.weight", "bias"}


def test_a_parameter_is_its_tensor(tmp_path) -> None:
    parameter = name("torch._utils", "_rebuild_parameter") + row(tensor((2,)), b"\x88", b"N") + b"R"

    np.testing.assert_array_equal(read(archive(tmp_path / "big.pt", mapping(w=parameter), floats(2)))["w"], [0, 1])


def test_a_part_of_a_larger_storage_is_read_in_its_own_order(tmp_path) -> None:
    transposed = tensor((2, 3), strides=(1, 2), start=1)

    tensors = read(archive(tmp_path / "big.pt", mapping(w=transposed), floats(9)))

    np.testing.assert_array_equal(tensors["w"], [[1, 3, 5], [2, 4, 6]])


@pytest.mark.parametrize(
    ("storage", "numbers"),
    [
        ("HalfStorage", np.array([1.5, -2], "<f2").tobytes()),
        ("DoubleStorage", np.array([1.5, -2], "<f8").tobytes()),
        ("BFloat16Storage", (np.array([1.5, -2], "<f4").view("<u4") >> 16).astype("<u2").tobytes()),
    ],
)
def test_every_floating_point_type_becomes_float32(tmp_path, storage, numbers) -> None:
    tensors = read(archive(tmp_path / "big.pt", mapping(w=tensor((2,), storage=storage)), numbers))

    np.testing.assert_array_equal(tensors["w"], np.array([1.5, -2], dtype=np.float32))


# What is hostile or damaged


def test_what_a_pickle_would_call_is_not_called(tmp_path) -> None:
    mark = tmp_path / "executed"
    call = name("posix", "system") + row(text(f"touch {mark}")) + b"R"
    built = name("os", "system") + b")\x81" + text(f"touch {mark}") + b"b"

    tensors = read(archive(tmp_path / "big.pt", mapping(evil=call, built=built, w=tensor((1,))), floats(1)))

    assert tensors.keys() == {"w"}
    assert not mark.exists()


def test_source_code_in_an_archive_is_not_looked_at(tmp_path) -> None:
    mark = tmp_path / "executed"
    path = archive(tmp_path / "big.pt", mapping(w=tensor((1,))), floats(1), constants=b"import os")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("big/code/__torch__.py", f"import os\nos.system('touch {mark}')")

    assert read(path).keys() == {"w"}
    assert not mark.exists()


CYCLE = b"}q\x00" + text("again") + b"h\x00s"
DEEP = b")" + b"\x85" * 200_000
DOUBLED = b"}"
for level in range(60):
    memory = bytes([level])
    DOUBLED = b"}(" + text("a") + DOUBLED + b"q" + memory + text("b") + b"h" + memory + b"u"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"N", "no named tensors"),
        (mapping(w=number(1)), "no named tensors"),
        (name("os", "system") + row(text("true")) + b"R", "no named tensors"),
        (b"h\x05", "damaged"),
        (b"t", "mark is missing"),
        (b"Nb", "damaged"),
        (b"NN", "damaged"),
        (b"X\xff\xff\xff\xffabc", "damaged"),
        (b"(" + name("os", "system") + b"o", "instruction OBJ"),
        (b"}]Ns", "no named tensors"),
        (b"}" + DEEP + b"Ns", "no named tensors"),
        (CYCLE, "no named tensors"),
        (text("os") + DOUBLED + b"\x93", "a name is a text"),
        (DOUBLED, "more tensors than any network"),
        (mapping(w=tensor((-1,))), "describes no tensor"),
        (mapping(w=tensor((2,), strides=(1, 1))), "describes no tensor"),
        (mapping(w=name("torch._utils", "_rebuild_tensor_v2") + b"NR"), "describes no tensor"),
        (mapping(w=tensor((3,))), "w: it claims 3 numbers, and the archive has 2"),
        (mapping(w=tensor((1,), start=2)), "w: it claims"),
        (mapping(w=tensor((1000, 1000), strides=(0, 0))), "w: it claims 1000000 numbers"),
        (mapping(w=tensor((2**20, 2**20))), "w: it claims"),
        (mapping(w=tensor((1,), key="7")), "no data/7"),
        (mapping(w=tensor((1,), key="../data.pkl")), "no data/"),
        (mapping(w=tensor((1,), storage="LongStorage")), "LongStorage"),
    ],
)
def test_a_hostile_or_damaged_pickle_is_an_error_that_names_the_file(tmp_path, content, message) -> None:
    path = archive(tmp_path / "big.pt", content, floats(2))

    with pytest.raises(WeightsError, match=message) as caught:
        read(path)

    assert str(path) in str(caught.value)


WHOLE = b"\x80\x02" + mapping(state_dict=mapping(w=tensor((2, 3)), evil=name("os", "abort") + b")R")) + b"."


@given(
    start=st.integers(0, len(WHOLE)), cut=st.integers(0, 20), spliced=st.binary(max_size=20) | st.sampled_from([WHOLE])
)
@example(start=28, cut=0, spliced=b"\\\x00")
def test_a_pickle_that_was_tampered_with_is_read_or_refused(start, cut, spliced) -> None:
    with suppress(WeightsError):
        contents_of(WHOLE[:start] + spliced + WHOLE[start + cut :])


def test_packed_numbers_are_refused_for_they_could_be_of_any_size(tmp_path) -> None:
    path = archive(tmp_path / "big.pt", mapping(w=tensor((10_000_000,))), bytes(40_000_000), packed=True)

    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsError, match="has packed it"):
        read(path)


def test_a_list_of_tensors_longer_than_any_is_refused_unread(tmp_path) -> None:
    path = archive(tmp_path / "big.pt", b"N" * 34_000_000)

    with pytest.raises(WeightsError, match=r"data\.pkl in the archive is larger"):
        read(path)


def test_an_archive_that_ends_early_is_refused(tmp_path) -> None:
    whole = archive(tmp_path / "big.pt", mapping(w=tensor((500,))), floats(500)).read_bytes()

    for length in range(4, len(whole), 97):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"cut\.pt"):
            read(tmp_path / "cut.pt")


def test_numbers_that_changed_on_the_way_are_noticed(tmp_path) -> None:
    path = archive(tmp_path / "big.pt", mapping(w=tensor((500,))), floats(500))
    content = bytearray(path.read_bytes())
    content[content.index(floats(500)) + 1000] ^= 1
    path.write_bytes(content)

    with pytest.raises(WeightsError, match="CRC"):
        read(path)


def test_an_archive_from_a_machine_with_another_order_of_bytes_is_refused(tmp_path) -> None:
    path = archive(tmp_path / "big.pt", mapping(w=tensor((1,))), floats(1), byteorder=b"big")

    with pytest.raises(WeightsError, match="order of bytes"):
        read(path)


def test_an_archive_that_torch_did_not_write_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "big.pt", "w") as file:
        file.writestr("readme.txt", "hello")

    with pytest.raises(WeightsError, match="none that torch has written"):
        read(tmp_path / "big.pt")


@pytest.mark.parametrize("name", ["big.pt", "big.safetensors"])
@pytest.mark.parametrize("content", [b"<html>not found</html>", b"version https://git-lfs.github.com/spec/v1\noid"])
def test_a_download_that_went_wrong_is_called_a_text(tmp_path, content, name) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(WeightsError, match="it is a text"):
        read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"\x80\x02N."])
def test_a_file_of_another_kind_is_refused_with_what_would_be_read(tmp_path, content) -> None:
    (tmp_path / "big.pt").write_bytes(content)

    with pytest.raises(WeightsError, match="neither safetensors nor"):
        read(tmp_path / "big.pt")


# safetensors


def test_safetensors_are_read_by_name(tmp_path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"w": np.array([[1.5, 2]], np.float16)}, tmp_path / "big.safetensors")

    np.testing.assert_array_equal(read(tmp_path / "big.safetensors")["w"], np.array([[1.5, 2]], np.float32))


@pytest.mark.parametrize("length", [3, 8, 40, 90])
def test_a_safetensors_file_that_ends_early_is_refused(tmp_path, length) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "big.safetensors"
    safetensors.save_file({"w": np.zeros(20, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(WeightsError, match=r"big\.safetensors"):
        read(path)


def test_whole_numbers_in_safetensors_are_refused(tmp_path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"w": np.zeros(2, np.int64)}, tmp_path / "big.safetensors")

    with pytest.raises(WeightsError, match="w is stored as I64"):
        read(tmp_path / "big.safetensors")
