from pathlib import Path

import pytest
import yaml
from environments import LABEL_STUDIO_VERSION
from label_studio_server import STILL_REFUSED

DOCKER = Path(__file__).parents[3] / "docker"


@pytest.fixture
def services() -> dict:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]


def test_the_containers_hold_the_label_studio_that_is_tested(services) -> None:
    assert services["label-studio"]["image"].endswith(f":{LABEL_STUDIO_VERSION}")


def test_label_studio_in_a_container_reaches_its_own_network_and_no_other_private_one(services) -> None:
    refused = services["label-studio"]["environment"]["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"].split(",")

    assert {*refused, "172.16.0.0/12"} == {*STILL_REFUSED, "127.0.0.0/8"}


def test_nothing_but_label_studio_can_be_reached_from_outside_and_that_from_this_machine_only(services) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert list(ports) == ["label-studio"]
    assert all(port.startswith("127.0.0.1:") for port in ports["label-studio"])


def test_every_secret_that_is_needed_has_its_line_in_the_example(services) -> None:
    example = (DOCKER / "example.env").read_text(encoding="utf-8")
    needed = {
        value.removeprefix("${").partition(":")[0]
        for service in services.values()
        for value in service["environment"].values()
        if value.startswith("${")
    }

    assert [name for name in sorted(needed) if f"\n{name}=" not in example] == []
