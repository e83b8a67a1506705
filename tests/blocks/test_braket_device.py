"""The block of a Braket device: an operator's form with the provider's own bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from prefect_gatehouse.blocks.braket_device import BraketDevice
from prefect_gatehouse.providers.braket.place import Place, read_place

GOOD = {"device_arn": "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet", "region": "eu-north-1", "bucket": "results"}


def test_the_form_is_the_provider_s() -> None:
    """Every setting with its title, none more; what is filled in is what the provider reads."""
    assert set(BraketDevice.model_fields) == set(Place.model_fields)
    assert all(field.title for field in BraketDevice.model_fields.values())
    filled = BraketDevice(**GOOD, tags={"team": "physics"}, executables=50)
    assert read_place("garnet-eu", filled.model_dump(mode="json", include=set(Place.model_fields))) == Place(
        **GOOD, tags={"team": "physics"}, executables=50
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_arn": "Garnet"},
        {"region": "Europe"},
        {"bucket": "x"},
        {"grace_seconds": -1},
        {"prefix": "../x"},
        {"endpoint": "http://user:word@host"},
        {"endpoint": "host"},
    ],
)
def test_the_form_refuses_what_the_provider_would(wrong: dict[str, object], tmp_path: Path) -> None:
    """In the UI, before a run meets it."""
    with pytest.raises(ValidationError):
        BraketDevice(**{**GOOD, **wrong})
