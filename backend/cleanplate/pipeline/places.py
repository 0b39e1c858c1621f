"""Where the files of copies go: back to where their originals came from, as far as that can be written to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote

import structlog

from cleanplate.errors import StorageError, StorageUnavailableError, UrlNotAllowedError
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.media import Media, SourceKind, local_name
from cleanplate.label_studio.payloads import LocalStorage
from cleanplate.storage.local import LocalStore

STORAGE_TITLE: Final = "cleanplate copies"

_SUFFIX: Final = "-cleanplate"
_NOTHING: Final = "(?!)"
"""A regular expression that no file name matches: a sync of the folder imports nothing."""

_OUR_NAMES: Final = re.compile(r"[a-z2-7]{32}\.(?:jpg|png|webp)")

_log = structlog.get_logger()


@dataclass(frozen=True)
class _Folder:
    """The folder for copies beside the one a project's local files come from.

    Attributes:
        relative: below the document root.
        path: what Label Studio's machine calls it.
        registered: whether Label Studio shows files from it already.
    """

    relative: PurePosixPath
    path: str
    registered: bool


class Places:
    """Puts files of copies where Label Studio can show them, and takes them away again.

    Uploads go back as uploads. Local files go into a folder beside the one they came from, which no storage imports,
    if this machine sees Label Studio's document root. All else becomes uploads.

    Args:
        client: Label Studio.
        media: fetches what was put, to see whether it arrived.
        local_root: Label Studio's local files document root on this machine.
    """

    def __init__(self, client: LabelStudioClient, media: Media, *, local_root: Path | None = None) -> None:
        self._client = client
        self._media = media
        self._local_root = local_root

    def put(self, content: bytes, *, name: str, project_id: int, source_url: str) -> str:
        """Put a file to where its original came from, unless it is there, and read it back.

        Args:
            content: the file.
            name: that no other content ever had.
            project_id: whose.
            source_url: the original's.

        Returns:
            Its address, for the data of a task.

        Raises:
            StorageError: The folder for copies would be imported by one of the project's storages.
            StorageUnavailableError: The file did not arrive as it is; it was taken away again.
        """
        folder = self._folder(project_id, source_url)
        if folder is None:
            address = self._media.put_upload(project_id, name=name, content=content)
        else:
            self._put_beside(folder, name, content, project_id=project_id)
            address = f"{source_url.partition('?')[0]}?d={quote(str(folder.relative / name))}"
        came_back = self._media.fetch(address, project_id=project_id, task_id=None)
        if sha256(came_back).digest() != sha256(content).digest():
            self.delete(address, project_id=project_id)
            raise StorageUnavailableError("the file of a copy came back from Label Studio with other bytes")
        return address

    def delete(self, address: str, *, project_id: int) -> bool:
        """Take away the file of a copy; whether there was one. Files that are not ours stay."""
        try:
            kind = self._media.kind_of(address)
            local = local_name(address) if kind is SourceKind.LOCAL else ""
        except UrlNotAllowedError:
            return False
        if local:
            return self._delete_beside(PurePosixPath(local))
        name = address.rpartition("/")[2].partition("-")[2]
        if kind is not SourceKind.UPLOAD or not _OUR_NAMES.fullmatch(name):
            return False
        return self._media.delete_upload(project_id, name=name)

    def delete_by_name(self, name: str, *, project_id: int, source_url: str) -> bool:
        """Take away the file of a copy of which nobody noted the address; whether there was one.

        Args:
            name: of the file. If it is none of ours, nothing is deleted.
            project_id: whose.
            source_url: what `way_back` gave for its original.
        """
        if not _OUR_NAMES.fullmatch(name):
            return False
        folders = PurePosixPath(local_name(source_url)).parents if source_url else ()
        # Which of the folders above the original was imported then, nobody knows now.
        places = [place for folder in folders if folder.name for place in (folder, _sibling(folder))]
        deleted = [self._delete_beside(place / name) for place in places]
        return self._media.delete_upload(project_id, name=name) or True in deleted

    def way_back(self, source_url: str) -> str:
        """As much of an original's address as it takes to find the file of its copy by name.

        An upload is found without it; other addresses may be signed, or hold the image itself.
        """
        try:
            return source_url if self._media.kind_of(source_url) is SourceKind.LOCAL else ""
        except UrlNotAllowedError:
            return ""

    def _delete_beside(self, file: PurePosixPath) -> bool:
        ours = _OUR_NAMES.fullmatch(file.name) and file.parent.name.endswith(_SUFFIX)
        if not ours or self._local_root is None or not (self._local_root / file.parent).is_dir():
            return False
        return LocalStore(self._local_root / file.parent).delete(file.name)

    def _put_beside(self, folder: _Folder, name: str, content: bytes, *, project_id: int) -> None:
        root = Path(self._local_root or "", folder.relative)
        try:
            root.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"the folder for copies cannot be made: {error.strerror}") from error
        LocalStore(root).put_if_absent(name, content)
        if not folder.registered:
            self._client.create_local_storage(project_id, path=folder.path, title=STORAGE_TITLE, regex_filter=_NOTHING)

    def _folder(self, project_id: int, source_url: str) -> _Folder | None:
        if self._local_root is None or self._media.kind_of(source_url) is not SourceKind.LOCAL:
            return None
        source = PurePosixPath(local_name(source_url))
        if not (self._local_root / source).is_file():
            _log.warning("copy is uploaded: CLEANPLATE_LOCAL_FILES_ROOT is not Label Studio's document root")
            return None
        storages = self._client.local_storages(project_id)
        depths = [(_depth(storage, source, root=self._local_root), storage) for storage in storages]
        holders = sorted((depth, storage.path) for depth, storage in depths if depth)
        if not holders:
            _log.warning("copy is uploaded: no local storage of the project holds its original")
            return None
        depth, path = holders[0]
        return _beside(PurePosixPath(*source.parts[:depth]), PurePosixPath(path), storages)


def _depth(storage: LocalStorage, source: PurePosixPath, *, root: Path) -> int:
    """How many folders lead from the document root to a storage that holds *source*; 0 if it does not.

    The root may have another name on Label Studio's machine than here; then the paths are compared from their ends.
    """
    path, folders = PurePosixPath(storage.path), source.parent.parts
    if path.is_relative_to(root):
        below = path.relative_to(root).parts
        return len(below) if folders[: len(below)] == below else 0
    matching = (depth for depth in range(len(folders), 0, -1) if path.parts[-depth:] == folders[:depth])
    return next(matching, 0)


def _sibling(folder: PurePosixPath) -> PurePosixPath:
    return folder.with_name(folder.name + _SUFFIX)


def _beside(synced: PurePosixPath, synced_path: PurePosixPath, storages: Sequence[LocalStorage]) -> _Folder:
    """The folder beside the one that a storage imports.

    Args:
        synced: below the document root.
        synced_path: the same on Label Studio's machine.
        storages: all of the project.
    """
    relative = _sibling(synced)
    path = synced_path.with_name(relative.name)
    registered = False
    for storage in storages:
        if PurePosixPath(storage.path) == path and storage.regex_filter == _NOTHING:
            registered = True
        elif _imports(storage, path):
            raise StorageError(
                f"local storage {storage.id} of the project imports the folder {relative.name!r}, where copies would "
                "go: they would come back as new tasks. Let it import another folder."
            )
    return _Folder(relative, str(path), registered)


def _imports(storage: LocalStorage, folder: PurePosixPath) -> bool:
    path = PurePosixPath(storage.path)
    return path == folder or (storage.recursive_scan and path in folder.parents)
