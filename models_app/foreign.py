"""What may be done to a launch whose container SparkWeb did not start. Reads only."""

from __future__ import annotations

from models_app.exceptions import LaunchRefused
from models_app.members import newest_members
from models_app.models import Launch, LaunchMember


def foreign_member(launch: Launch) -> LaunchMember | None:
    """Return the container of an adopted launch; None for a launch of ours."""
    return next(iter(newest_members(launch)), None) if launch.adopted_foreign else None


def foreign_words(member: LaunchMember) -> str:
    """Say whose a container is."""
    return f"{member.container_name} ({member.image}) was not started by SparkWeb"


def stop_confirmed(launch: Launch, confirm: str) -> None:
    """Raise LaunchRefused confirm_foreign unless `confirm` is the name of an adopted container.

    Nothing but a person who names it stops what somebody else started.
    """
    member = foreign_member(launch)
    if member is None or not launch.live or confirm == member.container_name:
        return
    raise LaunchRefused(
        f"{foreign_words(member)}. To stop it all the same, confirm with its name; "
        "release it, and it goes on without SparkWeb",
        "confirm_foreign",
        {"container": member.container_name, "image": member.image},
    )


def restart_refuse(launch: Launch) -> None:
    """Raise LaunchRefused adopted_foreign: what others started is never started again from here."""
    if member := foreign_member(launch):
        raise LaunchRefused(
            f"{foreign_words(member)}, so it is not started again from here; "
            "start it the way it was started, and adopt it again",
            "adopted_foreign",
        )
