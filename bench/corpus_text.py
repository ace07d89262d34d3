"""Text that looks like a programmer's day: code, prose, logs and paths out of a large vocabulary, by seed.

It compresses like code does (zstd about four to one), and its words are many and uneven, as real ones
are. A pool of lines is made once; a piece is a slice of it in which one name is its file's own, so
that words go on growing with the corpus.
"""

from __future__ import annotations

import random
from itertools import accumulate

_PAGE = (
    "account action active address agent alert amount answer archive argument array asset audit author "
    "backup balance banner base basket batch block body border branch bridge broker browser bucket buffer "
    "build bundle button cache call cancel card cart catalog category cell chain channel chart check "
    "child choice chunk city class client clock cluster code color column command comment commit company "
    "config connect contact container content context control cookie copy core country coupon course "
    "cover credit currency cursor customer cycle daemon data date deadline debug decode default delay "
    "delete delivery deploy depth detail device dialog diff digest direct discount disk display document "
    "domain draft driver edge editor effect email employee encode engine entry error event example "
    "exchange export factory failure feature feed field figure file filter finish fixture flag floor flow "
    "folder footer form format frame gateway graph grid group guard handler hash header health height "
    "history hook host image import index input insert install instance invoice item iterator job journal "
    "key label language layer layout lease ledger length level library limit line link list loader locale "
    "lock log login loop mail main map margin market master match matrix member memory menu merge message "
    "meta meter method metric migration mirror mode model module monitor month mount name network node "
    "note notice number object offer office offset option order origin outcome output owner package page "
    "panel parent parser part partner patch path pattern payment period person phase phone pipe pixel "
    "plan plugin point policy pool port position post prefix preview price printer probe process product "
    "profile program project promise prompt proof proxy public purchase query queue quota range rank rate "
    "ratio reader reason receipt record recover redirect refund region registry release remote render "
    "replica report request reserve reset resource response result retry return review role root round "
    "route row rule runner sample scale schema scope score screen script search season secret section "
    "segment sender series server service session setting shape share shelf shipment shop signal site "
    "size slice slot socket source space split stage start state status step stock storage store stream "
    "string style subject suffix supply switch symbol sync system table target task team template tenant "
    "test text theme thread threshold ticket tier time timeout title token tool topic total trace track "
    "trade traffic transfer tree trigger type unit update upload usage user value vector vendor version "
    "view visit voucher walker wallet warehouse warning watch weight widget width window worker wrapper "
    "writer zone"
)
WORDS = _PAGE.split()
OWN = "qqq"  # stands where a piece's own name goes
CODE = (
    "    def %s(self, %s: str) -> %s:", "        return self.%s.%s(%s)", "        self._%s = %s",
    "    if %s is None or %s.%s < 17:", "        raise %s(f\"{%s} is no %s\")", "from %s.%s import %s, %s",
    "    const %s = await %s(%s, { %s: true });", "import { %s } from './%s/%s';", "  %s: %s<%s> | null;",
    "    # The %s must be there before the %s is %s.", "        for %s in %s.%s():", "    qqq.%s(%s=%s)",
    "export async function %s(%s: %s) {", "  \"%s\": {\"%s\": \"%s\"},", "    assert %s(%s) == %s",
    "        %s = %s.get(\"%s\", [])", "    try:", "    except %s as %s:",
    "        logger.info(\"%s of %s\", %s)",
    "@%s(\"%s/%s\")", "class %s(%s):", "    %s = models.%s(\"%s\", null=True)",
    "  return %s.%s(qqq => qqq.%s);",
    "func (%s *%s) %s(ctx context.Context) error {", "\tif err := %s.%s(%s); err != nil {", "\t\treturn err",
    "\t}", "}", "", "        with %s(%s) as qqq:", "      <%s className=\"%s\" onClick={%s}>",
    "    \"\"\"%s %s.\"\"\"",
    "        %s[%s] += len(%s)", "    async def test_%s_%s(%s):", "  expect(%s).toEqual(%s);", "    %s: %s",
    "SELECT %s, COUNT(*) FROM %s GROUP BY %s;", "        await %s.%s(qqq, %s)", "    yield %s", "- %s: %s",
)  # fmt: skip
PROSE = (
    "The %s is read before the %s, so the %s is never there.", "I will look at `%s` first, then at `%s`.",
    "Now the %s is right: the %s of `%s` is kept.", "There are two ways: a %s per %s, or one %s for all.",
    "Let me run the tests of %s.", "`%s` raises `%s` because the %s was None.", "The %s in `%s` comes twice.",
    "That is what the user asked about: %s and %s.", "I should not change %s, for %s needs it.",
    "All %s tests pass; the %s takes a little longer.", "Next: %s, %s and the %s.", "Why is %s empty here?",
)  # fmt: skip
LOG = (
    "tests/%s/test_%s.py::test_%s PASSED", "[info] %s %s in qqq", "  at %s (src/%s/%s.ts:41:12)",
    "warning: unused variable: `%s`", "%s.py:88: error: %s has no attribute \"%s\"",
    "-rw-r--r-- 1 ada ada %s",
    "   Compiling %s v0.4.1", "modified:   src/%s/%s.py", "+    %s(%s)", "-    %s.%s", "=> %s %s %s",
)  # fmt: skip


