"""The memory guardian: ends what may end before the machine has no memory left.

A process of its own on each node (`python -m sparkweb.guardian`), which imports
nothing but the standard library. The agent tells it what may be ended (`plan.py`)
and makes facts of what it did (`keeper.py`). docs/memory-guardian.md.
"""
