"""Profiles: the two that come with SparkWeb, and those of owners."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from sparkweb.accounts.actor import Actor, audit
from transcripts_app.models_redaction import RedactionProfile, frozen
from transcripts_app.redaction.rules import (
    LIKELY,
    OWN_MOST,
    SHARING,
    PatternBad,
    Rules,
    built_in,
    own_rule,
)

NONE = "none"
SECRETS = "secrets"
STRICT = "sharing"
BUILT_IN = {
    SECRETS: RedactionProfile(
        name=SECRETS, about="Keys, tokens, private keys and passwords", rules=list(LIKELY), patterns=[]
    ),
    STRICT: RedactionProfile(
        name=STRICT, about="Also e-mail, user names in paths, and addresses", rules=list(SHARING), patterns=[]
    ),
}


def profiles() -> list[RedactionProfile]:
    """Every profile, those that come with SparkWeb first."""
    return [*BUILT_IN.values(), *RedactionProfile.objects.all()]


def profile_of(name: str) -> RedactionProfile | None:
    """Return a profile by name; None for one that is not there."""
    if "\0" in name:
        return None
    return BUILT_IN.get(name) or RedactionProfile.objects.filter(name=name[:40]).first()


def rules_of(profile: RedactionProfile | Mapping[str, Any] | None) -> Rules | None:
    """Return the rules of a profile, or of what `frozen` kept of one; None for none."""
    if profile is None:
        return None
    kept = frozen(profile) if isinstance(profile, RedactionProfile) else profile
    known = built_in()
    return Rules.named(
        [name for name in kept["rules"] if name in known],
        [(one["name"], one["pattern"]) for one in kept["patterns"]],
    )


@transaction.atomic
def profile_save(
    *,
    name: str,
    about: str,
    rules: Iterable[str],
    patterns: Iterable[Mapping[str, Any]],
    actor: Actor,
    profile: RedactionProfile | None = None,
) -> RedactionProfile:
    """Make or change a profile; every pattern is tried in RE2 first. Raises ValidationError."""
    wanted, own = sorted(set(rules)), [_pair(one) for one in patterns]
    errors: dict[str, list[str]] = {}
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name) or name in BUILT_IN or name == NONE:
        errors["name"] = ["Needs small letters, digits and dashes, and may not be secrets, sharing or none."]
    elif RedactionProfile.objects.filter(name=name).exclude(pk=(profile and profile.pk) or 0).exists():
        errors["name"] = [f"There is a profile {name} already."]
    if unknown := [rule for rule in wanted if rule not in built_in()]:
        errors["rules"] = [f"There is no rule {str(unknown[0])[:40]!r}; there are {', '.join(built_in())}."]
    if problems := _problems(own):
        errors["patterns"] = problems
    if not wanted and not own:
        errors["rules"] = ["It would mask nothing; choose a rule or add a pattern."]
    if len(about) > 200 or "\0" in about:
        errors["about"] = ["At most 200 characters, without NUL."]
    if errors:
        raise ValidationError(errors)
    row = profile or RedactionProfile()
    row.name, row.about, row.rules, row.changed_by = name, about, wanted, actor.label[:160]
    row.patterns = [{"name": one, "pattern": pattern} for one, pattern in own]
    row.save()
    audit(actor, "redaction_profile_save", name, rules=wanted, patterns=[one for one, _ in own])
    return row


@transaction.atomic
def profile_delete(*, profile: RedactionProfile, actor: Actor) -> None:
    """Delete an owner's profile. Exports under way keep what it said; pages fall back to likely secrets."""
    audit(actor, "redaction_profile_delete", profile.name)
    profile.delete()


def _pair(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one.get("name", "")), str(one.get("pattern", ""))


def _problems(own: list[tuple[str, str]]) -> list[str]:
    problems = [f"At most {OWN_MOST} patterns."] if len(own) > OWN_MOST else []
    if len({name for name, _ in own}) < len(own):
        problems.append("Two patterns have one name.")
    for name, pattern in own[:OWN_MOST]:
        try:
            own_rule(name, pattern)
        except PatternBad as error:
            problems.append(f"{name[:40] or '(no name)'}: {error}.")
    return problems
