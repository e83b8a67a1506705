"""Which method judges an answer: the one that the answer says, or whose form it has; a signature's and a token's can't be mistaken."""

from __future__ import annotations

from collections.abc import Mapping

from prefect_gatehouse.identity.methods.interface import SignIn
from prefect_gatehouse.identity.methods.oidc import IdToken
from prefect_gatehouse.identity.methods.ssh import SSHSignature
from prefect_gatehouse.identity.methods.totp import OneTimeCode
from prefect_gatehouse.vocabulary import ProofKind

METHODS: Mapping[ProofKind, SignIn] = {"code": OneTimeCode(), "signature": SSHSignature(), "token": IdToken()}
