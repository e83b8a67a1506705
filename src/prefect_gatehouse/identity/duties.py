"""As which service a credential is fetched: it follows from what the registry names services for, and from nothing that the judged project says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.vocabulary import Duty

DUTY_OF: Mapping[Purpose, Duty] = {
    Purpose.READ_SOURCE: "retrieval",
    Purpose.PREFLIGHT: "archival",
    Purpose.TOKENISE: "submission",
    Purpose.SUBMIT: "submission",
    Purpose.RETRIEVE: "retrieval",
    Purpose.RE_IDENTIFY: "archival",
    Purpose.WRITE_BACK: "archival",
}
"""What leaves is the submission's, tokens and jobs; what is read is the retrieval's, rows and results; what the target sees is the archival's."""


def service_for(everybody: Iterable[Person], duty: Duty, tenant: str, block: str) -> Person | None:
    """The service as which a block is fetched, None where the installation names none for this duty of this tenant.

    Raises:
        Denied: None of those that it names may fetch the block, or more than one may.
    """
    named = [each for each in everybody if each.service is not None and each.service.serves(duty, tenant)]
    if not named:
        return None
    found = [each for each in named if each.service is not None and each.service.may_fetch(block)]
    where = "registry of people"
    if not found:
        who = " or ".join(each.person for each in named)
        command = f"gatehouse people service add {named[0].person} --duty {duty} --tenant {tenant} --block {block}"
        advice = f"name a block that it may, or have the registry's keeper run: {command}"
        raise Denied(f"{who}, named for the {duty} of {tenant}, may not fetch {block}", where=where, advice=advice)
    if len(found) > 1:
        who = " and ".join(each.person for each in found)
        advice = "have the registry's keeper revoke one and name it again with fewer blocks: gatehouse people service list"
        raise Denied(f"{who} are both named to fetch {block} for the {duty} of {tenant}", where=where, advice=advice)
    return found[0]
