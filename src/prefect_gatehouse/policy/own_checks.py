"""What stops an act beside the policy's rules, by identifier: what no policy lifts, and what is looked at before the policy can be asked.

An event that tells of a refused act names these where it would name a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

OWN_CHECKS: Mapping[str, str] = {
    "service-key": "people sign, and the key is a service's",
    "key-of-nobody": "the key is nobody's in the registry of people",
    "in-quarantine": "somebody has put the person who acts into quarantine, or might have",
    "policies-not-signed": "the policies are not those that were signed",
    "not-the-owner": "a workload is promoted by the owner whom its manifest names",
    "own-run": "whoever asked for a run does not promote what it shows",
    "evidence-missing": "the tier below does not show what the tier demands",
    "own-commit": "whoever has signed a commit does not review it",
    "own-quarantine": "whoever imposed a quarantine does not release it",
    "own-exception": "whoever owns or granted an exception does not vouch for it",
    "not-exceptable": "the policy lets nobody be excepted from this rule",
    "beyond-the-class": "the class of the data lets nothing stay that long",
    "no-signer": "the signed bundle gives whoever acts no role for this",
    "bundle-stands": "a bundle of policies stands, and only the first one is accepted",
    "roles-missing": "not every role that the bundle names has signed it",
}
"""Each with its sentence."""
