import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from console import ScriptError
from first_run import Memory, MemoryFile, choose_port, only_one_at_a_time

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_every_fresh_account_has_secrets_of_its_own() -> None:
    one, other = Memory.fresh(), Memory.fresh()

    assert one.password != other.password
    assert one.api_key != other.api_key
    # Label Studio keeps no more than 40 characters of a token.
    assert len(one.api_key) == 40


def test_the_memory_comes_back_and_only_its_owner_may_read_it(tmp_path) -> None:
    file = MemoryFile(tmp_path)
    memory = file.update(file.read(), project=7)

    (path,) = (tmp_path / "secrets").iterdir()
    assert file.read() == memory
    assert memory.project == 7
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_broken_memory_is_a_sentence_with_a_remedy(tmp_path) -> None:
    MemoryFile(tmp_path).write(Memory.fresh())
    (path,) = (tmp_path / "secrets").iterdir()
    path.write_text("{")

    with pytest.raises(ScriptError, match="cannot be read") as caught:
        MemoryFile(tmp_path).read()

    assert "--data-dir" in caught.value.remedy


def test_the_usual_port_gives_way_to_the_next_free_one(taken_port) -> None:
    port = choose_port(option="--port", asked=None, remembered=None, usual=taken_port)

    assert taken_port < port < taken_port + 50


@pytest.mark.parametrize("how", ["asked", "remembered"])
def test_a_chosen_port_that_is_taken_is_not_exchanged_for_another(taken_port, how) -> None:
    ports = {"asked": None, "remembered": None, how: taken_port}

    with pytest.raises(ScriptError, match=f"port {taken_port} is taken") as caught:
        choose_port(option="--port", usual=8080, **ports)

    assert f"--port {taken_port + 1}" in caught.value.remedy


def test_an_asked_port_wins_over_the_remembered_one(free_port, taken_port) -> None:
    assert choose_port(option="--port", asked=free_port, remembered=taken_port, usual=8080) == free_port


def test_a_data_directory_serves_one_product_at_a_time(tmp_path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from pathlib import Path\n"
        "from console import ScriptError\n"
        "from first_run import only_one_at_a_time\n"
        "try:\n"
        f"    with only_one_at_a_time(Path({str(tmp_path)!r})): print('mine')\n"
        "except ScriptError as error: print(error)\n"
    )

    def second() -> str:
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    with only_one_at_a_time(tmp_path):
        assert "already running" in second()
    assert second() == "mine\n"
