"""What is set for a backend, read from a real Prefect server by type and name."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_aws import AwsCredentials
from pydantic import SecretStr
from tests.services import free_port

from prefect_gatehouse.blocks import BraketDevice, VaultSecret
from prefect_gatehouse.blocks.devices import read_settings
from prefect_gatehouse.blocks.reader import read_text
from prefect_gatehouse.errors import InputError, Unavailable
from prefect_gatehouse.providers.braket.place import Place, read_place

pytestmark = pytest.mark.usefixtures("stack")

GOOD: dict[str, Any] = {"device_arn": "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet", "region": "eu-north-1", "bucket": "results"}
SECRET = "canary-secret-7123"


@pytest.fixture
def name() -> str:
    """A block's name that no other test has."""
    return f"garnet-{uuid4().hex[:8]}"


def test_a_device(name: str) -> None:
    """What was entered, and what was not, is what the provider reads; an edit is there at the next reading."""
    BraketDevice(**GOOD, tags={"team": "physics"}).save(name)
    assert read_place(name, read_settings(f"braket-device/{name}")) == Place(**GOOD, tags={"team": "physics"})
    BraketDevice(**{**GOOD, "bucket": "other"}).save(name, overwrite=True)
    assert read_settings(f"braket-device/{name}")["bucket"] == "other"


@pytest.mark.parametrize(
    ("field", "value"), [("bucket", 7), ("region", "Europe"), ("executables", "many"), ("device_arn", None), ("new-field", 1), ("endpoint", SECRET)]
)
def test_a_field_of_wrong_form(name: str, field: str, value: object) -> None:
    """The API takes what the form would refuse: the provider names the field, and never what stood in it."""
    device = BraketDevice(**GOOD)
    device.save(name)
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(name, "braket-device")
        from prefect.client.schemas.actions import BlockDocumentUpdate

        client.update_block_document(document.id, BlockDocumentUpdate(data={**document.data, field: value}, merge_existing_data=False))
    with pytest.raises(InputError, match=f"the setting {re.escape(field)} is wrong") as wrong:
        read_place(name, read_settings(f"braket-device/{name}"))
    assert SECRET not in f"{wrong.value} {wrong.value!r}" and "block" in (wrong.value.advice or "")


def test_missing_or_of_another_type(name: str) -> None:
    """A block of this name but of another type is none; what to do is said."""
    Secret(value=SECRET).save(name)
    with pytest.raises(Unavailable, match="no such block") as missing:
        read_settings(f"braket-device/{name}")
    assert not missing.value.retry and f"make the block {name} of type braket-device" in str(missing.value)


def test_no_secret_is_given(name: str) -> None:
    """Should a plug-in's block hold one all the same, Prefect is not asked for it."""
    VaultSecret(url="http://127.0.0.1:1", path="p", token=SecretStr(SECRET)).save(name)  # type: ignore[call-arg]
    assert SECRET not in str(read_settings(f"vault-secret/{name}"))


def test_no_server_and_one_that_is_down(name: str) -> None:
    """Without an address nobody is asked, and none is started; a server that is away may be asked again."""
    with (
        temporary_settings(set_defaults={PREFECT_API_URL: None}, restore_defaults={PREFECT_API_URL}),
        pytest.raises(Unavailable, match="no Prefect server"),
    ):
        read_settings(f"braket-device/{name}")
    down = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: down}), pytest.raises(Unavailable, match="can't be loaded") as away:
        read_settings(f"braket-device/{name}")
    assert away.value.retry


def test_reading_imports_no_collection(name: str) -> None:
    """Neither another collection of Prefect nor a store's client is imported for it."""
    BraketDevice(**GOOD).save(name)
    code = (
        "import sys\nfrom prefect_gatehouse.blocks.devices import read_settings\n"
        f"read_settings('braket-device/{name}')\nprint({{'prefect_aws', 'prefect_dask', 'boto3', 'braket', 'hvac'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr


def test_aws_credentials_as_the_secret(name: str) -> None:
    """A key as it was entered."""
    AwsCredentials(aws_access_key_id="AKIACANARY", aws_secret_access_key=SecretStr(SECRET)).save(name)
    assert read_text(f"aws-credentials/{name}").reveal() == f'{{"AccessKeyId": "AKIACANARY", "SecretAccessKey": "{SECRET}"}}'
    assert read_text(f"aws-credentials/{name}#AccessKeyId").reveal() == "AKIACANARY"
