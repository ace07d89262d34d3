"""Settings of the tool audit: how long it is kept, and what owners mask besides."""

from __future__ import annotations

from sandbox_app.masking import rules_make
from sparkweb.env import env_int, env_list, env_pattern

AUDIT_KEEP_DAYS = env_int(
    "SPARKWEB_AUDIT_KEEP_DAYS",
    0,
    "Days that entries of the tool audit are kept, then a signed checkpoint stands for them; 0: for ever.",
    low=0,
    high=36_500,
)
MASK_RULES = rules_make(
    env_list("SPARKWEB_MASK_NAMES", [], "More names of arguments whose values are masked in the tool audit."),
    env_pattern("SPARKWEB_MASK_PATTERN", "", "Regular expression of what else is masked in any argument."),
)
