import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from cleanplate.errors import CertificateError
from cleanplate.pipeline.certificate import Certificate, Clause, Verdict, mask_digest


def certificate(*clauses: Clause) -> Certificate:
    return Certificate(
        source="aa",
        mask="bb",
        copy="cc",
        engine="opencv",
        cleanplate="0.1.0",
        made_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        parameters={"grid": [16, 16]},
        clauses=clauses,
    )


PASSED = Clause("L1", Verdict.PASS, "overwritten", {"pixels": 3})


def test_a_certificate_is_plain_json() -> None:
    assert json.loads(json.dumps(certificate(PASSED).to_json())) == {
        "source": "aa",
        "mask": "bb",
        "copy": "cc",
        "engine": "opencv",
        "cleanplate": "0.1.0",
        "made_at": "2026-11-20T12:00:00+00:00",
        "parameters": {"grid": [16, 16]},
        "clauses": [{"level": "L1", "verdict": "pass", "sentence": "overwritten", "figures": {"pixels": 3}}],
        "second_look": [],
    }


def test_there_is_no_certificate_with_a_failed_level() -> None:
    with pytest.raises(CertificateError, match="L3: pixels differ; L4: EXIF"):
        certificate(PASSED, Clause("L3", Verdict.FAIL, "pixels differ"), Clause("L4", Verdict.FAIL, "EXIF"))


def test_nor_is_one_made_by_adding_a_failure() -> None:
    made = certificate(PASSED)

    with pytest.raises(CertificateError, match="L5"):
        made.with_clauses(Clause("L5", Verdict.FAIL, "the name tells"))


def test_findings_are_added_to_a_new_certificate() -> None:
    first = certificate(PASSED)
    second = first.with_clauses(Clause("L5", Verdict.PASS, "hashed"))

    assert [clause.level for clause in second.clauses] == ["L1", "L5"]
    assert [clause.level for clause in first.clauses] == ["L1"]
    assert first.digest != second.digest


def test_a_digest_covers_every_word() -> None:
    made = certificate(PASSED)

    assert made.digest == certificate(PASSED).digest
    assert made.digest != replace(made, copy="dd").digest


def test_the_mark_of_a_copy_that_was_encoded_again_shows() -> None:
    assert certificate(PASSED, Clause("L3", Verdict.RE_ENCODED, "again")).re_encoded
    assert not certificate(PASSED).re_encoded


def test_masks_of_the_same_bits_in_another_shape_have_another_digest() -> None:
    mask = np.array([[True, False, False, True]])

    assert mask_digest(mask) == mask_digest(mask.copy())
    assert mask_digest(mask) != mask_digest(mask.reshape(2, 2))
    assert mask_digest(mask) != mask_digest(~mask)
