"""What a clean copy was promised to be and what was found, level by level, in a sentence and figures.

L1 erasure, L2 coverage, L3 fidelity, L4 container, L5 names, L6 task.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.errors import CertificateError


class Verdict(StrEnum):
    """How one level of the contract came out. Only `fail` means that the copy must not be used.

    `reduced` and `re-encoded` are passes with a mark: what was to go is not erased but reduced to at most so many bits,
    as the project asked; what was to stay differs by what encoding costs.
    """

    PASS = "pass"  # noqa: S105  the verdict, not a password
    REDUCED = "reduced"
    RE_ENCODED = "re-encoded"
    FAIL = "fail"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True)
class Clause:
    """One level of the contract and what was found.

    Attributes:
        level: `L1` … `L6`.
        sentence: the finding in words.
        figures: what was measured.
    """

    level: str
    verdict: Verdict
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "level": self.level,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "figures": dict(self.figures),
        }


@dataclass(frozen=True)
class Verification:
    """What was found about one copy."""

    clauses: tuple[Clause, ...]

    @property
    def passed(self) -> bool:
        """Whether no level failed."""
        return not _failed(self.clauses)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"passed": self.passed, "clauses": [clause.to_json() for clause in self.clauses]}


@dataclass(frozen=True)
class Certificate:
    """The proof that goes with a copy that passed. It names the source and the mask by digest only.

    Attributes:
        source: SHA-256 of the original file.
        mask: `mask_digest` of the effective mask.
        copy: SHA-256 of the copy's file.
        engine: name and version of the inpainter.
        cleanplate: version of this program.
        made_at: when.
        parameters: what else decided the result: plain JSON values.
        clauses: the findings, L1 first. One that failed raises CertificateError.
        second_look: why a person should look at the copy, in sentences. The contract is kept all the same.
    """

    source: str
    mask: str
    copy: str
    engine: str
    cleanplate: str
    made_at: datetime
    parameters: Mapping[str, Any]
    clauses: tuple[Clause, ...]
    second_look: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        failed = _failed(self.clauses)
        if failed:
            raise CertificateError("; ".join(f"{clause.level}: {clause.sentence}" for clause in failed))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    @property
    def re_encoded(self) -> bool:
        """Whether pixels outside the mask differ by what encoding them again costs."""
        return any(clause.verdict is Verdict.RE_ENCODED for clause in self.clauses)

    @property
    def digest(self) -> str:
        """SHA-256 of the certificate as JSON."""
        return sha256(json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def with_clauses(self, *clauses: Clause) -> "Certificate":
        """This certificate and what else was found.

        Raises:
            CertificateError: One of the findings is a failure.
        """
        return replace(self, clauses=(*self.clauses, *clauses))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "source": self.source,
            "mask": self.mask,
            "copy": self.copy,
            "engine": self.engine,
            "cleanplate": self.cleanplate,
            "made_at": self.made_at.isoformat(),
            "parameters": dict(self.parameters),
            "clauses": [clause.to_json() for clause in self.clauses],
            "second_look": list(self.second_look),
        }


def mask_digest(mask: Mask) -> str:
    """SHA-256 of a mask's size and its bits, eight pixels to a byte."""
    height, width = mask.shape
    return sha256(f"{width}×{height}\n".encode() + np.packbits(mask).tobytes()).hexdigest()


def _failed(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
    return tuple(clause for clause in clauses if clause.verdict is Verdict.FAIL)
