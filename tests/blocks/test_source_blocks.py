"""A bucket's block, read from a real Prefect server by its reference, in this process and as what is sent to another."""

from __future__ import annotations

import pickle
from uuid import uuid4

import pytest
from prefect.blocks.system import Secret
from prefect_aws.s3 import S3Bucket
from tests.services.moto_server import SECRET_KEY, MotoServer

from prefect_gatehouse.blocks.buckets import BucketSecret
from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.blocks.source_access import BlockSecret, SecretAccess
from prefect_gatehouse.data.sources import S3Place, open_source
from prefect_gatehouse.errors import Denied, InputError, Unavailable
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.secrets.lease import CredentialLease

pytestmark = pytest.mark.usefixtures("stack")


@pytest.fixture
def block(moto: MotoServer) -> str:
    """A bucket with one object, and the reference of its block."""
    name = f"bucket-{uuid4().hex[:8]}"
    client = moto.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_object(Bucket=name, Key="zone/p.csv", Body=b"a\n1\n")
    S3Bucket(bucket_name=name, bucket_folder="zone/", credentials=moto.credentials()).save(name)
    return f"s3-bucket/{name}"


def test_an_access_by_reference_goes_to_another_process(block: str) -> None:
    """What is sent holds the reference and no key; where it arrives it reads the block itself."""
    sent = pickle.dumps(SecretAccess(BlockSecret(block)))
    assert SECRET_KEY.encode() not in sent
    with open_source(S3Place("*.csv"), access=pickle.loads(sent)) as source:
        assert [batch.to_pydict() for batch in source.batches(["a"])] == [{"a": ["1"]}]


def test_a_lease_holds_the_bucket_until_it_ends(block: str) -> None:
    """For its purpose only, and not after it was revoked; it has no text to reveal and shows none."""
    secret = read_secret(block)
    assert isinstance(secret, BucketSecret)
    with CredentialLease(Purpose.READ_SOURCE, block, secret, environment="local", tenant="t") as lease:
        access = SecretAccess(lambda: lease.held(Purpose.READ_SOURCE))
        assert [item.key for item in access.bucket().objects("")] == ["p.csv"]
        with pytest.raises(Denied, match="holds no text"):
            lease.reveal(Purpose.READ_SOURCE)
        with pytest.raises(Denied, match="was asked for tokenise"):
            lease.held(Purpose.TOKENISE)
        assert SECRET_KEY not in f"{lease!r} {secret!r}"
    with pytest.raises(Denied, match="has ended"):
        access.bucket()


def test_what_is_no_bucket(block: str) -> None:
    """A field of a bucket, a secret where a bucket is wanted, and a block that is not there."""
    with pytest.raises(InputError, match="no field"):
        read_secret(f"{block}#key")
    name = f"text-{uuid4().hex[:8]}"
    Secret(value="canary").save(name)  # type: ignore[call-arg]
    with pytest.raises(Denied, match="holds no bucket") as refused:
        SecretAccess(BlockSecret(f"secret/{name}")).bucket()
    assert "canary" not in str(refused.value)
    with pytest.raises(Unavailable, match="no such block"):
        SecretAccess(BlockSecret("s3-bucket/nowhere")).bucket()
