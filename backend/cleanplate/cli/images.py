"""`clean` and `verify`: the clean copy without Label Studio."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from cleanplate.cli.files import content_of, naming, require_free, write
from cleanplate.cli.output import JsonOption, err, errors_as_sentences, new_table, out, print_json, print_table
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cleanplate.codecs.images import ImageLimits
    from cleanplate.pipeline.certificate import Clause
    from cleanplate.settings import Settings

_MARKS: Final = {
    "pass": "[green]✓ pass[/green]",
    "reduced": "[yellow]≈ reduced[/yellow]",
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

Image = Annotated[Path, typer.Argument(metavar="IMAGE", exists=True, dir_okay=False, help="A JPEG, PNG or WebP image.")]
MaskFile = Annotated[
    Path,
    typer.Argument(metavar="MASK", exists=True, dir_okay=False, help="A PNG of the same size; non-zero is removed."),
]


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `clean` and `verify`."""
    app.command()(clean)
    app.command()(verify)


def clean(
    image: Image,
    mask: MaskFile,
    out_file: Annotated[
        Path, typer.Argument(metavar="OUT", help="Where the copy goes. It has the format of the image.")
    ],
    *,
    inpainter: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What fills the hole.", show_default="CLEANPLATE_INPAINTER, or opencv"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite OUT if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what a mask covers from an image.

    The copy is checked before it is written; one that breaks the contract is not written at all.
    """
    from cleanplate.codecs.images import mask_from_png  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.engines.registry import load_inpainter  # noqa: PLC0415
    from cleanplate.pipeline.clean import Original, clean_image  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        settings = settings_of_command()
        limits = _limits(settings)
        require_free(out_file, sources=(image, mask), overwrite=force)
        content = content_of(image, max_bytes=limits.max_bytes)
        with naming(image):
            _require_suffix(out_file, content)
            original = Original.from_bytes(content, limits)
        with naming(mask):
            to_remove = mask_from_png(content_of(mask, max_bytes=limits.max_bytes), limits)
        engine = load_inpainter(inpainter or settings.inpainter)
        with err.status("Removing …"):
            copy = clean_image(original, to_remove, engine, limits=limits)
        write(out_file, copy.content)
    if as_json:
        print_json(copy.certificate.to_json())
        return
    _print_clauses(copy.certificate.clauses)
    out.print(f"[green]✓[/green] {escape(str(out_file))}", soft_wrap=True)


def verify(
    original: Annotated[
        Path, typer.Argument(metavar="ORIGINAL", exists=True, dir_okay=False, help="What the copy was made from.")
    ],
    copy: Annotated[Path, typer.Argument(metavar="COPY", exists=True, dir_okay=False, help="The clean copy.")],
    mask: MaskFile,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check a copy against the clean-copy contract.

    The three files are all it needs. The exit code is 1 if the copy breaks the contract.
    """
    from cleanplate.codecs.images import mask_from_png  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.pipeline.verification import Names  # noqa: PLC0415
    from cleanplate.pipeline.verification import verify as verify_files  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        limits = _limits(settings_of_command())
        original_content, copy_content, mask_content = (
            content_of(path, max_bytes=limits.max_bytes) for path in (original, copy, mask)
        )
        with naming(mask):
            removed = mask_from_png(mask_content, limits)
        with naming(original), err.status("Comparing …"):
            verification = verify_files(
                original_content,
                copy_content,
                removed,
                limits=limits,
                names=Names(original=original.name, copy=copy.name),
            )
    if as_json:
        print_json(verification.to_json())
    else:
        _print_clauses(verification.clauses)
        if verification.passed:
            out.print("[green]✓[/green] The copy keeps the contract.")
        else:
            out.print("[red]✗[/red] The copy breaks the contract.")
    if not verification.passed:
        raise typer.Exit(1)


def _limits(settings: "Settings") -> "ImageLimits":
    from cleanplate.codecs.images import ImageLimits  # noqa: PLC0415  (the command line starts fast)

    return ImageLimits(max_pixels=settings.max_image_pixels, max_bytes=settings.max_image_bytes)


def _require_suffix(path: Path, content: bytes) -> None:
    """The copy is kept as its image was: another format could not be compared with it sample by sample."""
    from cleanplate.codecs.container import Format, format_of  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.errors import UnsupportedImageError  # noqa: PLC0415

    found = format_of(content)
    suffixes = (".jpg", ".jpeg") if found is Format.JPEG else (f".{found.extension}",)
    if path.suffix.lower() not in suffixes:
        name = path.with_suffix(suffixes[0]).name
        raise UnsupportedImageError(f"its copy has the same format ({found}): name it {name}")


def _print_clauses(clauses: "Sequence[Clause]") -> None:
    table = new_table()
    for clause in clauses:
        level = f"[bold]{clause.level}[/bold] {_MEANINGS.get(clause.level, '')}"
        table.add_row(level, _MARKS[clause.verdict], escape(clause.sentence))
    print_table(table)
