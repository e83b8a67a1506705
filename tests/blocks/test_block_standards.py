"""Every block is one that an operator can fill in: Prefect's own suite over all of them."""

from __future__ import annotations

import inspect

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import SecretStr

from prefect_gatehouse import blocks
from prefect_gatehouse.blocks import reader

BLOCKS: list[type[Block]] = [getattr(blocks, name) for name in blocks.__all__]


@pytest.mark.parametrize("block", BLOCKS, ids=blocks.__all__, scope="class")
class TestBlockStandards(BlockStandardTestSuite):
    """Description, documentation, a period after each field's description, and an example that loads the block."""

    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:
        return block

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """Instead of the suite's look at a picture on the internet: a block names none, so a closed site's UI asks nobody for one."""
        assert block._logo_url is None

    def test_all_fields_have_a_title(self, block: type[Block]) -> None:
        """The form's labels are words, not names of variables."""
        assert [name for name, field in block.model_fields.items() if not field.title] == []

    def test_secrets_are_secret(self, block: type[Block]) -> None:
        """A field that holds a secret is a SecretStr: Prefect encrypts it, and the form hides it."""
        for name in block.model_fields:
            if name in ("token", "secret_id", "password", "secret", "private_key"):
                assert "SecretStr" in str(block.model_fields[name].annotation)

    def test_the_reader_reads_it(self, block: type[Block]) -> None:
        """A manifest can refer to it."""
        assert block.get_block_type_slug() in reader._READERS


def test_no_block_is_left_out() -> None:
    """What the package defines and what it exports, and so registers with ``prefect block register``, are the same."""
    from prefect_gatehouse.blocks import vault

    defined = {name for module in (vault, reader) for name, item in inspect.getmembers(module, inspect.isclass) if issubclass(item, Block)}
    assert defined - {"Block"} == set(blocks.__all__)


def test_nothing_secret_is_shown() -> None:
    """Neither repr nor str of a filled block holds what was entered."""
    block = blocks.VaultSecret(url="http://127.0.0.1:1", path="p", role_id="role", secret_id=SecretStr("canary-secret-id"))
    assert "canary" not in f"{block!r} {block}"