class Text:
    """Pieces of text by seed. `characters` sizes the pool that they are cut from."""

    def __init__(self, rng: random.Random, characters: int) -> None:
        self.rng, self._count = rng, 0
        self._names, weights = _names(rng)
        self._weights = list(accumulate(weights))
        self._spoken = rng.choices(self._names, cum_weights=self._weights, k=40_000)
        self._code = self._pool(CODE, characters)
        self._prose = self._pool(PROSE, characters // 4)
        self._log = self._pool(LOG, characters // 3)

    def name(self) -> str:
        """An identifier; one in four was never used before."""
        pick = self.rng.random()
        return self._spoken[int(pick / 0.75 * len(self._spoken))] if pick < 0.75 else self.new_name()

    def new_name(self) -> str:
        """An identifier that was never used before."""
        self._count += 1
        one = int(self.rng.random() * len(WORDS))
        return f"{WORDS[one]}_{WORDS[(one * 7 + self._count) % len(WORDS)]}{self._count}"

    def code(self, characters: int) -> str:
        """Whole lines of code, about so many characters."""
        return self._piece(self._code, characters)

    def prose(self, characters: int) -> str:
        """Sentences on lines of their own."""
        return self._piece(self._prose, characters)

    def log(self, characters: int) -> str:
        """What commands print."""
        return self._piece(self._log, characters)

    def lines(self, count: int) -> list[str]:
        """Lines of code, all different."""
        found = dict.fromkeys(self.code(count * 60).split("\n"))
        found.pop("", None)
        return list(found)[:count] or [self.new_line()]

    def new_line(self) -> str:
        """A line that stands nowhere else."""
        return f"    {self.new_name()} = {self.name()}({self.name()})"

    def size(self, median: float, spread: float, most: int = 400_000) -> int:
        """How long a piece is: many short ones, few very long ones."""
        return min(most, max(8, int(median * self.rng.lognormvariate(0, spread))))

    def _pool(self, shapes: tuple[str, ...], characters: int) -> str:
        most = max(3, characters // 30)
        picked = self.rng.choices(shapes, k=most)
        needed = {shape: shape.count("%s") for shape in shapes}
        words = iter(self.rng.choices(self._names, cum_weights=self._weights, k=4 * most))
        lines = [shape % tuple(next(words) for _ in range(needed[shape])) for shape in picked]
        return "\n".join(lines)[:characters]

    def _piece(self, pool: str, characters: int) -> str:
        characters = min(characters, len(pool) // 2)
        start = pool.find("\n", self.rng.randrange(len(pool) - characters)) + 1
        end = pool.find("\n", start + characters)
        return pool[start : end if end >= 0 else None].replace(OWN, self.name())


def _names(rng: random.Random) -> tuple[list[str], list[float]]:
    """Twelve thousand identifiers and how often each is used: the n-th like 1/n."""
    found: dict[str, None] = dict.fromkeys(WORDS)
    while len(found) < 12_000:
        one, other = rng.choice(WORDS), rng.choice(WORDS)
        found[rng.choice((f"{one}_{other}", one + other.title(), one.title() + other.title()))] = None
    names = list(found)
    rng.shuffle(names)
    return names, [1 / (8 + rank) for rank in range(len(names))]
