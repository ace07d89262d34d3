"""Which addresses, hosts, ports and headers a fetch on behalf of a model may use. Pure.

Addresses are judged as numbers, after the resolver has made them of whatever
stood in the URL, so no spelling (decimal, octal, hexadecimal, short) matters.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

URL_MOST_CHARACTERS = 8_192
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
PORTS = (80, 443)


class EgressRefused(Exception):
    """A fetch that the rules do not allow; `rule` names which, `address` what was judged."""

    def __init__(self, sentence: str, rule: str, address: str | None = None) -> None:
        super().__init__(sentence)
        self.rule = rule
        self.address = address


# Source: IANA IPv4 and IPv6 special-purpose address registries, RFC 6890 and what updates it.
_SPECIAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("metadata", ("169.254.169.254/32", "fd00:ec2::254/128", "168.63.129.16/32", "100.100.100.200/32")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("carrier-grade NAT", ("100.64.0.0/10",)),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    (
        "reserved",
        (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2620:4f:8000::/48",
            "3fff::/20",
            "5f00::/16",
        ),
    ),
    # An IPv4 address inside an IPv6 one: a relay or the kernel would go to the former.
    ("embedded IPv4", ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")),
    ("embedded IPv4", ("2001::/32", "2002::/16")),
)
_ORDER = ("metadata", "loopback", "unspecified", "embedded IPv4")
_NETWORKS: list[tuple[str, Network]] = sorted(
    ((word, ipaddress.ip_network(text)) for word, texts in _SPECIAL for text in texts),
    key=lambda pair: (_ORDER.index(pair[0]) if pair[0] in _ORDER else len(_ORDER), pair[0]),
)
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")


def address_special(address: Address) -> str | None:
    """The word for what kind of address this is (private, loopback …), None for a public one."""
    for word, network in _NETWORKS:
        if address.version == network.version and address in network:
            return word
    if address.version == 6 and address not in _GLOBAL_IPV6:
        return "reserved"
    return None


def address_read(text: str) -> Address:
    """From what a resolver says, which may carry a scope (fe80::1%eth0). Raises ValueError."""
    return ipaddress.ip_address(text.partition("%")[0])


@dataclass(frozen=True)
class EgressPolicy:
    """What an installation allows. Hosts are names, `*.name` for all below it, or `*`.

    `allow`: nothing else may be reached where it names anything. `deny` goes before it and
    takes networks too. `networks` may be reached although they are private: the owner's wish.
    """

    ports: tuple[int, ...] = PORTS
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    deny_networks: tuple[Network, ...] = field(default=())


def policy_make(
    ports: Iterable[str | int] = PORTS,
    allow: Iterable[str] = (),
    deny: Iterable[str] = (),
    networks: Iterable[str] = (),
) -> EgressPolicy:
    """From settings as they are written. Raises ValueError, which names the word that is wrong."""
    denied = [word.strip().lower() for word in deny if word.strip()]
    denied_networks = [network for word in denied if (network := _network(word)) is not None]
    return EgressPolicy(
        ports=tuple(_port(port) for port in ports),
        allow=tuple(host_pattern(word) for word in allow),
        deny=tuple(host_pattern(word) for word in denied if _network(word) is None),
        networks=tuple(_network_or_fail(word) for word in networks),
        deny_networks=tuple(denied_networks),
    )


def _port(word: str | int) -> int:
    try:
        port = int(word)
    except ValueError:
        port = 0
    if not 1 <= port <= 65_535:
        raise ValueError(f"{word!r} is no port")
    return port


def _network(word: str) -> Network | None:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        return None


def _network_or_fail(word: str) -> Network:
    network = _network(word)
    if network is None:
        raise ValueError(f"{word!r} is no network; write one like 192.168.1.0/24")
    return network


_PATTERN = re.compile(r"\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]+")


def host_pattern(word: str) -> str:
    """A host as lists name it: `docs.python.org`, `*.python.org` or `*`. Raises ValueError."""
    pattern = word.strip().lower().rstrip(".").strip("[]")
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{word!r} is no host name; write one like docs.python.org or *.python.org")
    return pattern


def host_matches(host: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns names this host."""
    name = host.lower().rstrip(".")
    return any(
        pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))
        for pattern in patterns
    )


