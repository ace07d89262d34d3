"""Why a launch failed, in words with evidence, and what would mend it. Pure."""
