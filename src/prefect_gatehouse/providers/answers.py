"""What a provider's service may answer: told apart because what may be done next differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from prefect_gatehouse.errors import Unavailable


class Refusal(Exception):
    """The service says no: nothing was made."""


class Busy(Exception):
    """Nothing was made, and the same call may be repeated."""


class Absent(Exception):
    """What was asked for is not there."""


class NotAllowed(Exception):
    """The credential is not valid, or no longer."""


class Unknown(Exception):
    """Nobody can tell what the service did."""


@contextmanager
def reading_from(service: str, where: str, understood: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Around calls that change nothing.

    Args:
        service: Its name for people.
        where: The backend's name.
        understood: Turns what the client raises into one of the five.

    Raises:
        Unavailable: The service does not answer, or does not let us ask.
    """
    try:
        with understood():
            yield
    except NotAllowed:
        raise Unavailable("the credential is not valid", where=where, advice="check the secret, then resume the run") from None
    except (Busy, Unknown) as error:
        raise Unavailable(f"{service} does not answer ({error})", where=where, advice="resume the run later", retry=True) from None
    except Absent as error:
        raise Unavailable(f"{service} does not have what was asked for ({error})", where=where, advice="check the backend's block") from None
    except Refusal as error:
        advice = "check the backend's block and what its credential may do"
        raise Unavailable(f"{service} refuses to tell ({error})", where=where, advice=advice) from None
