"""How long clicks with SAM take and how much memory, beside HumanSignal's example and segment-anything itself.

All read the same weights, a ViT-B of the published format with seeded random numbers, and have two threads. Both
services are asked over HTTP on this machine, by turns, with what Label Studio sends, and fetch the same images from
the same small Label Studio. Times are an annotator's, from sending to the last byte, if not said otherwise. The example
needs a checkout of github.com/HumanSignal/label-studio-ml-backend.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

HERE: Final = Path(__file__).resolve().parent
CHECKOUT: Final = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(CHECKOUT / "tests")]

from click_annotators import (  # noqa: E402  (found through the line above)
    Annotator,
    Expected,
    Gallery,
    ImageTask,
    Shift,
    Size,
    race,
    work_together,
)
from click_masks import BLOB, NOISE  # noqa: E402
from click_services import (  # noqa: E402
    EXAMPLE,
    ClickService,
    Office,
    Variant,
    cleanplate,
    example,
)
from click_table import Cell, Row, Table  # noqa: E402
from console import Console, ScriptError  # noqa: E402
from environments import example_peer  # noqa: E402
from line_process import LineProcess  # noqa: E402

from fakes.label_studio import FakeLabelStudio  # noqa: E402
from fakes.sam_checkpoints import VIT_B, seeded_sam, state_dict  # noqa: E402

ROUNDS: Final = 3
WARM_CLICKS: Final = 10
NOISY_CLICKS: Final = 5
SIZES: Final = ((1024, 768), (1920, 1080), (4000, 3000))
USUAL: Final = (1920, 1080)
PEER: Final = "peer"
THINKING_S: Final = 10.0
ANNOTATORS: Final = 8
NEXT_TASKS: Final = 3
RACERS: Final = 3
RACE_PLACES: Final = ((38.0, 42.0), (61.0, 57.0))
PATIENCE_S: Final = 240.0
QUICK_PATIENCE_S: Final = 60.0
DEFAULT: Final = "cleanplate"
Times = tuple[float, float]
"""On the clock and on the processor, in seconds."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: how often single clicks are timed; medians are shown.
        racers: so many annotators click at the same time to see whether masks get mixed up.
        within_s: after that, annotators who work together begin no click any more.
    """

    rounds: int
    racers: int
    within_s: float


class Benchmark:
    """One run."""

    def __init__(
        self, office: Office, gallery: Gallery, variants: Sequence[Variant], peer: Path | None, plan: Plan
    ) -> None:
        self.table = Table(PEER, [variant.name for variant in variants])
        self._office = office
        self._gallery = gallery
        self._variants = variants
        self._peer = peer
        self._plan = plan
        self._shown: defaultdict[str, set[int]] = defaultdict(set)
        """The numbers of the images that each side's clicks were about."""

    def run(self) -> None:
        """Measure everything."""
        racing = self._encoders()
        with ExitStack() as stack:
            services = [cleanplate(variant, self._office) for variant in self._variants]
            with self._example(workers=1, threads=8) as alone:
                everyone = [*services, *alone]
                first = self._starts(everyone, stack)
                shown = self._single_clicks(everyone)
                self._opened(everyone)
                back = self._back(alone, first)
                self._memory("peak memory, one annotator", everyone)
                self._noisy_clicks(everyone, shown)
                self._race(everyone, racing)
            with self._example(workers=2, threads=1) as together:
                for service in together:
                    service.start(self._new_task())
                self._together([*services, *together])
            self._add(Row("back to an earlier image", "ms", back | self._back(services, first)))
            self._restarts(services, first)

    # The parts

    def _encoders(self) -> list[Expected]:
        """Prepare images without any service; what the reference answers for clicks on them."""
        _say("encoders alone")
        project = self._gallery.project()
        tasks = [self._new_task(project) for _ in range(self._plan.racers)]
        images = [self._office.folder / f"race-{task.number}.npy" for task in tasks]
        for task, path in zip(tasks, images, strict=True):
            np.save(path, self._gallery.pixels(task))
        width, height = USUAL
        places = [(x / 100 * width, y / 100 * height) for x, y in RACE_PLACES]
        figures: dict[str, list[dict[str, Any]]] = {}
        expected = []
        with ExitStack() as stack:
            sides = {PEER: {}, **{variant.name: variant.settings for variant in self._variants}}
            runners = {name: stack.enter_context(self._runner(name, settings)) for name, settings in sides.items()}
            before = runners[PEER].ask({"what": "work"})
            for number in range(max(self._plan.rounds, len(tasks))):
                image = images[number % len(images)]
                for name, runner in runners.items():
                    question = {"what": "image", "image": str(image)}
                    if name == PEER and number < len(tasks):
                        question |= {"what": "masks", "places": places, "into": str(image.with_suffix(".npz"))}
                    figures.setdefault(name, []).append(runner.ask(question))
            after = runners[PEER].ask({"what": "work"})
        for task, image in zip(tasks, images, strict=True):
            with np.load(image.with_suffix(".npz")) as masks:
                expected.append(Expected(task, [masks[name] for name in masks.files]))
        # What others do on the machine at the time must not make its peak look low.
        self._add_encoders(figures, {name: max(before[name], after[name]) for name in before})
        return expected

    def _add_encoders(self, figures: Mapping[str, Sequence[Mapping[str, Any]]], work: Mapping[str, float]) -> None:
        times = {
            name: _cell([(each["seconds"], each["cpu_seconds"]) for each in some]) for name, some in figures.items()
        }
        peak = max(work["fp32_gflops"], work["bf16_gflops"])
        speeds = {name: Cell(100 * work["gflop"] / cell.value / peak) for name, cell in times.items()}
        extra = {name: Cell(max(each["extra_bytes"] for each in some)) for name, some in figures.items()}
        self._add(Row("encoder alone (peer: SamPredictor.set_image)", "s", times))
        title = (
            f"its share of the machine's peak, in percent ({work['gflop']:.0f} GFLOP; convolutions reach "
            f"{work['fp32_gflops']:.0f} GFLOP/s in fp32, {work['bf16_gflops']:.0f} in bf16)"
        )
        self._add(Row(title, "", speeds, more_is_better=True))
        self._add(Row("its memory above the weights", "MB", extra))

    def _starts(self, services: Sequence[ClickService], stack: ExitStack) -> ImageTask:
        """Start everything, one after the other; the image that all were shown first."""
        first, cells = self._new_task(), {}
        for service in services:
            _say(f"starting {service.name}")
            cells[self._side(service)] = Cell(service.start(first).seconds)
            self._note(service, [first])
            if self._side(service) != PEER:
                stack.callback(service.stop)
        self._add(Row("start to the first answer, of an image never seen", "s", cells))
        return first

    def _single_clicks(self, services: Sequence[ClickService]) -> list[ImageTask]:
        """Click on images of all sizes; the last of each."""
        cold: dict[str, list[Times]] = {}
        shown = []
        for size in SIZES:
            warm: dict[str, list[Times]] = {}
            for number in range(self._plan.rounds):
                _say(f"single clicks at {_text(size)}, {number + 1} of {self._plan.rounds}")
                task = self._new_task(size=size)
                self._click_in_turn(services, task, cold, clicks=1)
                self._click_in_turn(services, task, warm, clicks=WARM_CLICKS)
            shown.append(task)
            self._add_times(f"warm click, {_text(size)}", "ms", warm)
        self._add_times("cold click (all sizes)", "s", cold)
        return shown

    def _noisy_clicks(self, services: Sequence[ClickService], shown: Sequence[ImageTask]) -> None:
        """Click on images that are known already, and get what random weights draw."""
        for task in shown:
            _say(f"clicks with masks of noise at {_text(task.size)}")
            noisy: dict[str, list[Times]] = {}
            # The peer has forgotten the image.
            self._click_in_turn(services, task, {}, clicks=1)
            with self._drawing(NOISE):
                self._click_in_turn(services, task, noisy, clicks=NOISY_CLICKS)
            self._add_times(f"warm click with a mask of noise, {_text(task.size)}", "ms", noisy)

    def _opened(self, services: Sequence[ClickService]) -> None:
        cells, opening = {}, {}
        for service in services:
            _say(f"opening a task: {service.name}")
            project = self._gallery.project()
            task = self._new_task(project)
            for _ in range(NEXT_TASKS):
                self._new_task(project)
            annotator = Annotator(service.url)
            opening[self._side(service)] = Cell(annotator.open(task).seconds)
            time.sleep(THINKING_S)
            answer = annotator.click(task)
            service.require(answer)
            self._note(service, [task])
            cells[self._side(service)] = Cell(answer.seconds)
            service.settle()
        self._add(Row("opening a task", "ms", opening, has_ratio=False))
        self._add(Row(f"first click {THINKING_S:g} s after opening the task", "ms", cells))

    def _race(self, services: Sequence[ClickService], racing: Sequence[Expected]) -> None:
        failed, foreign = {}, {}
        with self._drawing(NOISE):
            for service in services:
                _say(f"clicks at the same time: {service.name}")
                outcome = race(service.url, racing, RACE_PLACES)
                self._note(service, [one.task for one in racing])
                failed[self._side(service)] = Cell(outcome.failed, note=f"of {outcome.clicks}")
                foreign[self._side(service)] = Cell(outcome.foreign, note=f"of {outcome.clicks}")
        title = f"{len(racing)} annotators, {len(RACE_PLACES)} clicks each on an image of their own"
        self._add(Row(f"{title}: clicks without a mask", "", failed, has_ratio=False))
        self._add(Row(f"{title}: with another image's mask", "", foreign, has_ratio=False))

    def _together(self, services: Sequence[ClickService]) -> None:
        for service in services:
            service.restart_peak()
        for clicks in (2, 10):
            shifts: dict[str, Shift] = {}
            for service in services:
                _say(f"{ANNOTATORS} annotators, {clicks} clicks an image: {service.name}")
                tasks = [self._new_task() for _ in range(ANNOTATORS)]
                shifts[self._side(service)] = work_together(
                    service.url, tasks, clicks=clicks, within_s=self._plan.within_s
                )
                self._note(service, tasks)
            self._add_shifts(f"{ANNOTATORS} annotators, {clicks} clicks an image", shifts)
        self._memory(f"peak memory, {ANNOTATORS} annotators", services)

    def _add_shifts(self, title: str, shifts: Mapping[str, Shift]) -> None:
        rates = {name: Cell(shift.clicks_per_s, note=_extent(shift)) for name, shift in shifts.items()}
        self._add(Row(title, "clicks/s", rates, more_is_better=True))
        tails = {name: Cell(shift.p95_s) for name, shift in shifts.items() if shift.answered_s}
        self._add(Row(f"{title}: 95th percentile", "s", tails))
        failed = {
            name: Cell(shift.failed, note=f"and {shift.late} later than Label Studio waits")
            for name, shift in shifts.items()
        }
        self._add(Row(f"{title}: clicks without a mask", "", failed, has_ratio=False))

    def _back(self, services: Sequence[ClickService], first: ImageTask) -> dict[str, Cell]:
        """Click on the very first image again."""
        cells = {}
        for service in services:
            answer = Annotator(service.url).click(first)
            service.require(answer)
            cells[self._side(service)] = Cell(
                answer.seconds, note=f"after {len(self._shown[self._side(service)]) - 1} others"
            )
        return cells

    def _restarts(self, services: Sequence[ClickService], first: ImageTask) -> None:
        cells = {}
        for service in services:
            _say(f"starting {service.name} again")
            service.stop()
            cells[self._side(service)] = Cell(service.start(first).seconds)
        self._add(Row("start to the first answer, of an image seen before", "s", cells))

    def _memory(self, title: str, services: Sequence[ClickService]) -> None:
        self._add(Row(title, "MB", {self._side(service): Cell(service.peak_bytes) for service in services}))

    # What they share

    def _add(self, row: Row) -> None:
        self.table.rows.append(row)
        _say(self.table.line(row))

    def _note(self, service: ClickService, tasks: Sequence[ImageTask]) -> None:
        self._shown[self._side(service)].update(task.number for task in tasks)

    def _new_task(self, project: int | None = None, *, size: Size = USUAL) -> ImageTask:
        """A task with an image that nobody has seen; in a project of its own if none is given, so that none follows."""
        return self._gallery.task(size, self._gallery.project() if project is None else project)

    def _click_in_turn(
        self, services: Sequence[ClickService], task: ImageTask, times: dict[str, list[Times]], *, clicks: int
    ) -> None:
        """Add to *times* what clicks on the same image take, one service after the other."""
        annotators = [Annotator(service.url) for service in services]
        for service in services:
            self._note(service, [task])
        for _ in range(clicks):
            for service, annotator in zip(services, annotators, strict=True):
                before_s = service.cpu_s
                answer = annotator.click(task)
                service.require(answer)
                times.setdefault(self._side(service), []).append((answer.seconds, service.cpu_s - before_s))

    def _add_times(self, title: str, unit: str, times: Mapping[str, Sequence[Times]]) -> None:
        self._add(Row(title, unit, {name: _cell(each) for name, each in times.items()}))

    @contextmanager
    def _drawing(self, masks: str) -> Iterator[None]:
        self._office.draw(masks)
        try:
            yield
        finally:
            self._office.draw(BLOB)

    @contextmanager
    def _example(self, *, workers: int, threads: int) -> Iterator[list[ClickService]]:
        """The peer, not started yet; nothing without its checkout."""
        if self._peer is None:
            yield []
            return
        service = example(self._peer, example_peer(), self._office, workers=workers, threads=threads)
        try:
            yield [service]
        finally:
            service.stop()

    @contextmanager
    def _runner(self, side: str, settings: Mapping[str, str]) -> Iterator[LineProcess]:
        """A process that prepares images: segment-anything's, or cleanplate's with some settings."""
        way = "segment-anything" if side == PEER else "cleanplate"
        command = [sys.executable, HERE / "click_runner.py", way, self._office.checkpoint]
        runner = LineProcess(side, command, {**os.environ, **self._office.own_environment, **settings})
        try:
            yield runner
        finally:
            runner.stop()

    def _side(self, service: ClickService) -> str:
        """The column that a service's figures stand in."""
        return service.name if service.name in self.table.variants else PEER


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench click", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="each single click once, and a minute for many annotators")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is timed; medians are shown")
    parser.add_argument("--peer", type=Path, metavar="FOLDER", help="a checkout of label-studio-ml-backend")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="a ViT-B checkpoint; otherwise one is made")
    parser.add_argument(
        "--variant",
        type=Variant.from_text,
        action="append",
        metavar="NAME:SETTING=VALUE,…",
        help="cleanplate with these settings, such as fp32:CLEANPLATE_PRECISION=fp32; may be given several times",
    )
    parser.add_argument(
        "--racers",
        type=int,
        default=RACERS,
        help=f"so many click at the same time to see whether masks get mixed up ({RACERS}); each costs the peer 1 GB",
    )
    options = parser.parse_args(arguments)
    if options.peer is not None and not (options.peer / EXAMPLE / "model.py").is_file():
        parser.error(f"{options.peer} holds no {EXAMPLE}: is it a checkout of label-studio-ml-backend?")
    rounds, within_s = (1, QUICK_PATIENCE_S) if options.quick else (options.rounds, PATIENCE_S)
    plan = Plan(rounds, options.racers, within_s)
    if options.peer is not None:
        example_peer().ensure(Console())
    with tempfile.TemporaryDirectory() as name, FakeLabelStudio() as label_studio:
        folder = Path(name)
        checkpoint = options.checkpoint or state_dict(folder / "sam_vit_b.pth", seeded_sam(**VIT_B))
        office = Office(folder, checkpoint.resolve(), (label_studio.url, label_studio.token))
        office.draw(BLOB)
        variants = options.variant or [Variant(DEFAULT, {})]
        peer = None if options.peer is None else options.peer.resolve()
        benchmark = Benchmark(office, Gallery(label_studio), variants, peer, plan)
        try:
            benchmark.run()
        except ScriptError as error:
            Console().fail(error)
            return 1
    print(json.dumps(benchmark.table.values(), indent=2) if options.json else "\n".join(benchmark.table.lines()))
    if options.peer is None:
        _say("The example's figures are left out: --peer FOLDER names a checkout of label-studio-ml-backend.")
    return 0


def _cell(times: Sequence[Times]) -> Cell:
    """The medians of times on the clock and on the processor."""
    clock, processor = zip(*times, strict=True)
    return Cell(statistics.median(clock), statistics.median(processor))


def _extent(shift: Shift) -> str:
    """How much of what was wanted a figure was measured on."""
    return "" if shift.is_whole else f"from {len(shift.answered_s)} of {shift.wanted} clicks, {shift.wall_s:.0f} s"


def _text(size: Size) -> str:
    width, height = size
    return f"{width}×{height}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
