"""How a gate comes to a credential: whoever calls it hands it gate 6, which it passes right before the use."""

from __future__ import annotations

from collections.abc import Callable

from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.secrets.lease import CredentialLease

Fetch = Callable[[Attempt, AdmittedRun, Purpose], CredentialLease]
"""Asks the policy and reads the secret that the manifest names for a purpose.

A lease lives minutes, so nobody can fetch it beforehand: a gate is given the way to one, not the lease.
"""
