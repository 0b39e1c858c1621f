"""Starts the whole product and stops it again."""

import argparse
import os
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from console import Console, ScriptError, shown_path
from environments import CHECKOUT, label_studio, product
from first_run import BACKEND_PORT, LABEL_STUDIO_PORT, Memory, MemoryFile, choose_port, only_one_at_a_time
from label_studio_server import Account, Api, LabelStudioServer, sample_images, wait_until_ready
from processes import Service, stop_all, watch

URL: Final = "LABEL_STUDIO_URL"
API_KEY: Final = "LABEL_STUDIO_API_KEY"
DATA_DIR: Final = "CLEANPLATE_DATA_DIR"
CONNECT_TIMEOUT_S: Final = 120


class Product:
    """Everything one start of the product needs to know, and what it has started so far."""

    def __init__(self, console: Console, options: argparse.Namespace) -> None:
        self._console = console
        self._options = options
        self._data_dir: Path = options.data_dir.resolve()
        self._logs = self._data_dir / "logs"
        self._environment = product()
        self._memory_file = MemoryFile(self._data_dir)
        self._services: list[Service] = []

    def run(self) -> NoReturn:
        """Start everything, say how to use it, and watch until something ends.

        Raises:
            ScriptError: Something could not be started, or stopped by itself.
            KeyboardInterrupt: The person, or the system, asked to stop.
        """
        with only_one_at_a_time(self._data_dir), self._stopping_what_was_started():
            if URL in os.environ or API_KEY in os.environ:
                self._start_beside_another_label_studio()
            else:
                self._start_with_our_own_label_studio()
            watch(self._services)

    @contextmanager
    def _stopping_what_was_started(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._services:
                self._console.line()
                with self._console.step("Stopping"):
                    stop_all(service.process for service in reversed(self._services))

    def _start_with_our_own_label_studio(self) -> None:
        memory = self._memory_file.read()
        memory = self._memory_file.update(
            memory,
            label_studio_port=self._port("--port", self._options.port, memory.label_studio_port, LABEL_STUDIO_PORT),
            backend_port=self._port("--backend-port", self._options.backend_port, memory.backend_port, BACKEND_PORT),
        )
        server = self._label_studio(memory)
        # Label Studio sets its database up while cleanplate is being installed.
        label_studio_service = self._started(server.start(log=self._logs / "label-studio.log"))
        self._environment.ensure(self._console)
        settings = {
            URL: server.url,
            API_KEY: memory.api_key,
            DATA_DIR: str(self._data_dir),
            "CLEANPLATE_LOCAL_FILES_ROOT": str(server.files),
        }
        backend = self._start_backend(memory, settings)
        title = "Starting Label Studio" if memory.project else "Starting Label Studio and making its database"
        with self._console.step(title):
            wait_until_ready(f"{server.url}/health", label_studio_service)
        with self._console.step("Preparing the project"):
            memory = self._with_project(memory, Api(server.url, memory.api_key))
        # Only now: its first look at what was approved while nothing ran should find Label Studio.
        self._start_worker(settings)
        self._connect_projects(memory, backend, settings, projects=(memory.project,) if memory.project else ())
        self._welcome(server, memory)

    def _start_beside_another_label_studio(self) -> None:
        missing = [name for name in (URL, API_KEY) if not os.environ.get(name)]
        if missing:
            raise ScriptError(
                f"{missing[0]} is not set, but the other of {URL} and {API_KEY} is",
                remedy="Set both to use that Label Studio, or none to have one of your own started.",
            )
        memory = self._memory_file.read()
        port = self._port("--backend-port", self._options.backend_port, memory.backend_port, BACKEND_PORT)
        memory = self._memory_file.update(memory, backend_port=port)
        self._environment.ensure(self._console)
        settings = {DATA_DIR: str(self._data_dir)}
        projects: Sequence[int] = self._options.project
        backend = self._start_backend(memory, settings)
        self._start_worker(settings)
        self._connect_projects(memory, backend, settings, projects=projects)
        self._console.line()
        self._console.line(f"cleanplate works for {self._console.bold(os.environ[URL])}")
        self._row("Backend", f"http://127.0.0.1:{port}  (its state: /status)")
        if not projects:
            self._row("Connect", "stop this and start again with --project and the project's number")
        self._row("Logs", shown_path(self._logs))
        self._row("Stop", "Ctrl-C")

    def _label_studio(self, memory: Memory) -> LabelStudioServer:
        environment = label_studio()
        environment.ensure(self._console)
        return LabelStudioServer(
            python=environment.python,
            port=memory.label_studio_port or LABEL_STUDIO_PORT,
            data=self._data_dir / "label-studio",
            files=self._data_dir / "files",
            account=Account(email=memory.email, password=memory.password, api_key=memory.api_key),
        )

    def _with_project(self, memory: Memory, api: Api) -> Memory:
        if memory.project is None or not api.has_project(memory.project):
            memory = self._memory_file.update(memory, project=api.create_project(), has_samples=False)
        if memory.project and self._options.samples and not memory.has_samples:
            # A start may have been interrupted between the import and its note.
            if not api.has_tasks(memory.project):
                api.import_images(memory.project, sample_images())
            memory = self._memory_file.update(memory, has_samples=True)
        return memory

    def _start_backend(self, memory: Memory, settings: Mapping[str, str]) -> Service:
        address = ("--host", "127.0.0.1", "--port", str(memory.backend_port))
        command = (self._environment.program("cleanplate"), "serve", *address)
        log = self._logs / "backend.log"
        return self._started(Service("the backend", command, environment=settings, log=log))

    def _start_worker(self, settings: Mapping[str, str]) -> None:
        command = (self._environment.program("cleanplate"), "work")
        self._started(Service("the worker", command, environment=settings, log=self._logs / "worker.log"))

    def _connect_projects(
        self, memory: Memory, backend: Service, settings: Mapping[str, str], *, projects: Sequence[int]
    ) -> None:
        backend_url = f"http://127.0.0.1:{memory.backend_port}"
        with self._console.step("Starting the backend"):
            wait_until_ready(f"{backend_url}/health", backend)
        for project in projects:
            with self._console.step(f"Connecting project {project}"):
                self._connect(project, backend_url, settings)

    def _connect(self, project: int, backend_url: str, settings: Mapping[str, str]) -> None:
        program = self._environment.program("cleanplate")
        command = (str(program), "connect", "--project", str(project), "--backend-url", backend_url)
        log = self._logs / f"connect-{project}.log"
        with log.open("w", encoding="utf-8") as output:
            connected = subprocess.run(
                command,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=CONNECT_TIMEOUT_S,
                check=False,
            )
        if connected.returncode != 0:
            raise ScriptError(f"project {project} could not be connected", log=log)

    def _started(self, service: Service) -> Service:
        self._services.append(service)
        return service

    def _port(self, option: str, asked: int | None, remembered: int | None, usual: int) -> int:
        port = choose_port(option=option, asked=asked, remembered=remembered, usual=usual)
        if asked is None and remembered is None and port != usual:
            self._console.line(f"Port {usual} is taken by another program, so this uses {port} ({option} chooses).")
        return port

    def _welcome(self, server: LabelStudioServer, memory: Memory) -> None:
        page = f"{server.url}/projects/{memory.project}/data"
        console = self._console
        console.line()
        console.line(console.bold("cleanplate is ready."))
        self._row("Open", console.bold(page))
        self._row("Log in", f"{memory.email}  with the password  {console.bold(memory.password)}")
        console.line()
        console.line("  1. Open an image; below it, switch on Auto-Annotation.")
        console.line("  2. In the toolbar choose the purple tool (or press M), then a label, and click the object.")
        console.line("     Alt-click takes away what does not belong to it. Every click wants its label again.")
        console.line("  3. Accept the mask with the check mark below the image, and press Submit.")
        console.line("  A few seconds later the clean copy is a new task in the list.")
        console.line()
        self._row("Status", f"http://127.0.0.1:{memory.backend_port}/status")
        self._row("Logs", shown_path(self._logs))
        self._row("Stop", "Ctrl-C")
        if self._options.browser and console.is_terminal and _has_desktop():
            webbrowser.open(page)

    def _row(self, name: str, text: str) -> None:
        self._console.line(f"  {self._console.dim(f'{name:<8}')}{text}")


def main(arguments: Sequence[str] | None = None) -> int:
    """`scripts/run`: 0 after Ctrl-C, 1 if something failed."""
    options = _parser().parse_args(arguments)
    console = Console()
    # Ctrl-C's signal too: a start in the background of a shell script would ignore it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        Product(console, options).run()
    except ScriptError as error:
        console.fail(error)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Start the whole product: Label Studio with a project to try, the backend and a worker. With "
        f"{URL} and {API_KEY} set, the backend and a worker for that Label Studio.",
    )
    data_dir = Path(os.environ.get(DATA_DIR, CHECKOUT / ".cleanplate"))
    parser.add_argument("--port", type=int, metavar="N", help=f"Label Studio's port ({LABEL_STUDIO_PORT})")
    parser.add_argument("--backend-port", type=int, metavar="N", help=f"the backend's port ({BACKEND_PORT})")
    parser.add_argument("--data-dir", type=Path, default=data_dir, metavar="DIR", help="where everything is kept")
    parser.add_argument(
        "--project", type=int, action="append", default=[], metavar="ID", help=f"with {URL}: connect this project"
    )
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="do not open a browser")
    parser.add_argument("--no-samples", dest="samples", action="store_false", help="leave the project empty")
    return parser


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _has_desktop() -> bool:
    """Whether a browser would be a window; without one, `webbrowser` may start a text browser in this terminal."""
    return sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
