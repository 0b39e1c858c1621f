"""`clean` and `verify`: the clean copy without Label Studio."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from cleanplate.cli.output import JsonOption, err, errors_as_sentences, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cleanplate.codecs.images import ImageLimits
    from cleanplate.pipeline.certificate import Clause

_MARKS: Final = {
    "pass": "[green]✓ pass[/green]",
    "re-encoded": "[yellow]≈ re-encoded[/yellow]",
    "fail": "[red]✗ fail[/red]",
    "not-checked": "[dim]– not checked[/dim]",
}

_MEANINGS: Final = {
    "L1": "erasure",
    "L2": "coverage",
    "L3": "fidelity",
    "L4": "container",
    "L5": "names",
    "L6": "task",
}

Image = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A JPEG, PNG or WebP image.")]
MaskFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A PNG of its size; non-zero is removed.")]


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `clean` and `verify`."""
    app.command()(clean)
    app.command()(verify)


def clean(
    image: Image,
    mask: MaskFile,
    out_file: Annotated[Path, typer.Argument(metavar="OUT", help="Where the copy goes; its format is the image's.")],
    *,
    inpainter: Annotated[str, typer.Option(help="What fills the hole.")] = "opencv",
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what the mask covers from an image, and check the copy before it is written."""
    from cleanplate.codecs.images import mask_from_png  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.engines.registry import load_inpainter  # noqa: PLC0415
    from cleanplate.pipeline.clean import Original, clean_image  # noqa: PLC0415

    if out_file.exists() and not force:
        err.print(f"{out_file} exists; --force overwrites it.", soft_wrap=True)
        raise typer.Exit(2)
    with errors_as_sentences(as_json=as_json):
        limits = _limits()
        original = Original.from_bytes(image.read_bytes(), limits)
        with err.status("Filling …"):
            copy = clean_image(
                original, mask_from_png(mask.read_bytes(), limits), load_inpainter(inpainter), limits=limits
            )
        _require_suffix(out_file, copy.extension)
        _write(out_file, copy.content)
    if as_json:
        print_json(copy.certificate.to_json())
        return
    _print_clauses(copy.certificate.clauses)
    out.print(f"[green]✓[/green] {out_file}", soft_wrap=True)


def verify(
    original: Image,
    copy: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The clean copy.")],
    mask: MaskFile,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check a copy against the clean-copy contract, from the files alone; the exit code is 1 if it breaks it."""
    from cleanplate.codecs.images import mask_from_png  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.pipeline.verification import Names  # noqa: PLC0415
    from cleanplate.pipeline.verification import verify as verify_files  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        limits = _limits()
        verification = verify_files(
            original.read_bytes(),
            copy.read_bytes(),
            mask_from_png(mask.read_bytes(), limits),
            limits=limits,
            names=Names(original=original.name, copy=copy.name),
        )
    if as_json:
        print_json(verification.to_json())
    else:
        _print_clauses(verification.clauses)
        if verification.passed:
            out.print("[green]The copy keeps the contract.[/green]")
        else:
            out.print("[red]The copy breaks the contract.[/red]")
    if not verification.passed:
        raise typer.Exit(1)


def _limits() -> "ImageLimits":
    from cleanplate.codecs.images import ImageLimits  # noqa: PLC0415
    from cleanplate.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    return ImageLimits(max_pixels=settings.max_image_pixels, max_bytes=settings.max_image_bytes)


def _require_suffix(path: Path, extension: str) -> None:
    from cleanplate.errors import UnsupportedImageError  # noqa: PLC0415

    same = {".jpg", ".jpeg"} if extension in {".jpg", ".jpeg"} else {extension}
    if path.suffix.lower() not in same:
        raise UnsupportedImageError(f"the copy has the image's own format: name it {path.stem}{extension}")


def _write(path: Path, content: bytes) -> None:
    from cleanplate.errors import StorageUnavailableError  # noqa: PLC0415

    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise StorageUnavailableError(f"{path} cannot be written: {error.strerror}") from error


def _print_clauses(clauses: "Sequence[Clause]") -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for clause in clauses:
        level = f"[bold]{clause.level}[/bold] {_MEANINGS.get(clause.level, '')}"
        table.add_row(level, _MARKS[clause.verdict], clause.sentence)
    out.print(table)
