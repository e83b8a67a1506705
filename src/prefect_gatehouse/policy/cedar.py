"""Policies in Cedar, with schema: permit only on Allow with no error, every denial explained by the forbid that caused it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.canonical import Json, digest, sha256_bytes
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.interface import Question
from prefect_gatehouse.settings import Settings

if TYPE_CHECKING:
    import cedarpy

_NAMESPACE = "Gatehouse"
DEFAULT_DENY = "no-permit"


class CedarPolicy:
    """Policies of a folder, parsed and checked against their schema."""

    def __init__(
        self,
        policies: str,
        schema: str,
        files_digest: str,
        reasons: dict[str, str],
        ids: dict[str, str],
        advice: dict[str, str] | None = None,
        exceptable: frozenset[str] = frozenset(),
    ) -> None:
        self._policies = policies
        self._schema = schema
        self._handles: tuple[cedarpy.PolicySet, cedarpy.Schema] | None = None
        self._digest = files_digest
        self._reasons = reasons
        self._ids = ids
        self._advice = advice or {}
        self._exceptable = exceptable

    @property
    def digest(self) -> str:
        """SHA-256 over every policy file's name and bytes."""
        return self._digest

    def explain(self, reason: str) -> str:
        """A policy's sentence for people, by its identifier."""
        return self._reasons.get(reason, "nothing permits this" if reason == DEFAULT_DENY else "the policy could not be evaluated")

    def advise(self, reason: str) -> str:
        """What to do about a policy's no, as its file says, with names in braces."""
        return self._advice.get(reason, "")

    def has_rule(self, reason: str) -> bool:
        """Whether it has a rule of this identifier."""
        return reason in self._reasons

    def may_be_excepted(self, reason: str) -> bool:
        """Whether a rule's annotation says so: @except("granted")."""
        return reason in self._exceptable

    def ask(self, question: Question) -> Decision:
        """Decides; an error in the policy is a no."""
        return self._decide(question, None, self._ids)

    def permits_without(self, question: Question, rules: Collection[str]) -> bool:
        """Whether the answer were yes if these rules, which may be excepted, were not there: that nothing else says no permits nothing yet."""
        import cedarpy

        gone = self._exceptable & set(rules)
        parsed = json.loads(cedarpy.policies_to_json_str(self._policies))
        kept = {name: each for name, each in parsed["staticPolicies"].items() if self._ids[name] not in gone}
        return self._decide(question, cedarpy.policies_from_json_str(json.dumps({**parsed, "staticPolicies": kept})), {}).allowed

    def parsed(self) -> tuple[cedarpy.PolicySet, cedarpy.Schema]:
        """Policies and schema as the engine has them, which reads their text for longer than it decides."""
        import cedarpy

        if self._handles is None:
            self._handles = cedarpy.PolicySet.from_str(self._policies), cedarpy.Schema.from_str(self._schema)
        return self._handles

    def _decide(self, question: Question, policies: str | None, ids: dict[str, str]) -> Decision:
        import cedarpy

        principal = {"type": f"{_NAMESPACE}::{'Person' if question.roles is None else 'Signer'}", "id": question.person}
        resource = {"type": f"{_NAMESPACE}::{'Pipeline' if question.pipeline else 'Installation'}", "id": question.pipeline or question.environment}
        who: dict[str, Json] = {"authentic": question.authentic, "clearance": question.clearance.rank}
        if question.roles is not None:
            who["roles"] = sorted(question.roles)
        entities = [
            {"uid": principal, "attrs": who, "parents": []},
            {
                "uid": resource,
                "attrs": {"tenant": question.tenant, "environment": question.environment, "tier": question.tier},
                "parents": [],
            },
        ]
        request = {
            "principal": _uid(principal),
            "action": f'{_NAMESPACE}::Action::"{question.action}"',
            "resource": _uid(resource),
            "context": {name: list(fact) if isinstance(fact, tuple) else fact for name, fact in question.context.items()},
        }
        try:
            # With the schema the request itself is validated; without it a forbid that errors would be skipped.
            all_of_them, schema = self.parsed()
            answer = cedarpy.is_authorized(request, all_of_them if policies is None else policies, entities, schema=schema)
            errors = list(answer.diagnostics.errors)
            allowed = bool(answer.allowed) and not errors and answer.decision == cedarpy.Decision.Allow
            reasons = tuple(sorted(ids.get(item, item) for item in answer.diagnostics.reasons))
        except Exception:  # noqa: BLE001 - whatever the engine does, the answer to an error is no
            return Decision(action=question.action, allowed=False, reasons=("policy-error",), policy_digest=self._digest)
        if errors:
            reasons = ("policy-error",)
        return Decision(action=question.action, allowed=allowed and bool(reasons), reasons=reasons or (DEFAULT_DENY,), policy_digest=self._digest)


_ENDINGS = (".cedarschema", ".cedar")


def policies_digest(folder: Path) -> str:
    """The digest that the policies of a folder would have, which are not looked at.

    Raises:
        InputError: A file can't be read.
    """
    return _digest(_texts(folder))


