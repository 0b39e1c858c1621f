"""Whole folders of images: which become which copies, and the run that makes them."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

import structlog

from cleanplate.cli.files import content_of, naming, require_free, write
from cleanplate.codecs.container import Format, format_of
from cleanplate.codecs.images import png_from_mask
from cleanplate.errors import CleanplateError, StorageConflictError, StorageError
from cleanplate.pipeline.clean import Original
from cleanplate.pipeline.verification import Names, names_clause
from cleanplate.storage.ledger import Ledger, Output

if TYPE_CHECKING:
    from cleanplate.cli.removal import Removal
    from cleanplate.pipeline.certificate import Certificate
    from cleanplate.storage.names import Names as KeyedNames

_SUFFIXES: Final = frozenset(f".{extension}" for kind in Format for extension in kind.extensions)
_HEAD_BYTES: Final = 64

_log = structlog.get_logger()


class Outcome(StrEnum):
    """What became of one image."""

    MADE = "made"
    UNCHANGED = "unchanged"
    NOTHING_FOUND = "nothing found"
    NO_MASK = "no mask"
    FAILED = "failed"


@dataclass(frozen=True)
class Places:
    """The folders of one run.

    Attributes:
        images: where the originals are, also below it.
        masks: where each has its mask, as a PNG of the same stem; None: a detector finds what is to go.
        out: where the copies go.
        effective: where the masks go that were used; None: nowhere.
    """

    images: Path
    masks: Path | None
    out: Path
    effective: Path | None = None

    def require_apart(self) -> None:
        """Refuse folders in which copies could be taken for originals or overwrite them, or masks lie among copies.

        Raises:
            StorageError: A folder for results is, holds, or lies in another folder.
        """
        if self.masks is not None and self.masks.resolve() == self.images.resolve():
            raise StorageError(f"{self.masks} holds the images: masks lie in a folder of their own")
        named = [folder for folder in (self.out, self.effective, self.images, self.masks) if folder is not None]
        for result in [folder for folder in (self.out, self.effective) if folder is not None]:
            for other in named:
                if other is not result and _overlap(result.resolve(), other.resolve()):
                    raise StorageError(f"{result} and {other} lie in each other: results go into folders apart")


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


@dataclass(frozen=True)
class Item:
    """One image of a folder.

    Attributes:
        name: of the image, below the folder.
        image: the file.
        mask: its mask; None: it has none, or needs none.
        copy: what its copy is called, below the folder for copies, if it keeps its name.
        problem: why nothing can be done; None if something can.
    """

    name: PurePath
    image: Path
    mask: Path | None = None
    copy: PurePath = field(default_factory=PurePath)
    problem: CleanplateError | None = None


@dataclass(frozen=True)
class Result:
    """What became of one image.

    Attributes:
        name: of the image, below its folder.
        copy: the file that was written, or is there already.
        message: why nothing was.
        reason: the code of that.
        certificate: of a copy that was made.
    """

    name: PurePath
    outcome: Outcome
    copy: Path | None = None
    message: str = ""
    reason: str = ""
    certificate: "Certificate | None" = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is a copy, or nothing to remove."""
        return self.outcome not in {Outcome.FAILED, Outcome.NO_MASK}


def items_in(places: Places, *, keep_names: bool) -> list[Item]:
    """Every image below a folder, by name. Hidden files and what is called otherwise than an image is left alone.

    Args:
        places: the folders.
        keep_names: whether copies are called like their originals, so that two of them may want the same name.
    """
    items = [_item(places, path) for path in sorted(_files_below(places))]
    if not keep_names:
        return items
    wanted = Counter(str(item.copy).casefold() for item in items if item.problem is None)
    return [_refused_if(item, wanted[str(item.copy).casefold()] > 1) for item in items]


def _files_below(places: Places) -> Iterator[Path]:
    apart = None if places.masks is None else places.masks.resolve()
    for folder, folders, files in os.walk(places.images):
        here = Path(folder)
        # What a link points at may lie anywhere: the link itself is named, and nothing behind it is read.
        yield from (here / name for name in folders if (here / name).is_symlink())
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() != apart]
        yield from (
            here / name for name in files if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES
        )


def _item(places: Places, image: Path) -> Item:
    name = image.relative_to(places.images)
    mask = None if places.masks is None else (places.masks / name).with_suffix(".png")
    try:
        for path in (image, mask):
            if path is not None and path.is_symlink():
                raise StorageError(f"{path} is a symbolic link: what it points at may lie elsewhere")
        if not image.is_file():  # opening a pipe would wait for somebody to write
            raise StorageError(f"{image} is not a regular file")
        if not _is_text(name):
            raise StorageError("its name is not UTF-8: rename it")
        found = format_of(content_of(image, max_bytes=_HEAD_BYTES))
    except CleanplateError as error:
        return Item(name, image, problem=error)
    copy = name.with_name(f"{name.stem}.{found.extension}")
    return Item(name, image, mask if mask is not None and mask.is_file() else None, copy)


