"""One spelling of an e-mail address: what two people write for one mailbox becomes one text.

The part before the last @ is folded by Unicode's full case folding, canonically (The Unicode Standard, D145: decompose, fold, here
composed again to NFC, as RFC 6532 section 3.1 wants it). So capital and final sigma are one letter and ß is ss; dotted and dotless i
stay apart, as they do outside Turkish; and nothing is compatibility-mapped, since RFC 6532 warns of NFKC. The domain is what a resolver would ask
for: mapped by UTS #46 without its transitional part, then labels beyond ASCII as A-labels (RFC 5890), so that bücher.example and
xn--bcher-kva.example are one domain, while straße.example and strasse.example, which may belong to two owners, are two. What UTS #46 does not
admit is folded like the rest. The dot of the root behind a domain, as a resolver's own files write it (RFC 1034, section 3.1), is no part of
an address (RFC 5321, section 4.1.2), so it goes. Nothing else is stripped. Of ASCII only the capitals change, and that dot.
"""

from __future__ import annotations

import unicodedata


def one_spelling(address: str) -> str:
    """The spelling; an address in it stays as it is, and so does each of its normal forms."""
    local, at, domain = address.rpartition("@")
    return folded(local) + at + _rootless(_host(domain)) if at else folded(address)


ROOT_DOT = r"(@[^@]*[^@.])\.$"
"""What stands before the dot of the root, for RE2: an address in lower case."""


def _rootless(domain: str) -> str:
    return domain[:-1] if domain.endswith(".") and domain[-2:-1] not in ("", ".", "@") else domain


def folded(text: str) -> str:
    """Canonical caseless form of a text, composed."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _host(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    again = folded(domain)
    # Composed first: the mapping of a mark depends on where it stands.
    for form in (unicodedata.normalize("NFC", domain), again):
        mapped = _mapped(form)
        if mapped is not None:
            return ".".join(label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in mapped.split("."))
    return again


def _mapped(domain: str) -> str | None:
    """UTS #46, section 4, steps 1 and 2; None where a character is in no domain."""
    from idna import IDNAError, uts46_remap  # its tables are read only where an address needs them

    try:
        return uts46_remap(domain, std3_rules=False)
    except IDNAError:
        return None