def _texts(folder: Path) -> dict[str, str]:
    try:
        return {path.name: _text(path) for ending in _ENDINGS for path in sorted(folder.glob(f"*{ending}"))}
    except OSError:
        raise InputError("the policies can't be read", where=str(folder), advice="set GATEHOUSE_POLICIES") from None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise InputError("the policies can't be read", where=str(path), advice="restore the file, or set GATEHOUSE_POLICIES") from None


def _digest(texts: dict[str, str]) -> str:
    return digest({name: sha256_bytes(text.encode()) for name, text in texts.items()})


def load_policy(folder: Path) -> CedarPolicy:
    """Loads ``*.cedarschema`` and ``*.cedar`` of a folder.

    Raises:
        InputError: A file is missing, malformed, or does not fit the schema.
    """
    return _parsed(folder, tuple(_texts(folder).items()))


def policy_now(settings: Settings) -> Callable[[], CedarPolicy]:
    """Gives the installation's policy as its files are when it is asked for."""
    return lambda: load_policy(settings.policies)


@lru_cache(maxsize=4)
def _parsed(folder: Path, contents: tuple[tuple[str, str], ...]) -> CedarPolicy:
    """What is asked often is parsed once; the files are read each time."""
    import cedarpy

    texts = dict(contents)
    schemas, files = ([name for name in texts if name.endswith(ending)] for ending in _ENDINGS)
    if len(schemas) != 1 or not files:
        raise InputError("a policy folder holds one .cedarschema and at least one .cedar file", where=str(folder), advice="set GATEHOUSE_POLICIES")
    schema = texts[schemas[0]]
    policies = "\n".join(texts[name] for name in files)
    try:
        result = cedarpy.validate_policies(policies, schema)
        valid = bool(result.validation_passed)
        parsed = json.loads(cedarpy.policies_to_json_str(policies)) if valid else {}
    except Exception:  # noqa: BLE001 - the engine's own parse errors have many types
        valid, parsed = False, {}
    if not valid:
        raise _misfit(folder, schemas[0], schema, {name: texts[name] for name in files})
    if parsed.get("templates"):
        raise InputError("a template decides nothing, nobody links it", where=str(folder), advice="write a policy without ?principal and ?resource")
    static: dict[str, Any] = parsed.get("staticPolicies", {})
    if all(policy["effect"] != "permit" for policy in static.values()):
        raise InputError("the policies permit nothing", where=str(folder), advice="add a permit")
    ids, reasons, advice, exceptable = {}, {}, {}, set()
    for name, policy in static.items():
        notes = policy.get("annotations", {})
        ids[name] = notes.get("id") or name
        reasons[ids[name]] = notes.get("reason") or ids[name]
        advice[ids[name]] = notes.get("advice") or ""
        if notes.get("except") == "granted" and policy["effect"] == "forbid":
            exceptable.add(ids[name])
    if len(set(ids.values())) != len(ids):
        twice = next(each for each in ids.values() if list(ids.values()).count(each) > 1)
        place = next((_place(folder / name, texts[name], twice) for name in reversed(files) if _mark(twice) in texts[name]), f"{folder}: {twice}")
        raise InputError("two policies have one identifier", where=place, advice="give each its own @id")
    return CedarPolicy(policies, schema, _digest(texts), reasons, ids, advice, frozenset(exceptable))


def _misfit(folder: Path, schema_name: str, schema: str, texts: dict[str, str]) -> InputError:
    """What does not fit, in which file: each is looked at by itself, which the engine does not tell of them together."""
    import cedarpy

    what, advice = "the policies do not fit their schema", "check them with the cedar command line"
    for name, text in texts.items():
        try:
            result = cedarpy.validate_policies(text, schema)
            if result.validation_passed:
                continue
            error = result.errors[0]
            told, policy = " ".join(error.error.split()), error.policy_id
            called = (result.id_annotations_by_policy_id or {}).get(policy) or policy
        except Exception:  # noqa: BLE001 - as above
            return InputError(what, where=str(folder / name), advice=advice)
        if told.startswith("Schema"):
            return InputError(f"the schema can't be read: {told}", where=str(folder / schema_name), advice=advice)
        told = told.removeprefix(f"for policy `{policy}`, ")
        return InputError(f"{what}: {told}", where=_place(folder / name, text, called), advice=advice)
    return InputError(what, where=str(folder), advice=advice)


def _mark(called: str) -> str:
    return f'@id("{called}")'


def _place(path: Path, text: str, called: str) -> str:
    """File, line and identifier of a policy, as far as they are known; of two of one name the second."""
    before, mark, _ = text.rpartition(_mark(called))
    line = f":{before.count(chr(10)) + 1}" if called and mark else ""
    return f"{path}{line}" + (f": {called}" if called else "")


def _uid(uid: dict[str, str]) -> str:
    return f"{uid['type']}::" + '"' + re.sub(r'["\\]', "", uid["id"]) + '"'
