"""What the actors are called, so that every process of a cluster finds them."""

NAMESPACE = "pistats"
"""Ray namespace of everything of ours but Serve's own actors."""

SUPERVISOR = "supervisor"


def partition_name(partition: int) -> str:
    """The actor that owns one stream partition."""
    return f"partition-{partition}"


def consumer_name(group: str, number: int) -> str:
    """One member of a consumer group's pool."""
    return f"consumer-{group}-{number}"
