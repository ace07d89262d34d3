"""Forms of keys and tokens: those of detect-secrets (bc-detect-secrets, kept alive), and those it lacks.

Only its regular expressions are used; it never verifies a key over the network here. Patterns that
RE2 cannot run (they look ahead or behind) are left out, so that every text takes linear time.
"""

from __future__ import annotations

import importlib
import re

PLUGINS = (
    "artifactory.ArtifactoryDetector", "aws.AWSKeyDetector", "cloudant.CloudantDetector",
    "discord.DiscordBotTokenDetector", "github_token.GitHubTokenDetector", "jwt.JwtTokenDetector",
    "mailchimp.MailchimpDetector", "npm.NpmDetector", "sendgrid.SendGridDetector", "slack.SlackDetector",
    "softlayer.SoftlayerDetector", "square_oauth.SquareOAuthDetector", "stripe.StripeDetector",
    "twilio.TwilioKeyDetector",
)  # fmt: skip
# Sources: each service's documentation of its keys.
OURS = (
    r"\bsk-ant-[A-Za-z0-9_-]{16,}",  # Anthropic: sk-ant-api03-, -admin01-, -oat01-
    r"\bsk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,}",  # OpenAI, and those that copied it
    r"\bhf_[A-Za-z0-9]{20,}",  # Hugging Face
    r"\bapi_org_[A-Za-z0-9]{20,}",  # Hugging Face, organisations
    r"\bnvapi-[A-Za-z0-9_-]{20,}",  # NVIDIA NGC and build.nvidia.com
    r"\bgithub_pat_[A-Za-z0-9_]{22,}",
    r"\bgl(?:pat|rt|dt|cbt|ptt|soat)-[A-Za-z0-9_.-]{16,}",  # GitLab
    r"\bAIza[A-Za-z0-9_-]{30,}",  # Google
    r"\bya29\.[A-Za-z0-9_-]{20,}",  # Google OAuth
    r"\bxox[a-z]-[A-Za-z0-9-]{10,}",
    r"\bxapp-[0-9]-[A-Za-z0-9-]{10,}",  # Slack
    r"\b(?:sk|rk|whsec)_(?:test_|live_)?[A-Za-z0-9]{20,}",  # Stripe
    r"\bgsk_[A-Za-z0-9]{20,}",  # Groq
    r"\bxai-[A-Za-z0-9]{20,}",
    r"\br8_[A-Za-z0-9]{20,}",  # Replicate
    r"\bpypi-AgE[A-Za-z0-9_-]{20,}",
    r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",
    r"\bdo[opr]_v1_[a-f0-9]{40,}",  # DigitalOcean
    r"\btskey-[a-z]+-[A-Za-z0-9-]{16,}",  # Tailscale
    r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,}",
    r"\bsw_[A-Za-z0-9_-]{32,}",  # SparkWeb's API keys
    r"\bsparkweb-node-key-1:[A-Za-z0-9+/=_-]{16,}",
)


def key_patterns() -> list[str]:
    """Return every pattern as RE2 reads it; those of detect-secrets that start at a word do so only there."""
    found = [*OURS]
    for place in PLUGINS:
        module, name = place.split(".")
        plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
        found += [_translated(one) for one in plugin.denylist]
    return found


def _translated(pattern: re.Pattern[str]) -> str:
    flags = "(?i)" if pattern.flags & re.IGNORECASE else ""
    text = pattern.pattern
    # A key's first letters inside a longer word, or inside base64, are no key.
    starts = re.match(r"[A-Za-z\[]|\(\?:?[a-z]", text) and not text.startswith("[^")
    return f"{flags}\\b(?:{text})" if starts and not text.startswith("https:") else f"{flags}(?:{text})"
