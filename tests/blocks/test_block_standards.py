"""Every block is one that an operator can fill in: Prefect's own suite over all of them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from importlib.metadata import entry_points

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import SecretStr

from prefect_gatehouse import blocks
from prefect_gatehouse.blocks import reader
from prefect_gatehouse.providers.registry import GROUP, _load

SECRET_NAME = re.compile("secret|token|password|key|credential")
DEVICES = {block.type for name in entry_points(group=GROUP).names if (block := _load(name).block) is not None}
"""Types of the blocks that hold the settings of backends, as the installed providers name them."""

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

    def test_it_is_read(self, block: type[Block]) -> None:
        """A manifest can refer to it: as a secret, or as a device by its backend's name; never as both."""
        slug = block.get_block_type_slug()
        assert (slug in reader._READERS) is not (slug in DEVICES)

    def test_a_device_holds_no_secret(self, block: type[Block]) -> None:
        """What is set for a device stands in the plan and the ledger: its form has no field that Prefect would hide, nor one named like a secret."""
        if block.get_block_type_slug() in DEVICES:
            assert block.model_json_schema().get("secret_fields", []) == []
            assert not [name for name, field in block.model_fields.items() if "Secret" in str(field.annotation) or SECRET_NAME.search(name)]


def test_no_block_is_left_out() -> None:
    """What the package defines and what it exports, and so registers with ``prefect block register``, are the same."""
    modules = [importlib.import_module(item.name) for item in pkgutil.iter_modules(blocks.__path__, "prefect_gatehouse.blocks.")]
    found = [item for module in modules for _, item in inspect.getmembers(module, inspect.isclass) if issubclass(item, Block)]
    assert {item.__name__ for item in found if item.__module__.startswith("prefect_gatehouse.")} == set(blocks.__all__)


def test_nothing_secret_is_shown() -> None:
    """Neither repr nor str of a filled block holds what was entered."""
    block = blocks.VaultSecret(url="http://127.0.0.1:1", path="p", role_id="role", secret_id=SecretStr("canary-secret-id"))
    assert "canary" not in f"{block!r} {block}"
