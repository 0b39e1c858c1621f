"""The published weights: where they are here, how they get here, and whether they are what they should be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from cleanplate.app.checks import Check, Outcome
from cleanplate.app.choices import weights_folder, weights_for
from cleanplate.downloads.download import Progress, RemoteFile, download
from cleanplate.engines.published import CATALOGUE
from cleanplate.engines.segmenters.sam2_parts.finding import find_folder
from cleanplate.engines.weights import Published, digest_of, tensors_in
from cleanplate.engines.weights_parts.hub_folder import hub_folder_at
from cleanplate.errors import (
    CleanplateError,
    EngineMissingError,
    StorageConflictError,
    StorageUnavailableError,
    WeightsError,
    WeightsUnknownError,
)
from cleanplate.settings import Settings

_DIGEST_CHARACTERS: Final = 12


def published_as(name: str) -> Published:
    """The published weights of this name, or whose name alone begins so, or the only ones of this engine.

    Raises:
        WeightsUnknownError: There are none, or several.
    """
    exact = [published for published in CATALOGUE if published.name == name]
    found = exact or [known for known in CATALOGUE if known.name.startswith(name) or known.engine == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(published.name for published in found or CATALOGUE)
    which = "several published weights are" if found else "no published weights are"
    raise WeightsUnknownError(f"{which} called {name!r}: name one of {names}")


def place_of(published: Published, settings: Settings) -> Path | None:
    """Where these weights are on this machine; None if they are not.

    A checkpoint that is set is these weights if it has one of their names, or their size.
    """
    weights = weights_for(published.engine, settings)
    checkpoint = weights.checkpoint
    is_it = checkpoint is not None and (
        checkpoint.name in published.names or _size_of(checkpoint) == published.size_bytes
    )
    try:
        return published.find(weights if is_it else replace(weights, checkpoint=None))
    except EngineMissingError:
        return None


def destination_of(published: Published, settings: Settings) -> Path:
    """Where these weights are fetched to."""
    return weights_folder(settings) / published.name


def fetch(published: Published, settings: Settings, *, overwrite: bool) -> Iterator[Progress]:
    """Fetch weights to where the engines look for them; nothing is yielded if they are there already.

    Args:
        published: which.
        settings: say where to.
        overwrite: replace a file that has their name and is something else.

    Raises:
        StorageConflictError: There is such a file.
        StorageUnavailableError: The folder cannot be made or written to, or has no room.
        DownloadError: They cannot be had.
    """
    path = destination_of(published, settings)
    if path.exists():
        try:
            _require_published(published, path)
        except WeightsError as error:
            if not overwrite:
                raise StorageConflictError(f"{error}; --force fetches it anew") from error
        else:
            return
    try:
        if settings.weights_dir is None:
            settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailableError(
            f"{path.parent} cannot be made ({error.strerror}): set CLEANPLATE_WEIGHTS_DIR to a folder this user may "
            f"write to"
        ) from error
    yield from download(RemoteFile(published.address, published.size_bytes, published.sha256), path)


def examine(settings: Settings, only: Published | None = None) -> Iterator[Check]:
    """Read every file of weights that is here, one after the other: the published, then what else is set.

    Args:
        settings: say where they are.
        only: these weights alone; then it is a failure if they are not here.
    """
    seen = set()
    for published in CATALOGUE if only is None else (only,):
        path = place_of(published, settings)
        if path is not None:
            seen.add(path)
            yield _check(published, path, settings)
        elif only is not None:
            remedy = f"Fetch it: cleanplate weights fetch {published.name}"
            yield Check(published.name, Outcome.FAILED, "is not on this machine", remedy)
    if only is None:
        yield from _other_checks(settings, seen)
        yield from _folder_checks(settings)


def _check(published: Published, path: Path, settings: Settings) -> Check:
    try:
        if path.name != published.name and _size_of(path) != published.size_bytes:
            told = f"in another form than {published.name}, so its SHA-256 is not known"
        else:
            _require_published(published, path)
            told = "SHA-256 as published" if published.sha256 else "the published size; its SHA-256 is not published"
        return Check(published.name, Outcome.OK, f"{path}: {told}; tensors that can be read: {_count(path)}")
    except CleanplateError as error:
        remedy = f"Fetch it: cleanplate weights fetch {published.name} --force"
        if path != destination_of(published, settings):
            remedy += f", and unset {published.setting}"
        return Check(published.name, Outcome.FAILED, str(error), remedy)


def _other_checks(settings: Settings, seen: set[Path]) -> Iterator[Check]:
    """Checkpoints that are set and are not the published ones."""
    for engine, published in {published.engine: published for published in CATALOGUE}.items():
        weights = weights_for(engine, settings)
        if weights.checkpoint is None:
            continue
        name = f"weights of {engine}"
        try:
            path = published.find(weights)
            if path not in seen:
                yield Check(name, Outcome.OK, f"{path}: not a published file; tensors that can be read: {_count(path)}")
        except CleanplateError as error:
            yield Check(name, Outcome.FAILED, str(error), f"Name another file in {published.setting}, or unset it.")


def _folder_checks(settings: Settings) -> Iterator[Check]:
    """The folder that sam2 reads, if it is here or should be."""
    name, weights = "weights of sam2", weights_for("sam2", settings)
    remedy = "Name another folder in CLEANPLATE_SAM2_CHECKPOINT, or fetch it again."
    try:
        path = find_folder(weights, best_first=False)
    except EngineMissingError as error:
        if weights.checkpoint is not None:
            yield Check(name, Outcome.FAILED, str(error), remedy)
        return
    except WeightsError as error:
        yield Check(name, Outcome.FAILED, str(error), remedy)
        return
    try:
        folder = hub_folder_at(path)
        count = sum(map(_count, folder.weights))
    except CleanplateError as error:
        yield Check(name, Outcome.FAILED, str(error), remedy)
    else:
        told = f"{path}: {folder.config.get('model_type')}; not compared with what is published"
        yield Check(name, Outcome.OK, f"{told}; tensors that can be read: {count}")


def _require_published(published: Published, path: Path) -> None:
    """Raise WeightsError unless it is, byte for byte, what was published; as far as that is known."""
    size_bytes = _size_of(path)
    if size_bytes != published.size_bytes:
        has = (
            "cannot be read" if size_bytes is None else f"has {size_bytes:,} bytes instead of {published.size_bytes:,}"
        )
        raise WeightsError(f"{path} {has}")
    digest = digest_of(path) if published.sha256 else ""
    if digest != published.sha256:
        raise WeightsError(
            f"{path} has the SHA-256 {digest[:_DIGEST_CHARACTERS]}… instead of "
            f"{published.sha256[:_DIGEST_CHARACTERS]}…: it is damaged, or another file"
        )


def _count(path: Path) -> int:
    with tensors_in(path) as tensors:
        return len(tensors)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
