"""A secret in HashiCorp Vault's or OpenBao's KV version 2 engine, read through hvac with a token or an AppRole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, model_validator

from prefect_gatehouse.errors import Denied, GatehouseError, Unavailable
from prefect_gatehouse.secrets.lease import SecretText

if TYPE_CHECKING:
    import hvac


Result = TypeVar("Result")


class VaultSecret(Block):
    """One field of one KV v2 secret. An AppRole signs in, reads, and signs out again: no token of Vault outlives the read.

    Example:
        Load a stored block and read its secret:
        ```python
        from prefect_gatehouse.blocks import VaultSecret

        block = VaultSecret.load("BLOCK_NAME")
        secret = block.read_secret()
        ```
    """

    _block_type_name = "Vault Secret"
    _block_type_slug = "vault-secret"
    _documentation_url = "https://developer.hashicorp.com/vault/docs/secrets/kv/kv-v2"  # type: ignore[assignment]
    _description = "A field of a secret in Vault's KV version 2 engine, read just before its use."

    url: str = Field(title="Address", description="Vault's address, such as https://vault.example.org:8200.", pattern=r"^https?://[^\s]+$")
    path: str = Field(title="Path", description="Path of the secret below the mount.", min_length=1, max_length=400)
    field: str = Field(default="value", title="Field", description="Field of the secret.", min_length=1, max_length=200)
    mount: str = Field(default="secret", title="Mount", description="Mount of the KV v2 engine.", min_length=1, max_length=200)
    namespace: str | None = Field(default=None, title="Namespace", description="Enterprise namespace.", max_length=200)
    token: SecretStr | None = Field(default=None, title="Token", description="Sign in with this token; or give an AppRole.")
    role_id: str | None = Field(default=None, title="Role id", description="Sign in as this AppRole.", max_length=200)
    secret_id: SecretStr | None = Field(default=None, title="Secret id", description="The AppRole's secret id.")
    approle_mount: str = Field(default="approle", title="AppRole mount", description="Mount of the AppRole sign-in.", max_length=200)
    ca_file: str | None = Field(default=None, title="CA file", description="File of the authority that signed Vault's certificate.", max_length=400)
    timeout: float = Field(default=10.0, gt=0, le=120, title="Timeout", description="Seconds that one call may take.")

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.token is None) == (self.role_id is None) or (self.role_id is None) != (self.secret_id is None):
            raise ValueError("give either a token, or a role id with its secret id")
        return self

    def read_secret(self, field: str | None = None) -> SecretText:
        """Reads the secret.

        Args:
            field: Another field than the block's.

        Raises:
            Denied: Vault refuses the sign-in or the read.
            Unavailable: Vault does not answer, is sealed, or has no such secret.
        """
        return self._signed_in(lambda client, where: self._read(client, field or self.field, where))

    def write_secret(self, text: str, field: str | None = None, *, instead_of: str) -> None:
        """Writes a new version of the secret in which one field is another text; all other fields stay.

        Args:
            text: The field's new text.
            field: Another field than the block's.
            instead_of: The version that was read; where the secret has got another meanwhile, nothing is written.

        Raises:
            Denied: Vault refuses the sign-in or the write.
            Unavailable: Vault does not answer, is sealed, or the secret has changed meanwhile.
        """
        self._signed_in(lambda client, where: self._write(client, text, field or self.field, where, instead_of))

    def _signed_in(self, act: Callable[[hvac.Client, str], Result]) -> Result:
        """Acts with a client that is signed in, and signs out again; every error becomes one of ours."""
        import hvac

        where = f"vault-secret {self.mount}/{self.path}"
        try:
            # An empty token: without one hvac sends whatever VAULT_TOKEN or ~/.vault-token holds.
            client = hvac.Client(url=self.url, token="", namespace=self.namespace, verify=self.ca_file or True, timeout=self.timeout)
            own_token = self.token is None
            if self.token is not None:
                client.token = self.token.get_secret_value()
            elif self.secret_id is not None:
                client.auth.approle.login(self.role_id, self.secret_id.get_secret_value(), mount_point=self.approle_mount)
            try:
                return act(client, where)
            finally:
                if own_token:
                    client.auth.token.revoke_self()
        except GatehouseError:
            raise
        except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized, hvac.exceptions.InvalidRequest):
            raise Denied(
                "Vault refuses the sign-in, the read or the write", where=where, advice="check the block's credentials and Vault's policy"
            ) from None
        except hvac.exceptions.InvalidPath:
            raise Unavailable("Vault has no such secret", where=where, advice="check mount and path") from None
        except Exception:  # noqa: BLE001 - hvac lets through whatever requests raises
            raise Unavailable("Vault does not answer or is sealed", where=where, advice="check Vault, then resume the run", retry=True) from None

    def _read(self, client: hvac.Client, field: str, where: str) -> SecretText:
        answer = client.secrets.kv.v2.read_secret_version(path=self.path, mount_point=self.mount, raise_on_deleted_version=True)
        value = answer["data"]["data"].get(field)
        if not isinstance(value, str) or not value:
            raise Unavailable("the secret has no such field with text in it", where=where, advice="check the block's field")
        return SecretText(value, version=str(answer["data"]["metadata"]["version"]))

    def _write(self, client: hvac.Client, text: str, field: str, where: str, instead_of: str) -> None:
        import hvac

        answer = client.secrets.kv.v2.read_secret_version(path=self.path, mount_point=self.mount, raise_on_deleted_version=True)
        fields = {**answer["data"]["data"], field: text}
        changed = Unavailable("the secret has changed meanwhile; nothing was written", where=where, advice="try again", retry=True)
        if str(answer["data"]["metadata"]["version"]) != instead_of:
            raise changed
        try:
            client.secrets.kv.v2.create_or_update_secret(path=self.path, mount_point=self.mount, secret=fields, cas=int(instead_of))
        except hvac.exceptions.InvalidRequest:  # check-and-set found another version
            raise changed from None