def url_check(text: str, policy: EgressPolicy, hosts: Sequence[str]) -> URL:
    """The URL, once scheme, credentials, port and host may be used. Raises EgressRefused.

    `hosts` is the list of the tool that asks: nothing on it is nothing allowed.
    """
    if len(text) > URL_MOST_CHARACTERS:
        raise EgressRefused(f"The URL has more than {URL_MOST_CHARACTERS} characters.", "url")
    if any(ord(character) < 33 or ord(character) == 127 for character in text):
        raise EgressRefused("The URL contains blanks or control characters.", "url")
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise EgressRefused("This is no URL that can be fetched.", "url") from None
    if url.scheme not in ("http", "https"):
        raise EgressRefused(f"Only http and https are fetched, not {url.scheme or 'a path'!r}.", "scheme")
    if url.user is not None or url.password is not None:
        raise EgressRefused("A URL with a user name or password in it is not fetched.", "credentials")
    host = (url.host or "").rstrip(".")
    if not host or "%" in host:
        raise EgressRefused("The URL names no host.", "url")
    if port not in policy.ports:
        allowed = ", ".join(str(port) for port in policy.ports)
        raise EgressRefused(f"Port {port} is not fetched from; allowed: {allowed}.", "port")
    _host_check(host, policy, hosts)
    return url.with_fragment(None)


def _host_check(host: str, policy: EgressPolicy, hosts: Sequence[str]) -> None:
    if host_matches(host, policy.deny):
        raise EgressRefused(f"{host} is on this installation's deny list.", "deny")
    if policy.allow and not host_matches(host, policy.allow):
        raise EgressRefused(f"{host} is not on this installation's allow list.", "allow")
    if not host_matches(host, hosts):
        raise EgressRefused(f"{host} is not among the hosts that this tool may reach.", "tool")


def addresses_check(
    host: str, addresses: Sequence[Address], policy: EgressPolicy, own: Sequence[Network]
) -> None:
    """Raise EgressRefused unless each address may be connected to: one bad address spoils the name."""
    for address in addresses:
        word = address_refused(address, policy, own)
        if word:
            sentence = f"{host} leads to {address}, which is not fetched from: {word}."
            raise EgressRefused(sentence, "address", str(address))


def address_refused(address: Address, policy: EgressPolicy, own: Sequence[Network]) -> str | None:
    """Why this address may not be connected to; None when it may. `own`: networks of this machine."""
    if _among(address, policy.deny_networks):
        return "on the deny list"
    if _among(address, policy.networks):
        return None
    if (word := address_special(address)) is not None:
        return word
    return "this machine or its own network" if _among(address, own) else None


def _among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


_SECRET_KEY = re.compile(r"(?i)key|token|secret|passw|passphrase|sig|auth|credential|session|code|jwt")
SHOWN_CHARACTERS = 2_000


def url_shown(text: str) -> str:
    """The URL for logs and the audit: without user, password and fragment, secret values as ***."""
    try:
        url = URL(text)
        bare = url.with_fragment(None)
        if url.user is not None or url.password is not None:
            bare = bare.with_user(None)
        pairs = [(key, "***" if _SECRET_KEY.search(key) else value) for key, value in url.query.items()]
        shown = str(bare.with_query(pairs)) if pairs else str(bare)
    except ValueError:
        shown = re.sub(r"//[^/@\s]*@", "//***@", text).partition("?")[0]
    return "".join(mark if mark.isprintable() else "?" for mark in shown)[:SHOWN_CHARACTERS]


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$&'*+.^_|~-]{1,64}")
_HEADERS_FIXED = {
    *("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"),
    *("keep-alive", "cookie", "cookie2", "accept-encoding", "via", "forwarded", "user-agent"),
    *("metadata", "metadata-flavor", "x-real-ip"),
}
_HEADER_STARTS = ("proxy-", "sec-", "x-forwarded-", "x-aws-ec2-", "x-google-")
HEADERS_MOST = 32
HEADER_MOST_CHARACTERS = 4_096


def headers_check(headers: dict[str, str]) -> dict[str, str]:
    """The headers that a caller may add. Raises EgressRefused, which names the first that may not be."""
    if len(headers) > HEADERS_MOST:
        raise EgressRefused(f"More than {HEADERS_MOST} headers.", "header")
    for name, value in headers.items():
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name) or lower in _HEADERS_FIXED or lower.startswith(_HEADER_STARTS):
            raise EgressRefused(f"The header {name[:64]!r} may not be set.", "header")
        good = isinstance(value, str) and len(value) <= HEADER_MOST_CHARACTERS and value.isascii()
        if not good or not value.isprintable():
            raise EgressRefused(f"The value of the header {name!r} is not plain text.", "header")
    return dict(headers)
