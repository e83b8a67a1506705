"""The words that the whole system shares: endings, labels, methods, roles, tiers, actions."""

from __future__ import annotations

from typing import Literal

Label = Literal["primary", "cached", "fallback", "substitute", "simulator"]
"""What gave a result, the best first: the manifest's first backend; the same when an earlier run asked it the same; another simulator for a
simulator; another device; a simulator for a device. A run's is the worst of its rounds."""


Duty = Literal["submission", "retrieval", "archival"]
"""What a service may be named for: what leaves, what is read, what is written back."""

Ending = Literal["completed", "denied", "rejected", "expired", "cancelled", "abandoned"]

Role = Literal["requester", "approver", "auditor", "data-owner"]
"""What a person may be; a service may be a requester only."""

TierName = Literal["prototype", "integration", "business"]
"""How strict a pipeline's rules are, weakest first."""

WorkerKind = Literal["process", "gatehouse"]
"""What starts the processes of a run, weakest first: Prefect's own worker, which does what its API says, or the one that takes no orders."""

Method = Literal["totp", "ssh", "ssh-certificate", "oidc", "ssh-fido"]
"""How an approver proves who they are, weakest first; a certificate and an ID token are worth the same."""

ProofKind = Literal["code", "signature", "token"]
"""What an approver gives as proof: what a method is told by."""

CellName = Literal["none", "landlock", "bubblewrap"]
"""What keeps a workload apart from everything else, weakest first."""

LogDepth = Literal["debug", "info", "warning", "error"]
"""The least severe records that reach Prefect's log and the worker's output from a run's own processes, the most first."""

TicketProof = Literal["none", "file", "system"]
"""Who says that a ticket is in order, weakest first: the manifest that names it, the installation's own file, a ticket system."""

QuarantineScope = Literal["tenant", "principal", "pipeline", "backend"]
"""What somebody may stop in an emergency."""

KeptKind = Literal["pages", "circuits", "results", "artifacts"]
"""What of a run is kept with an end of its own: its gates' pages, circuits to run again, results to reuse, artifacts of one that can go on."""

RunAction = Literal["request", "plan", "submit", "read_secret", "read_source", "write_back", "re_identify"]
"""What a run does."""

ActAction = Literal[
    "promote",
    "review",
    "classify",
    "grant_exception",
    "quarantine",
    "release",
    "set_budget",
    "approve_provider",
    "change_policy",
    "rotate_key",
    "extend_retention",
    "approve",
    "read_result",
]
"""What somebody signs, or asks to be shown."""

Action = Literal[RunAction, ActAction]
"""What the policy is asked about."""

RefusedAction = Literal[ActAction, "change_people", "accept_policy"]
"""What somebody may be refused at the command line: the last two by the signed bundle, which the policy is not asked about."""
