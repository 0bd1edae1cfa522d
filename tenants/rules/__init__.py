"""Authentication and limits as pure functions over facts and snapshots."""
