"""The virtual environments in the checkout: made once, renewed when what they must hold changes."""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from console import Console, ScriptError, Step
from processes import start_kept, stop_all

CHECKOUT: Final = Path(__file__).resolve().parent.parent
PYPROJECT: Final = CHECKOUT / "pyproject.toml"
LABEL_STUDIO_VERSION: Final = "1.23.2"
GB: Final = 1024**3
# In the folder while pip works: an environment that still has it was interrupted and is made afresh.
UNFINISHED: Final = ".cleanplate-unfinished"
# What pip says when it has everything; before that, it has changed nothing.
UNPACKING: Final = "Installing collected packages"
PIP_ACTIVITY: Final = re.compile(r"\s*(Collecting|Downloading|Building wheel for) (?:\S*/)?([\w.-]+?)(?=-\d|[^\w.-])")
PIP_OPTIONS: Final = ("--no-input", "--disable-pip-version-check")


@dataclass(frozen=True)
class Contents:
    """Something an environment must hold.

    Attributes:
        title: what is said while it is installed.
        arguments: what `pip install` is told.
        fingerprint: changes when it must be installed again.
        needed_gb: how much room on the disk it takes while it is installed.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    fingerprint: str
    needed_gb: int = 1

    @property
    def stamp(self) -> str:
        """The name of the file that says which fingerprint is installed."""
        return f".cleanplate-has-{self.name}"


@dataclass(frozen=True)
class Environment:
    """A virtual environment in the checkout."""

    folder: Path
    contents: tuple[Contents, ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.program("python")

    def program(self, name: str) -> Path:
        """A program installed in it."""
        return self.folder / "bin" / name

    @property
    def missing(self) -> tuple[Contents, ...]:
        """What has to be installed; everything, if an installation was interrupted."""
        if (self.folder / UNFINISHED).exists() or not self.python.exists():
            return self.contents
        return tuple(item for item in self.contents if self._installed(item) != item.fingerprint)

    def ensure(self, console: Console) -> None:
        """Install what is missing, showing progress.

        Raises:
            ScriptError: Something could not be installed.
        """
        missing = self.missing
        if not missing:
            return
        _check_machine(self.folder, needed_gb=sum(item.needed_gb for item in missing))
        with self._marked_unfinished(console):
            for item in missing:
                with console.step(item.title) as step:
                    self._install(item, step)
                (self.folder / item.stamp).write_text(item.fingerprint, encoding="utf-8")

    @contextmanager
    def _marked_unfinished(self, console: Console) -> Iterator[None]:
        marker = self.folder / UNFINISHED
        if marker.exists():
            console.line(f"The last installation into {self.folder.name} was interrupted; it is made afresh.")
            shutil.rmtree(self.folder)
        if not self.python.exists():
            _make(self.folder)
        marker.touch()
        yield
        marker.unlink()

    def _installed(self, item: Contents) -> str:
        stamp = self.folder / item.stamp
        return stamp.read_text(encoding="utf-8") if stamp.is_file() else ""

    def _install(self, item: Contents, step: Step) -> None:
        log = self.folder / f"install-{item.name}.log"
        # A virtual environment is what was asked for, whatever the person's own pip settings say.
        settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
        command = (str(self.python), "-m", "pip", "install", *PIP_OPTIONS, *item.arguments)
        with log.open("w", encoding="utf-8") as sink:
            pip = start_kept(command, cwd=CHECKOUT, environment=settings, output=subprocess.PIPE)
            try:
                for line in pip.stdout or ():
                    sink.write(line)
                    step.detail = _progress(line) or step.detail
                pip.wait()
            finally:
                stop_all([pip])
        if pip.returncode != 0:
            said = log.read_text(encoding="utf-8")
            if UNPACKING not in said:
                (self.folder / UNFINISHED).unlink()
            raise ScriptError(f"{item.title} failed: pip ended with {pip.returncode}", remedy=_remedy(said), log=log)


def product() -> Environment:
    """The environment of cleanplate itself: the checkout, so that a change of its code needs no installation."""
    return Environment(folder=CHECKOUT / ".venv", contents=(_cleanplate(),))


def development() -> Environment:
    """The product's environment, with what its tests and checks need."""
    return Environment(folder=CHECKOUT / ".venv", contents=(_cleanplate(), _extras(), _tools()))


def label_studio() -> Environment:
    """Label Studio's own environment; its many pinned libraries never meet cleanplate's."""
    requirement = f"label-studio=={LABEL_STUDIO_VERSION}"
    contents = Contents(
        name="label-studio",
        title=f"Installing Label Studio {LABEL_STUDIO_VERSION}",
        arguments=(requirement,),
        fingerprint=_fingerprint(requirement),
        needed_gb=2,
    )
    return Environment(folder=CHECKOUT / ".venv-label-studio", contents=(contents,))


