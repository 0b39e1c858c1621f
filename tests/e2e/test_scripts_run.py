"""What a newcomer meets who starts the product, and what is left when it is stopped."""

import pytest
from running import CHECKOUT, environment_without_ours, free_port, processes_of, scripts_run
from studio import wait_for

pytestmark = pytest.mark.e2e

SAMPLES = sorted(path.name for path in (CHECKOUT / "samples").iterdir() if path.suffix != ".md")
MASKS = (CHECKOUT / "label_config" / "privacy.xml").read_text(encoding="utf-8")


def test_a_second_start_reuses_all_and_is_ready_in_20_seconds(product, studio) -> None:
    first, second = product.memories
    tasks = studio.tasks(second["project"])

    assert product.second_start_s < 20
    assert second == first
    assert len(tasks) == len(SAMPLES)
    assert all(task["data"]["image"].endswith(name) for task, name in zip(tasks, SAMPLES, strict=True))


def test_beside_another_label_studio_only_backend_and_worker_start_and_only_they_stop(
    product, studio, tmp_path
) -> None:
    project = studio.create_project("Somebody's own", MASKS)
    theirs = {name: value for name, value in product.settings.items() if name.startswith("LABEL_STUDIO_")}
    # Two products that watch one project would make two copies of everything.
    environment = {**environment_without_ours(), **theirs, "CLEANPLATE_PROJECTS": str(project)}
    port = free_port()
    options = ("--backend-port", str(port), "--project", str(project))

    with scripts_run(tmp_path, environment, *options, ready="Ctrl-C"):
        started = processes_of(tmp_path)
        (backend,) = studio.call("GET", f"/api/ml?project={project}")

    assert sorted(arguments[2] for arguments in started.values() if "/cleanplate" in arguments[1]) == ["serve", "work"]
    assert backend["url"] == f"http://127.0.0.1:{port}"
    assert backend["is_interactive"]
    assert not (tmp_path / "label-studio").exists()
    wait_for(lambda: not processes_of(tmp_path), within_s=5, what="end of all that was started")
    assert studio.call("GET", "/health") is not None