def _is_text(name: PurePath) -> bool:
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused_if(item: Item, shared: bool) -> Item:  # noqa: FBT001  (the one thing it looks at)
    if not shared or item.problem is not None:
        return item
    problem = StorageConflictError(f"several images would have the copy {item.copy}: rename them, or say --rename")
    return Item(item.name, item.image, item.mask, item.copy, problem)


class FolderRun:
    """Makes the copies of a folder, one image after the other. Each file is written whole or not at all.

    Args:
        places: the folders.
        removal: what is done to each image.
        ledger: notes what was written, so that a run that was broken off goes on where it was.
        names: give copies names that tell nothing; None: they are called like their originals.
        overwrite: whether files may be overwritten that are not as an earlier run left them.
    """

    def __init__(
        self,
        places: Places,
        removal: "Removal",
        ledger: Ledger,
        *,
        names: "KeyedNames | None" = None,
        overwrite: bool = False,
    ) -> None:
        self._places = places
        self._removal = removal
        self._ledger = ledger
        self._names = names
        self._overwrite = overwrite

    def result_of(self, item: Item) -> Result:
        """Do one image. Whatever is wrong with it does not stop the others."""
        if item.problem is not None:
            return Result(item.name, Outcome.FAILED, message=str(item.problem), reason=item.problem.reason)
        if item.mask is None and self._places.masks is not None:
            sentence = f"there is no mask {self._places.masks / item.name.with_suffix('.png')}"
            return Result(item.name, Outcome.NO_MASK, message=sentence, reason="no_mask")
        try:
            return self._copied(item)
        except CleanplateError as error:
            return Result(item.name, Outcome.FAILED, message=str(error), reason=error.reason)
        except Exception as error:  # noqa: BLE001  (the other images are not to blame)
            _log.error("image failed unexpectedly", exc_info=error)
            message = f"{type(error).__name__}: the log has more"
            return Result(item.name, Outcome.FAILED, message=message, reason="internal")

    def _copied(self, item: Item) -> Result:
        max_bytes = self._removal.limits.max_bytes
        content = content_of(item.image, max_bytes=max_bytes)
        mask_content = None if item.mask is None else content_of(item.mask, max_bytes=max_bytes)
        request = self._removal.request(content, mask_content)
        target = self._target(item, request)
        if self._is_there(target, request):
            return Result(item.name, Outcome.UNCHANGED, target)
        self._require_place(target, self._places.out)
        original = Original.from_bytes(content, self._removal.limits)
        with naming(item.mask or item.image):
            mask = self._removal.mask_of(original, mask_content)
        if mask_content is None and not mask.any():
            return Result(item.name, Outcome.NOTHING_FOUND)
        made = self._removal.copy_of(original, mask)
        names = Names(original=item.image.name, copy=target.name)
        certificate = made.certificate.with_clauses(names_clause(names, chosen=self._names is None))
        if self._places.effective is not None:
            self._write_mask(item, self._places.effective, png_from_mask(mask))
        # Noted before it is written: a run that is killed in between does it again, and finds nothing in its way.
        noted = Output(str(target.resolve()), request, certificate.copy, certificate.to_json())
        self._ledger.note_output(noted)
        _make_folder(target.parent)
        write(target, made.content)
        return Result(item.name, Outcome.MADE, target, certificate=certificate)

    def _target(self, item: Item, request: str) -> Path:
        if self._names is None:
            return self._places.out / item.copy
        # The same picture twice in a folder is two copies.
        return self._places.out / self._names.object_name(f"{item.name}\n{request}", item.copy.suffix)

    def _is_there(self, target: Path, request: str) -> bool:
        noted = self._ledger.output(str(target.resolve()))
        if noted is None or noted.request != request or target.is_symlink() or not target.is_file():
            return False
        return sha256(content_of(target, max_bytes=target.stat().st_size)).hexdigest() == noted.sha256

    def _require_place(self, target: Path, root: Path) -> None:
        if target.is_symlink() or not target.parent.resolve().is_relative_to(root.resolve()):
            raise StorageError(f"{target} is, or lies behind, a symbolic link out of {root}")
        if target.exists():
            require_free(target, sources=(), overwrite=self._overwrite)

    def _write_mask(self, item: Item, root: Path, content: bytes) -> None:
        path = root / item.name.with_suffix(".png")
        if path.is_file() and content_of(path, max_bytes=len(content)) == content:
            return
        self._require_place(path, root)
        _make_folder(path.parent)
        write(path, content)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {folder} cannot be made: {error.strerror}") from error