def peer(name: str, requirement: str) -> Environment:
    """An environment for a library that a benchmark compares with, and for nothing else."""
    contents = Contents(
        name=name,
        title=f"Installing {requirement}",
        arguments=(requirement,),
        fingerprint=_fingerprint(requirement),
        needed_gb=8,
    )
    return Environment(folder=CHECKOUT / f".venv-{name}", contents=(contents,))


def example_peer() -> Environment:
    """What HumanSignal's example `segment_anything_model` imports; its own code is read from a checkout.

    Its requirements as far as they can be had: with the torch that cleanplate is measured with, since its own is older
    than its numpy allows, and with releases in the place of branches.
    """
    requirements = (
        *(f"{name}=={version(name)}" for name in ("torch", "torchvision", "segment-anything")),
        "numpy>=2,<2.3",
        "opencv-python-headless>=4.12,<5",
        "gunicorn==22.0.0",
        "Flask>2.3",
        "colorama~=0.4",
        "requests~=2.31",
        "semver~=3.0.2",
        "label-studio-sdk==2.1.2",
    )
    libraries = Contents(
        name="example",
        title="Installing what the example segment_anything_model needs",
        arguments=requirements,
        fingerprint=_fingerprint("\n".join(requirements)),
        needed_gb=8,
    )
    # Of this only the brush strokes are used, and what it asks for does not fit the rest.
    converter = ("--no-deps", "label-studio-converter==0.0.59")
    strokes = Contents(
        name="converter",
        title="Installing label-studio-converter",
        arguments=converter,
        fingerprint=_fingerprint("\n".join(converter)),
    )
    return Environment(folder=CHECKOUT / ".venv-label-studio-ml", contents=(libraries, strokes))


def _cleanplate() -> Contents:
    project = _pyproject()
    return Contents(
        name="cleanplate",
        title="Installing cleanplate",
        arguments=("--editable", f"{CHECKOUT}[jpeg]"),
        fingerprint=_fingerprint(repr((CHECKOUT, project["build-system"], project["project"]))),
    )


def _extras() -> Contents:
    """What the engines with weights need, and what shares what they prepared."""
    extras = _pyproject()["project"]["optional-dependencies"]
    names = ("lama", "openvino", "redis", "sam", "sam2")
    requirements = sorted({requirement for name in names for requirement in extras[name]})
    return Contents(
        name="extras",
        title="Installing the libraries of the engines with weights",
        arguments=tuple(requirements),
        fingerprint=_fingerprint("\n".join(requirements)),
        needed_gb=8,
    )


def _tools() -> Contents:
    requirements: Sequence[str] = _pyproject()["dependency-groups"]["dev"]
    return Contents(
        name="tools",
        title="Installing the test tools",
        arguments=tuple(requirements),
        fingerprint=_fingerprint("\n".join(requirements)),
    )


def _pyproject() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))


def _fingerprint(text: str) -> str:
    version = ".".join(map(str, sys.version_info[:2]))
    return hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()


def _check_machine(folder: Path, *, needed_gb: int) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sysconfig.get_python_version()}-venv"
        raise ScriptError(
            f"{sys.executable} cannot make virtual environments: its module ensurepip is not installed",
            remedy=f"On Debian and Ubuntu: sudo apt install {package}",
        )
    free = shutil.disk_usage(folder.parent).free
    if free < needed_gb * GB:
        raise ScriptError(
            f"only {free / GB:.1f} GB are free where the checkout is; the installations need {needed_gb} GB",
            remedy="Make room and start again.",
        )


def _make(folder: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        reason = (made.stderr or made.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise ScriptError(f"{sys.executable} -m venv {folder} failed: {reason[0]}")


def _progress(line: str) -> str | None:
    """What a line of pip's tells about how far it is."""
    if match := PIP_ACTIVITY.match(line):
        verb, name = match.groups()
        return f"{verb.lower()} {name}"
    return "unpacking" if line.startswith(UNPACKING) else None


REMEDIES: Final[Mapping[str, str]] = {
    r"No space left on device": "The disk is full. Make room and start again.",
    r"Temporary failure in name resolution|ConnectionError|Network is unreachable|timed out|from versions: none": (
        "The package index cannot be reached. Check the network (and pip's proxy or index settings: "
        "`pip config list`), then start again: what was downloaded is kept."
    ),
    r"requires a different Python|Requires-Python|No matching distribution": (
        "There are no packages for this Python. Start again with another one, as in: python3.12 scripts/run"
    ),
    r"CERTIFICATE_VERIFY_FAILED": "The package index's certificate is not trusted: set PIP_CERT to your CA bundle.",
    r"Permission denied": "A file cannot be written. Does the checkout belong to you?",
}


def _remedy(log: str) -> str:
    for pattern, remedy in REMEDIES.items():
        if re.search(pattern, log):
            return remedy
    return "Mend what pip says and start again."
