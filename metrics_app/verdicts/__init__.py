"""What figures mean, in sentences with their evidence (docs/verdicts.md).

`reading` takes what it needs from a report, `window` keeps the last minutes, `judges`
says what is wrong now, `bench` makes verdicts of that: begun after a while, over after a
while. All of it is pure; `announce` writes marks and alerts.
"""
