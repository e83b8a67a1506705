"""Vault's own OpenID provider: a client for Gatehouse, people with passwords in groups, and a browser that signs them in."""

from __future__ import annotations

import secrets
import threading
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.services.vault_server import VaultServer


class OpenIdProvider:
    """One provider with one public client and its own people, named apart from others on the same server."""

    def __init__(self, vault: VaultServer, algorithm: str = "RS256") -> None:
        self._url, self._root = vault.url, {"X-Vault-Token": vault.root_token}
        self.name = f"p{secrets.token_hex(4)}"
        self._tokens: dict[str, str] = {}
        self.subjects: dict[str, str] = {}
        self._write("sys/auth/userpass", {"type": "userpass"}, fine=(204, 400))
        self._write(f"identity/oidc/key/{self.name}", {"allowed_client_ids": "*", "algorithm": algorithm})
        client = {
            "redirect_uris": ["http://127.0.0.1/callback"],
            "assignments": ["allow_all"],
            "key": self.name,
            "client_type": "public",
            "id_token_ttl": "10m",
        }
        self._write(f"identity/oidc/client/{self.name}", client)
        self.client = self._read(f"identity/oidc/client/{self.name}")["client_id"]
        self._write("identity/oidc/scope/groups", {"template": '{"groups": {{identity.entity.groups.names}}}'})
        self._write(f"identity/oidc/provider/{self.name}", {"issuer": self._url, "allowed_client_ids": ["*"], "scopes_supported": ["groups"]})
        self.issuer = f"{self._url}/v1/identity/oidc/provider/{self.name}"

    def person(self, name: str, *groups: str) -> str:
        """Makes somebody with a password, in groups, and gives the subject."""
        user, password = f"{self.name}-{name}", secrets.token_hex(16)
        self._write(f"auth/userpass/users/{user}", {"password": password, "token_policies": "default"})
        signed_in = httpx.post(f"{self._url}/v1/auth/userpass/login/{user}", json={"password": password}).json()["auth"]
        self._tokens[name], self.subjects[name] = signed_in["client_token"], signed_in["entity_id"]
        for group in groups:
            self._write("identity/group", {"name": group, "member_entity_ids": [signed_in["entity_id"]]}, fine=(200, 204))
        return str(signed_in["entity_id"])

    def browser(self, name: str, url: str) -> None:
        """Opens an address as this person does who is signed in, and follows the way back."""
        api = url.replace("/ui/vault/identity/", "/v1/identity/")
        given = httpx.get(api, headers={"X-Vault-Token": self._tokens[name]}).json()
        back = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        httpx.get(back, params=given if "code" in given else {"error": "access_denied", "state": parse_qs(urlsplit(url).query)["state"][0]})

    def open_later(self, name: str, url: str) -> None:
        """The same, from another thread, as a browser does."""
        threading.Thread(target=self.browser, args=(name, url), daemon=True).start()

    def _write(self, path: str, body: object, fine: tuple[int, ...] = (200, 204)) -> None:
        answer = httpx.post(f"{self._url}/v1/{path}", json=body, headers=self._root)
        assert answer.status_code in fine, answer.text

    def _read(self, path: str) -> dict[str, str]:
        found: dict[str, str] = httpx.get(f"{self._url}/v1/{path}", headers=self._root).json()["data"]
        return found
