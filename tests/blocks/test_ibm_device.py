"""The block of a device of IBM's: an operator's form with the provider's own bounds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from prefect_gatehouse.blocks.ibm_device import IBMDevice
from prefect_gatehouse.providers.ibm.place import Place, read_place

GOOD = {
    "device": "ibm_torino",
    "instance": "crn:v1:bluemix:public:quantum-computing:eu-de:a/0123456789abcdef0123456789abcdef:00000000-0000-4000-8000-000000000000::",
}


def test_the_form_is_the_provider_s() -> None:
    """Every setting with its title, none more; what is filled in is what the provider reads."""
    assert set(IBMDevice.model_fields) == set(Place.model_fields)
    assert all(field.title for field in IBMDevice.model_fields.values())
    filled = IBMDevice(**GOOD, tags=["physics"], circuits=50)
    assert read_place("torino", filled.model_dump(mode="json", include=set(Place.model_fields))) == Place(**GOOD, tags=["physics"], circuits=50)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "torino"},
        {"instance": "x"},
        {"circuits": 0},
        {"grace_seconds": -1},
        {"job_minutes": 181},
        {"endpoint": "host"},
        {"tags": ["a"] * 6},
    ],
)
def test_the_form_refuses_what_the_provider_would(wrong: dict[str, object]) -> None:
    """In the UI, before a run meets it."""
    with pytest.raises(ValidationError):
        IBMDevice(**{**GOOD, **wrong})
